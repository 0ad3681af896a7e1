"""What was extracted from the messages of the archive, extracted anew.

When the processors of ``fedmsg.meta`` are upgraded, they know more messages than they did when
those were stored. What each batch of messages is given to is in `EXTRACTIONS`; the messages
themselves are not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models import extraction, message, record, sync_events
from datanommer.models.insert import insert_names
from datanommer.models.message import Row
from datanommer.models.store import in_transaction

_BATCH = 500
_TABLES = (("users", "user_messages"), ("packages", "package_messages"))


class Stored(NamedTuple):
    """A message of the archive.

    Attributes:
        id: its number in the archive.
        row: its columns; `users` and `packages` are empty.
        envelope: what was received; None, if somebody changed the columns and they give back none.
    """

    id: int
    row: Row
    envelope: dict[str, Any] | None


class Progress(NamedTuple):
    """How far it is.

    Attributes:
        messages: how many were looked at.
        changed: for how many of them something changed.
        timestamp: when the last of them was sent (naive, in UTC).
    """

    messages: int
    changed: int
    timestamp: datetime


#: Extracts anew from a batch of messages, in the transaction of a connection, and returns the ids
#: of those for which something changed.
Extraction = Callable[[sa.Connection, Sequence[Stored]], set[int]]


def reindex(
    *,
    since: datetime | None = None,
    before: datetime | None = None,
    topic: str | None = None,
    category: str | None = None,
) -> Iterator[Progress]:
    """Extract anew what belongs to the messages of the archive, in order of (timestamp, id).

    Each batch is a transaction. What is right already is not written, so one that was broken off
    can be done again, from the timestamp of the last progress on.

    Args:
        since: no message older than this (naive is UTC).
        before: no message newer than this (naive is UTC).
        topic: only this topic.
        category: only this category.

    Returns:
        The progress after each batch, once it is committed.

    Raises:
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; the batch is not changed.
    """
    conditions = {
        "m.timestamp >= %s": since and message.as_utc(since),
        "m.timestamp <= %s": before and message.as_utc(before),
        "m.topic = %s": topic,
        "m.category = %s": category,
    }
    given = {sql: value for sql, value in conditions.items() if value is not None}
    messages = changed = 0
    after: tuple[datetime, int] | None = None
    while batch_and_changed := in_transaction(partial(_renew, given, after)):
        batch, renewed = batch_and_changed
        messages += len(batch)
        changed += len(renewed)
        last = batch[-1]
        after = message.as_utc(last.row.timestamp), last.id
        yield Progress(messages, changed, last.row.timestamp)


def renew_names(connection: sa.Connection, batch: Sequence[Stored]) -> set[int]:
    """Let the messages have the users and packages that ``fedmsg.meta`` knows today.

    A message that no processor knows, or at which one fails, keeps those that it has.
    """
    found = {
        stored.id: extraction.find(extraction.body_of(stored.envelope, stored.row.topic))
        for stored in batch
        if stored.envelope is not None
    }
    cursor = connection.connection.cursor()
    changes = []
    for place, (_, table) in enumerate(_TABLES):
        known = {number: names[place] for number, names in found.items()}
        wanted = {number: names for number, names in known.items() if names is not None}
        changes.append(_difference(cursor, table, wanted))
    for (names_table, _), (_, missing) in zip(_TABLES, changes, strict=True):
        insert_names(cursor, names_table, {name for name, _ in missing})
    for (_, table), (stale, missing) in zip(_TABLES, changes, strict=True):
        _delete(cursor, table, stale)
        _insert(cursor, table, missing)
    return {number for change in changes for pairs in change for _, number in pairs}


def renew_sync_events(connection: sa.Connection, batch: Sequence[Stored]) -> set[int]:
    """Let what messages about syncs of logs tell be in its table, also of older ones."""
    cursor = connection.connection.cursor()
    return sync_events.renew(cursor, [(stored.id, stored.row) for stored in batch])


#: What is extracted from messages; each keeps what it extracts in tables of its own.
EXTRACTIONS: tuple[Extraction, ...] = (renew_names, renew_sync_events)


def _renew(
    given: Mapping[str, Any], after: tuple[datetime, int] | None, connection: sa.Connection
) -> tuple[list[Stored], set[int]] | None:
    """Extract anew from the batch that comes after a place; None, if there is none."""
    asked = dict(given)
    if after is not None:
        asked["(m.timestamp, m.id) > %s"] = after
    where = f"WHERE {' AND '.join(asked)}" if asked else ""
    cursor = connection.connection.cursor()
    cursor.execute(
        f"SELECT m.id, {record.ROW} {record.FROM} {where} "
        f"ORDER BY m.timestamp, m.id LIMIT {_BATCH}",
        list(asked.values()),
    )
    batch = [_stored(number, Row(*columns)) for number, *columns in cursor.fetchall()]
    if not batch:
        return None
    changed: set[int] = set()
    for extract in EXTRACTIONS:
        changed |= extract(connection, batch)
    return batch, changed


def _stored(number: int, row: Row) -> Stored:
    try:
        return Stored(number, row, message.received(row))
    except (AttributeError, TypeError, ValueError, RecursionError):
        return Stored(number, row, None)


_Pairs = list[tuple[str, int]]


def _difference(
    cursor: Any, table: str, wanted: dict[int, tuple[str, ...]]
) -> tuple[_Pairs, _Pairs]:
    """The (name, id) that are there and should not be, and those that should and are not."""
    cursor.execute(f"SELECT name, msg FROM {table} WHERE msg = ANY(%s)", [list(wanted)])
    there = set(cursor.fetchall())
    should = {(name, number) for number, names in wanted.items() for name in names}
    # In order, as all writers go.
    return sorted(there - should), sorted(should - there)


def _delete(cursor: Any, table: str, pairs: _Pairs) -> None:
    if pairs:
        execute_values(
            cursor,
            f"DELETE FROM {table} a USING (VALUES %s) AS stale (name, msg) "
            "WHERE a.name = stale.name AND a.msg = stale.msg",
            pairs,
            page_size=len(pairs),
        )


def _insert(cursor: Any, table: str, pairs: _Pairs) -> None:
    if pairs:
        # By way of messages: one that was deleted meanwhile has no users.
        execute_values(
            cursor,
            f"INSERT INTO {table} (name, timestamp, category, msg) "
            "SELECT missing.name, m.timestamp, m.category, m.id "
            "FROM (VALUES %s) AS missing (name, msg) JOIN messages m ON m.id = missing.msg "
            "ORDER BY missing.name, m.timestamp, m.id ON CONFLICT DO NOTHING",
            pairs,
            page_size=len(pairs),
        )
