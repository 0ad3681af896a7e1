"""Rewrites a month of a data set from the archive; what only the data set has stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from datanommer.models.data_set import beginning, check, files, records
from datanommer.models.data_set.data_set import DataSet, DataSetError, locked, temporary_of
from datanommer.models.data_set.known import known, without
from datanommer.models.data_set.manifest import File, Rewriting, to_filters
from datanommer.models.exporting import identity
from datanommer.models.exporting.export import Progress, opened
from datanommer.models.filtering.filters import Filters
from datanommer.models.finding import arrival

_ROWS = 10_000


def rewrite(engine: sa.Engine, folder: Path, month: str, progress: Progress) -> Iterator[None]:
    """Write the files of a month anew.

    What is in the archive is taken from there. Messages that only the data set has, such as after
    a prune, are taken over as they are. Nothing changes until all is on the disk. A missing file is
    written anew as far as its messages are in the archive.

    Args:
        engine: of the archive.
        folder: of the data set.
        month: such as 2026-09.
        progress: is kept up to date; `known` are those that are taken over.

    Returns:
        Nothing, after each file.

    Raises:
        DatanommerError: the folder is no data set of this archive, or a file of the month is
            damaged; says what to do.
        OSError: the disk does not take it.
        psycopg2.Error, sqlalchemy.exc.DBAPIError: the database failed.
    """
    archive = identity.identify(engine)
    with locked(folder, for_writing=True):
        DataSet.open(folder)
        data_set, progress.adopted = beginning.begin(folder, archive, Filters(), missing_in=month)
        for file in data_set.files_of(month):
            _require_whole(data_set, file)
        new: list[File] = []
        with engine.connect() as connection:
            for file in _from_archive(connection, data_set, month):
                new.append(file)
                progress.messages += file.messages
                progress.files += 1
                yield
        _replace(data_set, month, new, progress)


def _require_whole(data_set: DataSet, file: File) -> None:
    path = data_set.path(file)
    fault = check.fault_of(data_set, file)
    if path.exists() and fault:
        raise DataSetError(
            f"{path} is {fault}. Put it back from a backup. If there is none, remove it, and run "
            "this again: what is still in the archive comes back."
        )


def _from_archive(connection: sa.Connection, data_set: DataSet, month: str) -> Iterator[File]:
    """The messages of the month that are in the archive, in files that have no name yet."""
    with connection.begin():
        up_to = arrival.settled(connection)
    after = 0
    with opened(connection, to_filters(data_set.manifest.filters)) as source:
        while after < up_to:
            with source.window(after, up_to, month) as pieces:
                for piece in pieces:
                    ids = (piece.first_id, piece.last_id)
                    batches = source.batches(piece)
                    yield files.begin(data_set, month, ids, batches, is_named=False).result()
            after = max((piece.last_id for piece in pieces), default=up_to)


def _replace(data_set: DataSet, month: str, new: list[File], progress: Progress) -> None:
    """Replace the files whose messages are in the new ones, and take over the rest of these."""
    fresh = [temporary_of(data_set.path(file)) for file in new]
    old = []
    for file in data_set.files_of(month):
        path = data_set.path(file)
        renewed = known(_ids_of(path), fresh) if path.exists() else None
        if renewed is None or len(renewed):
            old.append(file.path)
        if renewed is not None:
            progress.known += file.messages - len(renewed)
            if 0 < len(renewed) < file.messages:
                new.append(_take_over(data_set, file, renewed))
    if not new and not old:
        return
    data_set.manifest.rewriting = Rewriting(tuple(old), tuple(new))
    data_set.save()
    data_set.finish_rewriting()


def _ids_of(path: Path) -> pa.Table:
    return pq.read_table(path, columns=["id", "msg_id"], partitioning=None)


def _take_over(data_set: DataSet, file: File, renewed: pa.Array) -> File:
    """A copy of a file with only the messages that are not in the new files."""
    batches = (without(batch, renewed) for batch in records.batches(data_set, file, _ROWS))
    ids = (file.first_id, file.last_id)
    return files.begin(data_set, file.month, ids, batches, is_named=False).result()
