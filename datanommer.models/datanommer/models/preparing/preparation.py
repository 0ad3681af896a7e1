"""An envelope made ready to be stored: a row with whom it concerns, or a reject."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import NotStorable
from datanommer.models.preparing import concerned

log = logging.getLogger(__name__)

#: What a batch consists of.
Item = Row | Reject


def prepare(
    envelope: Any,
    assigned: Mapping[str, Any] | None = None,
    *,
    from_amqp: bool = False,
    sent_id: str | None = None,
    is_read: bool = False,
) -> Item:
    """The row of an envelope with whom it concerns, or the reject; nothing is raised.

    The arguments are those of `Row.from_envelope`.
    """
    try:
        row = Row.from_envelope(
            envelope, assigned, from_amqp=from_amqp, sent_id=sent_id, is_read=is_read
        )
        concerned.tell(row, concerned.body_of(envelope, row.topic))
    except NotStorable as error:
        return Reject.of_received(envelope, error)
    except Exception as error:
        log.exception("This is a bug in datanommer; please report it. The message is rejected.")
        fault = NotStorable("invalid", f"datanommer failed on it: {error!r}")
        return Reject.of_received(envelope, fault)
    return row
