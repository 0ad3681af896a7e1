"""The signatures of the messages in the archive, checked again.

What was signed is the body; the columns are made of it. So a row that somebody changed by hand is
found: its body is no longer the one that was signed, or its columns do not belong to its body.
What is not part of a body (users, packages, when it was stored) is not signed either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import fedmsg.crypto.utils
import sqlalchemy as sa

from datanommer.models import message, record
from datanommer.models.database import bound_engine
from datanommer.models.errors import NotStorable
from datanommer.models.message import Row
from datanommer.models.signatures import ArchiveValidator, is_unsigned

_AT_ONCE = 1000
_FROM_BODY = (
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
_GIVEN_ID = re.compile(r"[0-9]{4}-classic-[0-9]+")


class Verdict(NamedTuple):
    """What became of a message's signature.

    Attributes:
        outcome: ``valid``, ``invalid`` or ``unsigned``.
        reason: why it is invalid, in a few words.
    """

    msg_id: str
    topic: str
    outcome: str
    reason: str | None = None


def verify(
    validator: ArchiveValidator,
    *,
    since: datetime | None = None,
    before: datetime | None = None,
    topic: str | None = None,
    category: str | None = None,
    all_signed: bool = False,
) -> Iterator[Verdict]:
    """Check the messages of the archive in order of (timestamp, id), each as of when it was sent.

    The memory that this takes does not depend on how many there are.

    Args:
        validator: knows the authority and the routing policy.
        since: no message older than this (naive is UTC).
        before: no message newer than this (naive is UTC).
        topic: only this topic.
        category: only this category.
        all_signed: whether a message without a signature is invalid: it may have been taken off.

    Raises:
        SignaturesUnknown: gpg could not be run.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    conditions = {
        "m.timestamp >= :since": since and message.as_utc(since),
        "m.timestamp <= :before": before and message.as_utc(before),
        "m.topic = :topic": topic,
        "m.category = :category": category,
    }
    asked = [sql for sql, value in conditions.items() if value is not None]
    where = f"WHERE {' AND '.join(asked)}" if asked else ""
    query = sa.text(
        f"SELECT {record.ROW} {record.FROM} {where} ORDER BY m.timestamp, m.id"
    ).columns(signature=sa.LargeBinary)
    given = {sql.partition(":")[2]: conditions[sql] for sql in asked}
    with bound_engine().connect().execution_options(yield_per=_AT_ONCE) as connection:
        for columns in connection.execute(query, given):
            verdict = _verdict(validator, Row(*columns))
            if all_signed and verdict.outcome == "unsigned":
                verdict = verdict._replace(outcome="invalid", reason="it has no signature")
            yield verdict


def _verdict(validator: ArchiveValidator, row: Row) -> Verdict:
    try:
        envelope = message.received(row)
        agrees = _agrees(row, envelope)
    except (AttributeError, TypeError, ValueError, RecursionError, NotStorable):
        return Verdict(row.msg_id, row.topic, "invalid", "its columns give back no message")
    body = envelope["body"]
    if not agrees:
        reason: str | None = "its columns do not belong to its body"
    elif is_unsigned(body):
        return Verdict(row.msg_id, row.topic, "unsigned")
    else:
        reason = _reason(validator, body, message.to_epoch(row.timestamp))
    return Verdict(row.msg_id, row.topic, "invalid" if reason else "valid", reason)


def _reason(validator: ArchiveValidator, body: Mapping[str, Any], sent: float) -> str | None:
    reason = validator.validate(body, sent)
    if reason is None:
        return None
    for mended in _without_additions(body):
        if validator.validate(mended, sent) is None:
            return None
    return reason


def _without_additions(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What may have been signed, where the classic line or datagrepper added to the body."""
    if _GIVEN_ID.fullmatch(str(body.get("msg_id"))):
        body = {key: value for key, value in body.items() if key != "msg_id"}
        yield body
    timestamp = body.get("timestamp")
    if {"source_name", "source_version"} <= body.keys() and isinstance(timestamp, int | float):
        mended = fedmsg.crypto.utils.fix_datagrepper_message(body)
        yield mended
        yield {**mended, "timestamp": timestamp}


def _agrees(row: Row, envelope: dict[str, Any]) -> bool:
    """Whether that envelope would have been stored in a row with these columns."""
    if row.category != message.categorize(row.topic):
        return False
    if row.extra is None:
        return True  # the body is made of nothing but the columns
    body = envelope["body"]
    # What the archive gave to a message that had none of its own. An id is given at random only
    # where there is no time either: any other is made of the content, and is made anew.
    given: dict[str, Any] = {}
    if body.get("timestamp") is None:
        given["timestamp"] = message.to_epoch(row.timestamp)
        if not isinstance(body.get("msg_id"), str) or not body["msg_id"]:
            given["msg_id"] = row.msg_id
    again = message.from_envelope(envelope, given)
    return (
        all(getattr(again, name) == getattr(row, name) for name in _FROM_BODY)
        and json.loads(again.msg) == json.loads(row.msg)
        and json.loads(again.headers or "null") == json.loads(row.headers or "null")
    )
