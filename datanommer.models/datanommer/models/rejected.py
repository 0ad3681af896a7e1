"""What was rejected: found, exported, and tried again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values
from sqlalchemy import orm

from datanommer.models import message, record
from datanommer.models.database import bound_engine
from datanommer.models.errors import DatanommerError, NotStorable
from datanommer.models.insert import insert
from datanommer.models.message import Row
from datanommer.models.schema import Rejected
from datanommer.models.store import Counts, Reject

#: The kinds of rejects; see `datanommer.models.schema.Rejected`.
KINDS = ("conflict", "invalid", "too large", "classic")
#: The kind of what an upgrade left behind: rows of the classic tables, and no messages.
CLASSIC = "classic"

_BATCH = 1000
_BATCH_BYTES = 16 * 1024 * 1024
_FETCH = 10  # rows with their raw, which may be long, that memory holds at a time
_TRIES = 5


class NoSuchReject(DatanommerError):
    """There is no reject with that id."""

    def __init__(self, ids: Collection[int]) -> None:
        super().__init__(
            f"There is no reject with the id {', '.join(map(str, ids))}. "
            "See those that there are with datanommer-rejected list."
        )


class Entry(NamedTuple):
    """A reject without what was received.

    Attributes:
        received_at: when it first came (naive, in UTC).
        seen: how often it came.
    """

    id: int
    received_at: datetime
    kind: str
    seen: int
    msg_id: str | None
    topic: str | None
    reason: str


def find(
    *,
    kind: str | None = None,
    since: datetime | None = None,
    before: datetime | None = None,
    limit: int | None = None,
) -> Iterator[Entry]:
    """The rejects, those that came last first.

    Args:
        kind: only this kind; see `KINDS`.
        since: only what first came at this time or later (naive is UTC).
        before: only what first came at this time or earlier (naive is UTC).
        limit: at most so many.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    columns = [getattr(Rejected, name) for name in Entry._fields]
    query = sa.select(*columns).order_by(Rejected.received_at.desc(), Rejected.id.desc())
    conditions = _conditions(kind=kind)
    if since is not None:
        conditions.append(Rejected.received_at >= since)
    if before is not None:
        conditions.append(Rejected.received_at <= before)
    with bound_engine().connect() as connection:
        found = connection.execution_options(yield_per=_BATCH).execute(
            query.where(*conditions).limit(limit)
        )
        yield from map(Entry._make, found)


def get(number: int) -> Rejected:
    """The reject with that id.

    Raises:
        NoSuchReject: there is none.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with orm.Session(bound_engine(), expire_on_commit=False) as session:
        found = session.get(Rejected, number)
    if found is None:
        raise NoSuchReject([number])
    return found


def export(output: record.Output, *, kind: str | None = None) -> None:
    """Write the rejects in the order of their ids, one JSON object a line, in UTF-8.

    Each is ``{"rejected": {...}, "raw": ...}``: why, and what was received, as JSON where it can
    be read as that, else as text. `record.parse` takes it as what is in ``raw``.

    Raises:
        OSError: `output` cannot be written.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    columns = [getattr(Rejected, name) for name in (*Entry._fields, "raw")]
    query = sa.select(*columns).where(*_conditions(kind=kind)).order_by(Rejected.id)
    with bound_engine().connect() as connection:
        for *fields, raw in connection.execution_options(yield_per=_FETCH).execute(query):
            why = Entry._make(fields)._asdict()
            why["received_at"] = f"{why['received_at'].isoformat()}Z"
            opening = f'{{"rejected": {json.dumps(why)}, "raw": '
            output.write(opening.encode() + _as_json(raw) + b"}\n")


def _as_json(raw: bytes) -> bytes:
    try:
        json.loads(raw.decode())
    except (ValueError, RecursionError):
        return json.dumps(raw.decode("utf-8", "surrogateescape")).encode()
    # No string of JSON holds one: it stands between values.
    return raw.replace(b"\n", b" ")


def count(*, ids: Collection[int] | None = None, kind: str | None = None) -> int:
    """How many rejects there are.

    Args:
        ids: only those with these ids.
        kind: only this kind.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = sa.select(sa.func.count()).select_from(Rejected)
    with bound_engine().connect() as connection:
        return connection.scalars(query.where(*_conditions(ids=ids, kind=kind))).one()


def retry(*, ids: Collection[int] | None = None, kind: str | None = None) -> Iterator[Counts]:
    """Try to store rejects as they are; those of kind `CLASSIC` are left out.

    What is stored now, and what turns out to be a duplicate, is a reject no more. What is refused
    again stays, with the reason of today; that it was tried does not count as seen.

    Args:
        ids: only those with these ids.
        kind: only this kind.

    Returns:
        What became of the rejects, a batch at a time, once that is committed: messages are stored
        and rejects deleted in the same transaction. Nothing is tried that is not asked for.

    Raises:
        NoSuchReject: one of the ids is not there; nothing was tried.
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; nothing of the batch is
            changed.
    """
    if ids is not None:
        _require(ids)
    conditions = [*_conditions(ids=ids, kind=kind), Rejected.kind != CLASSIC]
    return map(_retry_until_done, _batches(conditions))


def _conditions(
    *, ids: Collection[int] | None = None, kind: str | None = None
) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if ids is not None:
        conditions.append(Rejected.id.in_(ids))
    if kind is not None:
        conditions.append(Rejected.kind == kind)
    return conditions


def _require(ids: Collection[int]) -> None:
    query = sa.select(Rejected.id).where(Rejected.id.in_(ids))
    with bound_engine().connect() as connection:
        missing = set(ids) - set(connection.scalars(query))
    if missing:
        raise NoSuchReject(sorted(missing))


def _batches(conditions: Sequence[sa.ColumnElement[bool]]) -> Iterator[list[int]]:
    """The ids of the rejects in batches that memory holds."""
    with bound_engine().connect() as connection:
        # What comes meanwhile is not tried, or a bus that sends poison would keep us busy.
        last = connection.scalar(sa.select(sa.func.max(Rejected.id)))
    done = 0
    query = (
        sa.select(Rejected.id, sa.func.octet_length(Rejected.raw))
        .where(*conditions)
        .order_by(Rejected.id)
        .limit(_BATCH)
    )
    while last is not None:
        with bound_engine().connect() as connection:
            found = connection.execute(query.where(Rejected.id > done, Rejected.id <= last)).all()
        if not found:
            return
        batch: list[int] = []
        size = 0
        for number, length in found:
            size += length
            if batch and size > _BATCH_BYTES:
                break
            batch.append(number)
        yield batch
        done = batch[-1]


class _Kept(NamedTuple):
    """A reject as the database has it; `received_at` is aware."""

    id: int
    received_at: datetime
    kind: str
    reason: str
    msg_id: str | None
    raw: bytes


@dataclass(slots=True)
class _Attempt:
    """A reject tried again: its row, or the reason why there is none to be stored."""

    kept: _Kept
    row: Row | None = None
    refusal: NotStorable | None = None


def _retry_until_done(batch: Sequence[int]) -> Counts:
    for tries_left in reversed(range(_TRIES)):
        try:
            with bound_engine().begin() as connection:
                return _retry(connection, batch)
        except (psycopg2.errors.DeadlockDetected, psycopg2.errors.SerializationFailure):
            if not tries_left:
                raise
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311  apart from the other writer
    raise AssertionError("the last try returns or raises")


def _retry(connection: sa.Connection, batch: Sequence[int]) -> Counts:
    cursor = connection.connection.cursor()
    cursor.execute(
        f"SELECT {', '.join(_Kept._fields)} FROM rejected WHERE id = ANY(%s) ORDER BY id",
        [list(batch)],
    )
    attempts = [_attempt(_Kept._make([*values, bytes(raw)])) for *values, raw in cursor.fetchall()]
    # Messages first and rejects last, as all writers do.
    waiting = _insert(connection, [attempt for attempt in attempts if attempt.row])
    _refuse_conflicts(connection, waiting)
    refused = [attempt for attempt in attempts if attempt.refusal]
    duplicates = [attempt for attempt in waiting if not attempt.refusal]
    cursor.execute(
        "DELETE FROM rejected WHERE id = ANY(%s)",
        [[attempt.kept.id for attempt in attempts if not attempt.refusal]],
    )
    _refresh(cursor, refused)
    return Counts(
        stored=len(attempts) - len(refused) - len(duplicates),
        duplicates=len(duplicates),
        rejected=len(refused),
    )


def _attempt(kept: _Kept) -> _Attempt:
    as_before = _Attempt(kept, refusal=NotStorable(kept.kind, kept.reason))
    if _is_inexact(kept):
        return as_before
    try:
        value = json.loads(kept.raw.decode())
    except (ValueError, RecursionError):
        return as_before
    item = record.parse(value)
    if isinstance(item, Reject):
        return _Attempt(kept, refusal=NotStorable(item.kind, item.reason))
    _keep_what_was_given(item, kept, value)
    return _Attempt(kept, row=item)


def _is_inexact(kept: _Kept) -> bool:
    """Whether `raw` is other than what came, for which JSON has no form (bytes, say).

    What it says instead could be stored, and would be a message that nobody sent.
    """
    return "cannot be written as JSON" in kept.reason and "Out of range float" not in kept.reason


def _keep_what_was_given(row: Row, kept: _Kept, value: dict[str, Any]) -> None:
    """A message without a time is of the time when it came; a conflict is about its id."""
    body = message.received(row)["body"]
    if body.get("timestamp") is None and value.get("timestamp") is None:
        row.timestamp = message.naive_utc(kept.received_at)
    if kept.kind == "conflict" and kept.msg_id is not None:
        row.msg_id = kept.msg_id


def _insert(connection: sa.Connection, attempts: Sequence[_Attempt]) -> list[_Attempt]:
    """Insert the rows; return those whose id was there already. What is refused gets the reason."""
    rows = [attempt.row for attempt in attempts if attempt.row]
    if not rows:
        return []
    try:
        with connection.begin_nested():
            left = {id(row) for row in insert(connection, rows)}
            return [attempt for attempt in attempts if id(attempt.row) in left]
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        if len(attempts) == 1:
            reason = error.diag.message_primary or type(error).__name__
            attempts[0].refusal = NotStorable("invalid", f"PostgreSQL refused it: {reason}")
            return []
    middle = len(attempts) // 2
    return _insert(connection, attempts[:middle]) + _insert(connection, attempts[middle:])


def _refuse_conflicts(connection: sa.Connection, attempts: Sequence[_Attempt]) -> None:
    """Refuse those whose id belongs to a message of other content."""
    cursor = connection.connection.cursor()
    cursor.execute(
        "SELECT msg_id, topic, msg::text FROM messages WHERE msg_id = ANY(%s)",
        [[attempt.row.msg_id for attempt in attempts if attempt.row]],
    )
    stored = {msg_id: message.content(topic, msg) for msg_id, topic, msg in cursor.fetchall()}
    for attempt in attempts:
        row = attempt.row
        if row and message.content(row.topic, row.msg) != stored.get(row.msg_id):
            attempt.refusal = NotStorable(
                "conflict",
                f"the id {row.msg_id} belongs to a message of other content, which came first",
            )


def _refresh(cursor: Any, refused: Sequence[_Attempt]) -> None:
    """Let the rejects say why they are refused today."""
    changed = [
        (kept.id, refusal.kind, refusal.reason)
        for kept, refusal in ((attempt.kept, attempt.refusal) for attempt in refused)
        if refusal and (refusal.kind, refusal.reason) != (kept.kind, kept.reason)
    ]
    if changed:
        execute_values(
            cursor,
            "UPDATE rejected SET kind = new.kind, reason = new.reason "
            "FROM (VALUES %s) AS new (id, kind, reason) WHERE rejected.id = new.id",
            changed,
            page_size=len(changed),
        )
