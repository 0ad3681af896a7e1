"""Deletes messages from PostgreSQL that the data set has in full."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from datanommer.models import times
from datanommer.models.data_set import beginning, check, records
from datanommer.models.data_set.columns import SCHEMA
from datanommer.models.data_set.data_set import DataSet, DataSetError, locked
from datanommer.models.data_set.manifest import File
from datanommer.models.errors import DatanommerError
from datanommer.models.exporting import identity
from datanommer.models.exporting.source import bounds
from datanommer.models.filtering.filters import Filters
from datanommer.models.storing.transaction import in_transaction

_BATCH = 500
#: The columns that a dump is made of. It has no row ids and no storage times, and the category
#: follows from the topic.
_COMPARED = [name for name in SCHEMA.names if name not in {"id", "stored_at", "category"}]
_SQL = {
    "msg": "m.msg::text",
    "headers": "m.headers::text",
    "extra": "m.extra::text",
    "certificate": "c.body",
    "users": "ARRAY(SELECT name FROM user_messages WHERE msg = m.id ORDER BY name)",
    "packages": "ARRAY(SELECT name FROM package_messages WHERE msg = m.id ORDER BY name)",
}
_SELECTED = ", ".join(_SQL.get(name, f"m.{name}") + f" AS {name}" for name in _COMPARED)
_READ = sa.text(
    f"SELECT m.id, {_SELECTED} FROM messages m LEFT JOIN certificates c ON c.id = m.certificate_id "
    "WHERE m.id = ANY(CAST(:ids AS bigint[]))"
)
_FIND = "SELECT id FROM messages WHERE msg_id = ANY(CAST(:msg_ids AS text[])) ORDER BY id"
# Users, packages and what applications have extracted go with them.
_DELETE = sa.text("DELETE FROM messages WHERE id = ANY(CAST(:ids AS bigint[]))")
_IS_WAITED_FOR = sa.text(
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
)
# What a message may refer to: the table, its key, and where messages name it.
_REFERRED = (
    ("certificates", "id", "messages", "certificate_id"),
    ("users", "name", "user_messages", "name"),
    ("packages", "name", "package_messages", "name"),
)


@dataclass(slots=True)
class Progress:
    """How far a prune is.

    Attributes:
        pruned: how many messages it has deleted, or would.
        different: how many stay, because they are not the same in the data set; by month.
        adopted: how many files of an export that was killed it has taken in.
    """

    pruned: int = 0
    different: Counter[str] = field(default_factory=Counter)
    adopted: int = 0


class _Outcome(NamedTuple):
    """What became of a batch.

    Attributes:
        pruned: how many messages were deleted, or would be.
        different: how many stay.
        is_waited_for: whether another session had to wait for this one.
    """

    pruned: int
    different: int
    is_waited_for: bool


def prune(
    engine: sa.Engine, folder: Path, before: datetime, progress: Progress, *, dry_run: bool = False
) -> Iterator[None]:
    """Delete messages that are in a data set just as they are here.

    Each file is checked as a whole before any message in it counts. Each batch is a transaction, so
    that nothing is half deleted. If others had to wait, it pauses for as long as its batch took.

    Args:
        engine: of the archive, as its owner.
        folder: of the data set.
        before: no message sent after this (naive, in UTC).
        progress: is kept up to date.
        dry_run: whether to look only.

    Returns:
        Nothing, after each batch, once it is committed.

    Raises:
        DatanommerError: the folder is no data set of this archive, a file of it is missing or
            damaged, or the role may not delete messages; says what to do.
        OSError: the data set cannot be read.
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed.
    """
    _require_owner(engine)
    archive = identity.identify(engine)
    # Locked as for writing: nothing may change in the data set meanwhile.
    with locked(folder, for_writing=True):
        DataSet.open(folder)
        data_set, progress.adopted = beginning.begin(folder, archive, Filters())
        for file in data_set.files:
            if file.month <= f"{before:%Y-%m}" and _has_messages(engine, file.month):
                yield from _prune_file(engine, data_set, file, before, progress, dry_run=dry_run)
    if not dry_run:
        _tidy(engine)


def _prune_file(
    engine: sa.Engine,
    data_set: DataSet,
    file: File,
    before: datetime,
    progress: Progress,
    *,
    dry_run: bool,
) -> Iterator[None]:
    _require_whole(data_set, file)
    last = pa.scalar(times.as_utc(before), SCHEMA.field("timestamp").type)
    for batch in records.batches(data_set, file, _BATCH):
        rows = batch.filter(pc.less_equal(batch.column("timestamp"), last)).to_pylist()
        started = time.monotonic()
        outcome = in_transaction(engine, partial(_prune_batch, rows, dry_run))
        progress.pruned += outcome.pruned
        if outcome.different:
            progress.different[file.month] += outcome.different
        yield
        if outcome.is_waited_for:
            time.sleep(time.monotonic() - started)


def _require_owner(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        may_delete = connection.scalar(sa.text("SELECT has_table_privilege('messages', 'DELETE')"))
    if not may_delete:
        raise DatanommerError(
            "This role cannot delete messages: only the owner of the tables can. Connect as a "
            "member of datanommer_owner."
        )


def _require_whole(data_set: DataSet, file: File) -> None:
    if fault := check.fault_of(data_set, file):
        raise DataSetError(
            f"{data_set.path(file)} is {fault}. No message in it was deleted. Put it back from a "
            f"backup, or write its month anew: datanommer-export --rewrite {file.month} "
            f"{data_set.folder}"
        )


def _has_messages(engine: sa.Engine, month: str) -> bool:
    start, end = bounds(month)
    query = sa.text(
        "SELECT EXISTS (SELECT FROM messages WHERE timestamp >= CAST(:start AS timestamptz) "
        "AND timestamp < CAST(:end AS timestamptz))"
    )
    with engine.connect() as connection:
        return bool(connection.scalar(query, {"start": start, "end": end}))


def _prune_batch(
    rows: Sequence[dict[str, Any]], dry_run: bool, connection: sa.Connection
) -> _Outcome:
    exported = {row["msg_id"]: row for row in rows}
    # The lock keeps others from changing them before they are deleted. A dry run needs none.
    find = sa.text(_FIND if dry_run else f"{_FIND} FOR UPDATE")
    ids = list(connection.scalars(find, {"msg_ids": list(exported)}))
    found = connection.execute(_READ, {"ids": ids}).mappings().all()
    same = [row["id"] for row in found if _is_same(row, exported[row["msg_id"]])]
    if not dry_run:
        connection.execute(_DELETE, {"ids": same})
    is_waited_for = bool(not dry_run and connection.scalar(_IS_WAITED_FOR))
    return _Outcome(len(same), len(found) - len(same), is_waited_for)


def _is_same(stored: Any, exported: dict[str, Any]) -> bool:
    values = {**stored, "signature": stored["signature"] and bytes(stored["signature"])}
    return all(values[name] == exported[name] for name in _COMPARED)


def _tidy(engine: sa.Engine) -> None:
    """Delete certificates and names that no message needs any more."""
    for table, key, messages, column in _REFERRED:
        in_transaction(engine, partial(_tidy_table, table, key, messages, column))


def _tidy_table(
    table: str, key: str, messages: str, column: str, connection: sa.Connection
) -> None:
    needless = f"NOT EXISTS (SELECT FROM {messages} m WHERE m.{column} = t.{key})"
    # Rows that a message being written needs are locked. SKIP LOCKED keeps them.
    keys = connection.scalars(
        sa.text(f"SELECT {key} FROM {table} t WHERE {needless} FOR UPDATE SKIP LOCKED")
    ).all()
    # Checked again: such a message may have been committed in between.
    connection.execute(
        sa.text(f"DELETE FROM {table} t WHERE t.{key} = ANY(:keys) AND {needless}"),
        {"keys": list(keys)},
    )
