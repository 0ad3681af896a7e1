"""Rejects tried again: what can be stored by now becomes a message."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models import times
from datanommer.models.envelopes import json_text, lossless_json
from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import NoSuchReject, NotStorable
from datanommer.models.exchange import parser
from datanommer.models.filtering.predicates import Predicate
from datanommer.models.rejecting.listing import CLASSIC, predicates_of
from datanommer.models.storing import rows
from datanommer.models.storing.batch import Counts
from datanommer.models.storing.transaction import in_transaction
from datanommer.models.tables import rejected

_BATCH = 1000
_BATCH_BYTES = 16 * 1024 * 1024


def retry(
    engine: sa.Engine, *, ids: Collection[int] | None = None, kind: str | None = None
) -> Iterator[Counts]:
    """Try to store rejects as they are; those of kind `CLASSIC` are left out.

    A reject that can be stored now, or is a duplicate, is deleted. One that still cannot be stored
    stays, with today's reason; the retry does not count as seen.

    Args:
        engine: of the database.
        ids: only those with these ids.
        kind: only this kind.

    Returns:
        What became of the rejects, a batch at a time, once that is committed: messages are stored
        and rejects deleted in the same transaction. A batch is tried when its turn comes.

    Raises:
        NoSuchReject: one of the ids is not there; nothing was tried.
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; nothing of the batch is
            changed.
    """
    if ids is not None:
        _require(engine, ids)
    selected = [*predicates_of(ids=ids, kind=kind), rejected.c.kind != CLASSIC]
    return (in_transaction(engine, partial(_retry, batch)) for batch in _batches(engine, selected))


def _require(engine: sa.Engine, ids: Collection[int]) -> None:
    query = sa.select(rejected.c.id).where(rejected.c.id.in_(ids))
    with engine.connect() as connection:
        missing = set(ids) - set(connection.scalars(query))
    if missing:
        raise NoSuchReject(sorted(missing))


def _batches(engine: sa.Engine, selected: Sequence[Predicate]) -> Iterator[list[int]]:
    """The ids of the rejects in batches that memory holds."""
    with engine.connect() as connection:
        # What comes meanwhile is not tried, or a bus that sends poison would keep us busy.
        last = connection.scalar(sa.select(sa.func.max(rejected.c.id)))
    done = 0
    query = (
        sa.select(rejected.c.id, sa.func.octet_length(rejected.c.raw))
        .where(*selected)
        .order_by(rejected.c.id)
        .limit(_BATCH)
    )
    while last is not None:
        in_range = query.where(rejected.c.id > done, rejected.c.id <= last)
        with engine.connect() as connection:
            sizes = connection.execute(in_range).all()
        if not sizes:
            return
        batch: list[int] = []
        batch_size = 0
        for reject_id, size in sizes:
            batch_size += size
            if batch and batch_size > _BATCH_BYTES:
                break
            batch.append(reject_id)
        yield batch
        done = batch[-1]


class _StoredReject(NamedTuple):
    """A reject as the database has it; `received_at` is aware."""

    id: int
    received_at: datetime
    kind: str
    reason: str
    msg_id: str | None
    raw: bytes


@dataclass(slots=True)
class _Attempt:
    """A reject tried again: its row, or the reason why there is none."""

    reject: _StoredReject
    row: Row | None = None
    error: NotStorable | None = None


def _retry(batch: Sequence[int], connection: sa.Connection) -> Counts:
    cursor = connection.connection.cursor()
    cursor.execute(
        f"SELECT {', '.join(_StoredReject._fields)} FROM rejected WHERE id = ANY(%s) ORDER BY id",
        [list(batch)],
    )
    stored = [_StoredReject(*each)._replace(raw=bytes(each[-1])) for each in cursor.fetchall()]
    attempts = [_attempt(reject) for reject in stored]
    # Messages first and rejects last, as all writers do.
    result = rows.insert(connection, [attempt.row for attempt in attempts if attempt.row])
    errors = {id(row): error for row, error in result.rejected}
    for attempt in attempts:
        attempt.error = attempt.error or errors.get(id(attempt.row))
    rejected_again = [attempt for attempt in attempts if attempt.error]
    cursor.execute(
        "DELETE FROM rejected WHERE id = ANY(%s)",
        [[attempt.reject.id for attempt in attempts if not attempt.error]],
    )
    _refresh(cursor, rejected_again)
    return Counts(
        stored=len(attempts) - len(rejected_again) - len(result.duplicates),
        duplicates=len(result.duplicates),
        rejected=len(rejected_again),
    )


def _attempt(reject: _StoredReject) -> _Attempt:
    as_before = _Attempt(reject, error=NotStorable(reject.kind, reject.reason))
    if lossless_json.INEXACT in reject.reason:
        return as_before  # its JSON is not exact, and would be a message that nobody sent
    try:
        value = json_text.read(reject.raw.decode())
    except (ValueError, RecursionError):
        return as_before
    item = parser.parse_reject(value)
    if isinstance(item, Reject):
        return _Attempt(reject, error=NotStorable(item.kind, item.reason))
    _restore_identity(item, reject, value)
    return _Attempt(reject, row=item)


def _restore_identity(row: Row, reject: _StoredReject, value: dict[str, Any]) -> None:
    """Give a message without a time that of its arrival, and one in conflict its id."""
    body = row.envelope()["body"]
    if body.get("timestamp") is None and value.get("timestamp") is None:
        row.timestamp = times.naive_utc(reject.received_at)
    if reject.kind == "conflict" and reject.msg_id is not None:
        row.msg_id = reject.msg_id


def _refresh(cursor: Any, rejected_again: Sequence[_Attempt]) -> None:
    """Write down today's reasons of the rejects."""
    changed = [
        (reject.id, error.kind, error.reason)
        for reject, error in ((attempt.reject, attempt.error) for attempt in rejected_again)
        if error and (error.kind, error.reason) != (reject.kind, reject.reason)
    ]
    if changed:
        execute_values(
            cursor,
            "UPDATE rejected SET kind = new.kind, reason = new.reason "
            "FROM (VALUES %s) AS new (id, kind, reason) WHERE rejected.id = new.id",
            changed,
            page_size=len(changed),
        )
