"""Rejects tried again: what can be stored by now becomes a message."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models import message, raw, record
from datanommer.models.database import bound_engine
from datanommer.models.errors import NoSuchReject, NotStorable
from datanommer.models.message import Row
from datanommer.models.rejected import CLASSIC, conditions_of
from datanommer.models.schema import Rejected
from datanommer.models.store import Counts, Reject, in_transaction, settle

_BATCH = 1000
_BATCH_BYTES = 16 * 1024 * 1024


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
    conditions = [*conditions_of(ids=ids, kind=kind), Rejected.kind != CLASSIC]
    return (_retry_batch(batch) for batch in _batches(conditions))


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


def _retry_batch(batch: Sequence[int]) -> Counts:
    return in_transaction(lambda connection: _retry(connection, batch))


def _retry(connection: sa.Connection, batch: Sequence[int]) -> Counts:
    cursor = connection.connection.cursor()
    cursor.execute(
        f"SELECT {', '.join(_Kept._fields)} FROM rejected WHERE id = ANY(%s) ORDER BY id",
        [list(batch)],
    )
    attempts = [_attempt(_Kept._make([*row[:-1], bytes(row[-1])])) for row in cursor.fetchall()]
    # Messages first and rejects last, as all writers do.
    outcome = settle(connection, [attempt.row for attempt in attempts if attempt.row])
    refusals = {id(row): error for row, error in outcome.refused}
    for attempt in attempts:
        attempt.refusal = attempt.refusal or refusals.get(id(attempt.row))
    refused = [attempt for attempt in attempts if attempt.refusal]
    cursor.execute(
        "DELETE FROM rejected WHERE id = ANY(%s)",
        [[attempt.kept.id for attempt in attempts if not attempt.refusal]],
    )
    _refresh(cursor, refused)
    return Counts(
        stored=len(attempts) - len(refused) - len(outcome.duplicates),
        duplicates=len(outcome.duplicates),
        rejected=len(refused),
    )


def _attempt(kept: _Kept) -> _Attempt:
    as_before = _Attempt(kept, refusal=NotStorable(kept.kind, kept.reason))
    if raw.INEXACT in kept.reason:
        return as_before  # what it says instead would be a message that nobody sent
    try:
        value = json.loads(kept.raw.decode())
    except (ValueError, RecursionError):
        return as_before
    item = record.parse_reject(value)
    if isinstance(item, Reject):
        return _Attempt(kept, refusal=NotStorable(item.kind, item.reason))
    _keep_what_was_given(item, kept, value)
    return _Attempt(kept, row=item)


def _keep_what_was_given(row: Row, kept: _Kept, value: dict[str, Any]) -> None:
    """A message without a time is of the time when it came; a conflict is about its id."""
    body = message.received(row)["body"]
    if body.get("timestamp") is None and value.get("timestamp") is None:
        row.timestamp = message.naive_utc(kept.received_at)
    if kept.kind == "conflict" and kept.msg_id is not None:
        row.msg_id = kept.msg_id


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
