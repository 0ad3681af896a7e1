"""What messages about syncs of logs report: the table `sync_events`, with one row per message.

A script that syncs the logs of web servers to one host reports what it does under the topics
``logging.stats.sync.*``. This module reads the fields that `datanommer-runs` needs when a message
is stored, in Python. Nothing in the database reads `msg` itself, because PostgreSQL's JSON
operators fail on a document with a ``\\u0000`` anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extras import execute_values

from datanommer.models import times
from datanommer.models.envelopes.fields import fit_text
from datanommer.models.envelopes.row import Row

#: The part of the topic before the kind of the event, without the prefix of the bus.
TOPIC = "logging.stats.sync."

_COLUMNS = "msg, timestamp, kind, run_id, host, synced_host, log_date, reason"


class Event(NamedTuple):
    """What one message reports.

    Attributes:
        msg: the id of the message's row in `messages`.
        timestamp: when it was sent (naive, in UTC).
        kind: the topic after `TOPIC`, such as ``host.start``.
        run_id: the run of the script that sent it.
        host: the host that the script runs on.
        synced_host: the host whose logs are synced.
        log_date: the date of the logs, as the script writes it.
        reason: what went wrong.

    A field that the message does not have, or not as text, is None.
    """

    msg: int
    timestamp: datetime
    kind: str
    run_id: str | None = None
    host: str | None = None
    synced_host: str | None = None
    log_date: str | None = None
    reason: str | None = None


def event_kind(topic: str) -> str | None:
    """The kind of event that messages of a topic report; None if they report none."""
    prefix, _, kind = topic.partition(TOPIC)
    return kind if kind and (not prefix or prefix.endswith(".")) else None


def read_event(row_id: int, timestamp: datetime, kind: str, msg: str) -> Event:
    """The event that a message reports, whatever its sender put into it.

    Args:
        row_id: the id of the message's row.
        timestamp: when it was sent (naive, in UTC).
        kind: the kind of the event, as `event_kind` returns it.
        msg: the content, as JSON text.
    """
    try:
        content = json.loads(msg)
    except (ValueError, RecursionError):  # carried over by the upgrade of a classic database
        content = None
    fields: Mapping[str, Any] = content if isinstance(content, dict) else {}
    return Event(
        row_id,
        timestamp,
        kind,
        run_id=_read_text(fields.get("run_id")),
        # Some scripts have other names for two of the fields.
        host=_read_text(fields.get("host")) or _read_text(fields.get("loghost")),
        synced_host=_read_text(fields.get("synced_host")),
        log_date=_read_text(fields.get("log_date")),
        reason=_read_text(fields.get("reason")) or _read_text(fields.get("failure")),
    )


def insert(cursor: Any, stored: Iterable[tuple[int, Row]]) -> None:
    """Insert the events that new messages report, in the transaction that stores the messages.

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
    """Bring the events of stored messages up to date with how this version reads them.

    Args:
        cursor: of psycopg2.
        stored: messages of any topic, each with the id of its row.

    Returns:
        The ids of the messages whose event changed.
    """
    events = _events(stored)
    if not events:
        return set()
    row_ids = [event.msg for event in events]
    cursor.execute(f"SELECT {_COLUMNS} FROM sync_events WHERE msg = ANY(%s)", [row_ids])
    current = {
        Event(row_id, times.naive_utc(timestamp), *rest)
        for row_id, timestamp, *rest in cursor.fetchall()
    }
    changed = [event for event in events if event not in current]
    if changed:
        cursor.execute(
            "DELETE FROM sync_events WHERE msg = ANY(%s)", [[event.msg for event in changed]]
        )
        # Only for messages that still exist: one may have been deleted meanwhile.
        execute_values(
            cursor,
            f"INSERT INTO sync_events ({_COLUMNS}) SELECT new.* FROM (VALUES %s) AS new (msg) "
            "WHERE EXISTS (SELECT FROM messages WHERE id = new.msg) ON CONFLICT DO NOTHING",
            _values(changed),
            template="(%s, %s, %s, %s::text, %s::text, %s::text, %s::text, %s::text)",
            page_size=len(changed),
        )
    return {event.msg for event in changed}


def _events(stored: Iterable[tuple[int, Row]]) -> list[Event]:
    candidates = [(row_id, row) for row_id, row in stored if TOPIC in row.topic]
    return [
        read_event(row_id, row.timestamp, kind, row.msg)
        for row_id, row in candidates
        if (kind := event_kind(row.topic))
    ]


def _values(events: Iterable[Event]) -> list[Event]:
    return [event._replace(timestamp=times.as_utc(event.timestamp)) for event in events]


def _read_text(value: Any) -> str | None:
    return fit_text(value) or None
