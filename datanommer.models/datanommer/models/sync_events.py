"""What messages about syncs of logs tell: the table `sync_events`, a row a message.

A script that syncs logs of web servers to one place says what it does under the topics
``logging.stats.sync.*``. What is asked of these messages is taken out of their content here, in
Python, where a message is stored: nothing in the database reads inside `msg`, because its JSON
operators fail on a document that holds ``\\u0000`` anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extras import execute_values

from datanommer.models import message
from datanommer.models.message import Row

#: What stands before the kind of an event in its topic, after the prefix of the bus.
TOPIC = "logging.stats.sync."

_COLUMNS = "msg, timestamp, kind, run_id, host, synced_host, log_date, reason"


class Event(NamedTuple):
    """What one message tells.

    Attributes:
        msg: the id of its row in `messages`.
        timestamp: when it was sent (naive, in UTC).
        kind: the topic after `TOPIC`, such as ``host.start``.
        run_id: which run of the script it is of.
        host: the host that the script runs on.
        synced_host: the host that logs are synced from.
        log_date: the date of the logs, as the script writes it.
        reason: what went wrong.

    What the message does not say, or not as text, is None.
    """

    msg: int
    timestamp: datetime
    kind: str
    run_id: str | None = None
    host: str | None = None
    synced_host: str | None = None
    log_date: str | None = None
    reason: str | None = None


def kind_of(topic: str) -> str | None:
    """The kind of the event that messages of a topic tell of; None for all other topics."""
    prefix, _, kind = topic.partition(TOPIC)
    return kind if kind and (not prefix or prefix.endswith(".")) else None


def read(number: int, timestamp: datetime, kind: str, msg: str) -> Event:
    """The event that a message tells of, whatever its sender put into it.

    Args:
        number: the id of its row.
        timestamp: when it was sent (naive, in UTC).
        kind: the kind of the event, as `kind_of` gives it.
        msg: the content, as JSON text.
    """
    try:
        content = json.loads(msg)
    except (ValueError, RecursionError):  # what the upgrade of a classic database carried over
        content = None
    said: Mapping[str, Any] = content if isinstance(content, dict) else {}
    return Event(
        number,
        timestamp,
        kind,
        run_id=_text(said.get("run_id")),
        # Some scripts have other names for two of them.
        host=_text(said.get("host")) or _text(said.get("loghost")),
        synced_host=_text(said.get("synced_host")),
        log_date=_text(said.get("log_date")),
        reason=_text(said.get("reason")) or _text(said.get("failure")),
    )


def insert(cursor: Any, stored: Iterable[tuple[int, Row]]) -> None:
    """Insert the events that new messages tell of, in the transaction that stores them.

    Args:
        cursor: of psycopg2.
        stored: messages of any topic, each with the id of its row.
    """
    events = _events(stored)
    if events:
        execute_values(
            cursor,
            f"INSERT INTO sync_events ({_COLUMNS}) VALUES %s",
            _values(events),
            page_size=len(events),
        )


def renew(cursor: Any, stored: Iterable[tuple[int, Row]]) -> set[int]:
    """Let the events be those that stored messages tell of, as this version reads them.

    Args:
        cursor: of psycopg2.
        stored: messages of any topic, each with the id of its row.

    Returns:
        The ids of the messages for which something changed.
    """
    wanted = _events(stored)
    if not wanted:
        return set()
    numbers = [event.msg for event in wanted]
    cursor.execute(f"SELECT {_COLUMNS} FROM sync_events WHERE msg = ANY(%s)", [numbers])
    there = {
        Event(number, message.naive_utc(timestamp), *rest)
        for number, timestamp, *rest in cursor.fetchall()
    }
    changed = [event for event in wanted if event not in there]
    if changed:
        cursor.execute(
            "DELETE FROM sync_events WHERE msg = ANY(%s)", [[event.msg for event in changed]]
        )
        # By way of messages: one that was deleted meanwhile tells of nothing.
        execute_values(
            cursor,
            f"INSERT INTO sync_events ({_COLUMNS}) SELECT told.* FROM (VALUES %s) AS told (number) "
            "WHERE EXISTS (SELECT FROM messages WHERE id = told.number) ON CONFLICT DO NOTHING",
            _values(changed),
            template="(%s, %s, %s, %s::text, %s::text, %s::text, %s::text, %s::text)",
            page_size=len(changed),
        )
    return {event.msg for event in changed}


def _events(stored: Iterable[tuple[int, Row]]) -> list[Event]:
    told = [(number, row) for number, row in stored if TOPIC in row.topic]
    return [
        read(number, row.timestamp, kind, row.msg)
        for number, row in told
        if (kind := kind_of(row.topic))
    ]


def _values(events: Iterable[Event]) -> list[Event]:
    return [event._replace(timestamp=message.as_utc(event.timestamp)) for event in events]


def _text(value: Any) -> str | None:
    """The text, fit for a column that is indexed: no NUL, no lone surrogate, cut off if long."""
    if not isinstance(value, str) or not value:
        return None
    text = value[: message.MAX_TEXT_BYTES].replace("\0", "\\x00")
    data = text.encode("utf-8", "backslashreplace")
    return data[: message.MAX_TEXT_BYTES].decode("utf-8", "ignore")
