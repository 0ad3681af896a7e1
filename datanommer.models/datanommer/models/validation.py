"""Whether messages of ``logging.stats`` fit their types: those of the archive, or any others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import fedora_messaging, message, message_types
from datanommer.models.database import bound_engine
from datanommer.models.schema import Message, Topic

#: What can be said of a message; see `datanommer.models.message_types.Verdict`.
OUTCOMES = ("valid", "warning", "invalid")
_AT_ONCE = 1000


class Sent(NamedTuple):
    """What is looked at of a message.

    Attributes:
        timestamp: when it was sent (naive, in UTC), where that is known.
        msg: its content, as JSON gives it.
    """

    topic: str
    msg_id: str | None
    timestamp: datetime | None
    msg: Any


class Example(NamedTuple):
    """A message, and why it is an example of what it is."""

    sent: Sent
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What was found among the messages of one topic.

    Attributes:
        counts: how many messages had each outcome.
        first: the first message of each outcome that there was.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    first: dict[str, Example] = field(default_factory=dict)

    def add(self, sent: Sent, verdict: message_types.Verdict) -> None:
        """Count a message."""
        self.counts[verdict.outcome] += 1
        self.first.setdefault(verdict.outcome, Example(sent, verdict.reasons))


def count(messages: Iterable[Sent], tallies: dict[str, Tally]) -> None:
    """Check messages of ``logging.stats``, and count them by topic; others are not looked at.

    Args:
        messages: the messages, in the order that "first" means.
        tallies: where to count. What was counted is there even if `messages` breaks off.
    """
    for sent in messages:
        name = message_types.name_of(sent.topic)
        if name is not None:
            tally = tallies.setdefault(sent.topic, Tally())
            tally.add(sent, message_types.check(name, sent.msg))


def stored(
    *, since: datetime | None = None, before: datetime | None = None, topic: str | None = None
) -> Iterator[Sent]:
    """The messages of ``logging.stats`` in the archive, topic by topic, each by (timestamp, id).

    The memory that this takes does not depend on how many there are.

    Args:
        since: no message older than this (naive is UTC).
        before: no message newer than this (naive is UTC).
        topic: only this topic, with or without the prefix of the bus.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    # As text, which PostgreSQL passes through.
    query = sa.select(
        Message.topic, Message.msg_id, Message.timestamp, sa.cast(Message.__table__.c.msg, sa.Text)
    ).order_by(Message.timestamp, Message.id)
    if since is not None:
        query = query.where(Message.timestamp >= since)
    if before is not None:
        query = query.where(Message.timestamp <= before)
    with bound_engine().connect() as connection:
        for each in connection.scalars(sa.select(Topic.topic).order_by(Topic.topic)).all():
            if is_asked(each, topic):
                rows = connection.execution_options(yield_per=_AT_ONCE).execute(
                    query.where(Message.topic == each)
                )
                for name, msg_id, timestamp, text in rows:
                    yield Sent(name, msg_id, timestamp, json.loads(text))


def is_asked(topic: str, asked: str | None) -> bool:
    """Whether a topic is of ``logging.stats``, and the one that is asked for, if one is."""
    name = message_types.name_of(topic)
    return name is not None and asked in (None, topic, name)


def read(value: Any) -> Sent | None:
    """What is looked at of a message in any of the forms that `datanommer.models.record` knows.

    Returns:
        None where it is no message.
    """
    if isinstance(value, dict) and value.keys() == {"rejected", "raw"}:
        value = value["raw"]
    if not isinstance(value, dict):
        return None
    body = value
    if "body" in value:
        if fedora_messaging.is_line(value):
            value = fedora_messaging.to_envelope(value)
        body = value["body"]
    if not isinstance(body, dict):
        return None
    topic = body.get("topic", value.get("topic"))
    if not isinstance(topic, str):
        return None
    msg_id = body.get("msg_id")
    return Sent(
        topic,
        msg_id if isinstance(msg_id, str) else None,
        _moment(body.get("timestamp")),
        body.get("msg"),
    )


def _moment(timestamp: Any) -> datetime | None:
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float):
        return None
    try:
        return message.naive_utc(datetime.fromtimestamp(timestamp, UTC))
    except (OverflowError, OSError, ValueError):  # milliseconds, NaN
        return None
