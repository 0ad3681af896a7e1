"""Checks of ``logging.stats`` messages against their types, in the archive or from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import times
from datanommer.models.filtering import predicates
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.topic_pattern import TopicPattern
from datanommer.models.logging_stats import message_types
from datanommer.models.preparing import fedora_messaging
from datanommer.models.tables import messages, topics

#: The outcomes of `datanommer.models.logging_stats.message_types.TypeCheck`.
OUTCOMES = ("valid", "warning", "invalid")
_ROWS_AT_ONCE = 1000


class ScriptMessage(NamedTuple):
    """What the check needs to know of a message.

    Attributes:
        timestamp: when it was sent (naive, in UTC), if known.
        msg: its content, as JSON gives it.
    """

    topic: str
    msg_id: str | None
    timestamp: datetime | None
    msg: Any


class Example(NamedTuple):
    """A message as an example of an outcome, and the reasons for that outcome."""

    message: ScriptMessage
    reasons: tuple[str, ...]


@dataclass(slots=True)
class TopicReport:
    """The outcomes of the messages of one topic.

    Attributes:
        counts: how many messages had each outcome.
        first: the first message of each outcome that occurred.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    first: dict[str, Example] = field(default_factory=dict)

    def add(self, message: ScriptMessage, type_check: message_types.TypeCheck) -> None:
        """Count a message."""
        self.counts[type_check.outcome] += 1
        self.first.setdefault(type_check.outcome, Example(message, type_check.reasons))


def check_messages(candidates: Iterable[ScriptMessage], reports: dict[str, TopicReport]) -> None:
    """Check the messages of ``logging.stats`` and ignore all others.

    Args:
        candidates: the messages. Their order decides which one is the first of an outcome.
        reports: the reports by topic, to which the outcomes are added. If `candidates` raises,
            they hold the outcomes up to there.
    """
    for message in candidates:
        name = message_types.name_of(message.topic)
        if name is not None:
            report = reports.setdefault(message.topic, TopicReport())
            report.add(message, message_types.check(name, message.msg))


def stored_messages(
    engine: sa.Engine, filters: Filters, *, patterns: Collection[str] = ()
) -> Iterator[ScriptMessage]:
    """The ``logging.stats`` messages of the archive, topic by topic, each by (timestamp, id).

    The memory that this takes does not depend on how many there are.

    Args:
        engine: of the database.
        filters: which messages.
        patterns: only topics that fit one of them; see `is_script_topic`.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    m = messages.c
    # As text, which PostgreSQL passes through.
    query = (
        sa.select(m.topic, m.msg_id, m.timestamp, sa.cast(m.msg, sa.Text))
        .where(*predicates.of(filters, predicates.Entry.of_message(messages)))
        .order_by(m.timestamp, m.id)
    )
    with engine.connect() as connection:
        for each in connection.scalars(sa.select(topics.c.topic).order_by(topics.c.topic)).all():
            if is_script_topic(each, patterns):
                rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(
                    query.where(m.topic == each)
                )
                for name, msg_id, timestamp, text in rows:
                    yield ScriptMessage(name, msg_id, timestamp, json.loads(text))


def is_script_topic(topic: str, patterns: Collection[str] = ()) -> bool:
    """Whether a topic is one of ``logging.stats``.

    Args:
        topic: the full topic.
        patterns: if there are any, it must fit one, as `TopicPattern` takes them.
    """
    if message_types.name_of(topic) is None:
        return False
    return not patterns or any(TopicPattern(each).matches(topic) for each in patterns)


def read_message(value: Any) -> ScriptMessage | None:
    """The message in a JSON value, in any form that `datanommer.models.exchange.parser` reads.

    Returns:
        None if the value is no message.
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
    return ScriptMessage(
        topic,
        msg_id if isinstance(msg_id, str) else None,
        _read_timestamp(body.get("timestamp")),
        body.get("msg"),
    )


def _read_timestamp(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return times.from_epoch(value)
    except (OverflowError, ValueError):  # milliseconds, NaN
        return None
