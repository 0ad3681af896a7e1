"""What was extracted from stored messages, extracted anew.

After an upgrade of its processors, ``fedmsg.meta`` knows more messages than it did when those were
stored, and so do schema classes that are installed later. What was sent is not changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models.filtering.filters import Filters
from datanommer.models.finding import stored_rows
from datanommer.models.finding.cursor import Cursor
from datanommer.models.preparing import concerned
from datanommer.models.preparing.concerned import Concerned
from datanommer.models.storing import extractions
from datanommer.models.storing.extractions import Stored
from datanommer.models.storing.inserts import insert_names
from datanommer.models.storing.transaction import in_transaction

_BATCH = 500
_TABLES = (("users", "user_messages"), ("packages", "package_messages"))


class Progress(NamedTuple):
    """How far it is.

    Attributes:
        messages: how many were examined.
        changed: for how many of them something changed.
        timestamp: when the last of them was sent (naive, in UTC).
        missing: how many keep what they have, because a package is not installed; by package.
    """

    messages: int
    changed: int
    timestamp: datetime
    missing: Counter[str]


def reindex(engine: sa.Engine, filters: Filters) -> Iterator[Progress]:
    """Extract anew what belongs to stored messages, in order of (timestamp, id).

    Each batch is a transaction. What is right already is not written, so a run that was broken off
    can go on from the timestamp of the last progress.

    Args:
        engine: of the database.
        filters: which messages.

    Returns:
        The progress after each batch, once it is committed.

    Raises:
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; the batch is not changed.
    """
    messages = changed = 0
    missing: Counter[str] = Counter()
    after: Cursor | None = None
    while batch_and_changed := in_transaction(engine, partial(_renew, filters, after)):
        batch, renewed, of_batch = batch_and_changed
        missing = missing + of_batch
        messages += len(batch)
        changed += len(renewed)
        last_id, last = batch[-1]
        after = last.timestamp, last_id
        yield Progress(messages, changed, last.timestamp, missing)


def _renew(
    filters: Filters, after: Cursor | None, connection: sa.Connection
) -> tuple[Stored, set[int], Counter[str]] | None:
    """Extract anew from the batch that comes after a cursor; None if there is none.

    Returns:
        The batch, the ids of those that changed, and how many miss a package.
    """
    query = stored_rows.select(filters, after=after).limit(_BATCH)
    batch = stored_rows.read(connection.execute(query))
    if not batch:
        return None
    cursor = connection.connection.cursor()
    found = {row_id: concerned.find(body) for row_id, body in _bodies(batch) if body is not None}
    changed = _renew_names(cursor, found) | _renew_agents(cursor, found)
    for extraction in extractions.installed():
        changed |= extraction.renew(cursor, batch)
    missing = [each.missing_package for each in found.values() if each.missing_package is not None]
    return batch, changed, Counter(missing)


def _renew_names(cursor: Any, found: dict[int, Concerned]) -> set[int]:
    """Set the users and packages of messages to those that are known today.

    A message keeps those that it has if nobody knows any, or everybody fails on it. One whose
    package is not installed gets those that are known without it, and loses none.
    """
    incomplete = {row_id for row_id, each in found.items() if each.missing_package is not None}
    changes = []
    for kind, table in _TABLES:
        names = {row_id: getattr(each, kind) for row_id, each in found.items()}
        known = {row_id: those for row_id, those in names.items() if those is not None}
        stale, new = _difference(cursor, table, known)
        changes.append(([pair for pair in stale if pair[1] not in incomplete], new))
    for (names_table, _), (_, missing) in zip(_TABLES, changes, strict=True):
        insert_names(cursor, names_table, {name for name, _ in missing})
    for (_, table), (stale, missing) in zip(_TABLES, changes, strict=True):
        _delete(cursor, table, stale)
        _insert(cursor, table, missing)
    return {row_id for change in changes for pairs in change for _, row_id in pairs}


def _renew_agents(cursor: Any, found: dict[int, Concerned]) -> set[int]:
    """Set the agents of messages to those that are known today; the others keep theirs.

    A message whose package is not installed also keeps its agent: the package may have named it.
    """
    agents = [
        (row_id, each.agent, each.missing_package is None)
        for row_id, each in sorted(found.items())
        if each.agent
    ]
    if not agents:
        return set()
    ids, names, are_sure = map(list, zip(*agents, strict=True))
    cursor.execute(
        "SELECT m.id, known.agent "
        "FROM unnest(%s, %s::text[], %s::boolean[]) AS known (id, agent, is_sure) "
        "JOIN messages m USING (id) WHERE m.agent IS DISTINCT FROM known.agent "
        "AND (known.is_sure OR m.agent IS NULL) ORDER BY m.id",
        [ids, names, are_sure],
    )
    changed = cursor.fetchall()
    if changed:
        execute_values(
            cursor,
            "UPDATE messages m SET agent = known.agent FROM (VALUES %s) AS known (id, agent) "
            "WHERE m.id = known.id",
            changed,
            page_size=len(changed),
        )
    return {row_id for row_id, _ in changed}


def _bodies(batch: Stored) -> Iterator[tuple[int, Any]]:
    """The ids and bodies; None for the body of columns that somebody changed beyond repair."""
    for row_id, row in batch:
        try:
            yield row_id, concerned.body_of(row.envelope(), row.topic)
        except (AttributeError, TypeError, ValueError, RecursionError):
            yield row_id, None


_Pairs = list[tuple[str, int]]


def _difference(
    cursor: Any, table: str, known: dict[int, tuple[str, ...]]
) -> tuple[_Pairs, _Pairs]:
    """The stale (name, id), which should not be there, and the missing ones."""
    cursor.execute(f"SELECT name, msg FROM {table} WHERE msg = ANY(%s)", [list(known)])
    there = set(cursor.fetchall())
    right = {(name, row_id) for row_id, names in known.items() for name in names}
    # In order, as all writers go.
    return sorted(there - right), sorted(right - there)


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
