"""An envelope made ready to be stored: a row with its users and packages, or a reject."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import NotStorable
from datanommer.models.preparing import users_and_packages

log = logging.getLogger(__name__)

#: What a batch consists of.
Item = Row | Reject


def prepare(
    envelope: Any, assigned: Mapping[str, Any] | None = None, *, from_amqp: bool = False
) -> Item:
    """The row of an envelope with its users and packages, or the reject; nothing is raised.

    The arguments are those of `Row.from_envelope`.
    """
    try:
        row = Row.from_envelope(envelope, assigned, from_amqp=from_amqp)
        body = users_and_packages.body_of(envelope, row.topic)
        row.users, row.packages = users_and_packages.extract(body)
    except NotStorable as error:
        return Reject.of_received(envelope, error)
    except Exception as error:
        log.exception("This is a fault of datanommer; please report it. The message is rejected.")
        fault = NotStorable("invalid", f"datanommer failed on it: {error!r}")
        return Reject.of_received(envelope, fault)
    return row
