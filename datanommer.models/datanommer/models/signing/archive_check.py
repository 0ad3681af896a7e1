"""The signatures of the messages in the archive, checked again.

The body is what was signed, and the columns are made from it. So this finds a row that somebody
changed by hand: either its body is no longer the one that was signed, or its columns do not belong
to its body. What is not part of a body (users, packages, when it was stored) is not signed either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import fedmsg.crypto.utils
import sqlalchemy as sa

from datanommer.models import times
from datanommer.models.envelopes.category import categorize
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import NotStorable
from datanommer.models.filtering.filters import Filters
from datanommer.models.finding import stored_rows
from datanommer.models.signing.archive_validator import ArchiveValidator
from datanommer.models.signing.validator import is_unsigned

_ROWS_AT_ONCE = 1000
# The columns that hold a part of the body as it is.
_BODY_COLUMNS = (
    "msg_id",
    "i",
    "topic",
    "timestamp",
    "username",
    "crypto",
    "certificate",
    "signature",
    "source_name",
    "source_version",
)
# The id that the upgrade of a classic database gives to a message that has none.
_CLASSIC_ID = re.compile(r"[0-9]{4}-classic-[0-9]+")


class Verification(NamedTuple):
    """The result of checking a message's signature.

    Attributes:
        outcome: ``valid``, ``invalid`` or ``unsigned``.
        reason: why it is invalid, in a few words.
    """

    msg_id: str
    topic: str
    outcome: str
    reason: str | None = None


def verify(
    engine: sa.Engine, validator: ArchiveValidator, filters: Filters, *, all_signed: bool = False
) -> Iterator[Verification]:
    """Check the signatures of messages, each as of when it was sent, in order of (timestamp, id).

    The memory that this takes does not depend on how many there are.

    Args:
        engine: of the database.
        validator: knows the CA and the policy.
        filters: which messages.
        all_signed: whether a message without a signature is invalid: somebody may have removed it.

    Raises:
        SignaturesUnknown: gpg could not be run.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with engine.connect().execution_options(yield_per=_ROWS_AT_ONCE) as connection:
        for part in connection.execute(stored_rows.select(filters)).partitions():
            for _, row in stored_rows.read(part):
                verification = _verify_row(validator, row)
                if all_signed and verification.outcome == "unsigned":
                    verification = verification._replace(
                        outcome="invalid", reason="it has no signature"
                    )
                yield verification


def _verify_row(validator: ArchiveValidator, row: Row) -> Verification:
    try:
        envelope = row.envelope()
        is_consistent = _is_made_from(row, envelope)
    except (AttributeError, TypeError, ValueError, RecursionError, NotStorable):
        return Verification(row.msg_id, row.topic, "invalid", "its columns give back no message")
    body = envelope["body"]
    if not is_consistent:
        reason: str | None = "its columns do not belong to its body"
    elif is_unsigned(body):
        return Verification(row.msg_id, row.topic, "unsigned")
    else:
        reason = _refusal(validator, body, times.to_epoch(row.timestamp))
    return Verification(row.msg_id, row.topic, "invalid" if reason else "valid", reason)


def _is_made_from(row: Row, envelope: dict[str, Any]) -> bool:
    """Whether a message with that envelope would be stored with the columns of that row."""
    if row.category != categorize(row.topic):
        return False
    if row.extra is None:
        return True  # the columns alone make the body
    body = envelope["body"]
    # A message without a time got one from the archive, and only such a message can have a random
    # id. Any other missing id was made from the content, and is made again here.
    assigned: dict[str, Any] = {}
    if body.get("timestamp") is None:
        assigned["timestamp"] = times.to_epoch(row.timestamp)
        if not isinstance(body.get("msg_id"), str) or not body["msg_id"]:
            assigned["msg_id"] = row.msg_id
    expected = Row.from_envelope(envelope, assigned)
    return (
        all(getattr(expected, name) == getattr(row, name) for name in _BODY_COLUMNS)
        and json.loads(expected.msg) == json.loads(row.msg)
        and json.loads(expected.headers or "null") == json.loads(row.headers or "null")
    )


def _refusal(validator: ArchiveValidator, body: Mapping[str, Any], sent: float) -> str | None:
    """Why the body is not trusted, in whatever form it was signed; None if it is."""
    refusal = validator.validate(body, sent)
    if refusal is None:
        return None
    for signed in _without_additions(body):
        if validator.validate(signed, sent) is None:
            return None
    return refusal


def _without_additions(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What may have been signed, where the classic line or datagrepper added to the body."""
    if _CLASSIC_ID.fullmatch(str(body.get("msg_id"))):
        body = {key: value for key, value in body.items() if key != "msg_id"}
        yield body
    timestamp = body.get("timestamp")
    if {"source_name", "source_version"} <= body.keys() and isinstance(timestamp, int | float):
        original = fedmsg.crypto.utils.fix_datagrepper_message(body)
        yield original
        yield {**original, "timestamp": timestamp}
