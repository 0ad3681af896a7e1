"""Writes messages into a data set: those that have arrived since the last time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from datanommer.models.data_set import beginning, files
from datanommer.models.data_set.data_set import DataSet, locked
from datanommer.models.data_set.known import known, without
from datanommer.models.data_set.manifest import File, Identity, to_filters
from datanommer.models.exporting import identity
from datanommer.models.exporting.source import Piece, Source
from datanommer.models.filtering import topic_pattern
from datanommer.models.filtering.filters import Filters
from datanommer.models.finding import arrival


@dataclass(slots=True)
class Progress:
    """How far an export is.

    Attributes:
        messages: how many it has written.
        known: how many it has left out, because they are in the data set.
        files: how many it has made.
        adopted: how many files of a run that was killed it has taken in.
    """

    messages: int = 0
    known: int = 0
    files: int = 0
    adopted: int = 0


def append(engine: sa.Engine, folder: Path, filters: Filters, progress: Progress) -> Iterator[None]:
    """Write the messages that have arrived since the last time; the first time, all.

    Args:
        engine: of the archive.
        folder: of the data set; it is made if it is not there.
        filters: of an extract, topics as they were typed. Without any, those of the data set.
        progress: is kept up to date.

    Returns:
        Nothing, after each file.

    Raises:
        DatanommerError: the folder is no data set of this archive and these filters, or is
            damaged; the database is a standby; says what to do.
        OSError: the disk does not take it.
        psycopg2.Error, sqlalchemy.exc.DBAPIError: the database failed.
    """
    archive = identity.identify(engine)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, for_writing=True):
        data_set, progress.adopted = beginning.begin(folder, archive, filters)
        with engine.connect() as connection:
            run = _Append(connection, data_set, progress)
            yield from run.all(archive)


@contextlib.contextmanager
def opened(connection: sa.Connection, filters: Filters) -> Iterator[Source]:
    """The archive as columns.

    Args:
        connection: to its database, in no transaction.
        filters: which messages, topics as they were typed.

    Raises:
        psycopg2.Error, sqlalchemy.exc.DBAPIError: the database failed.
    """
    with connection.begin():
        resolved = topic_pattern.resolve(connection, filters)
    source = Source(connection, resolved)
    try:
        yield source
    finally:
        source.close()


class _Append:
    """One run that appends."""

    def __init__(self, connection: sa.Connection, data_set: DataSet, progress: Progress) -> None:
        self._connection = connection
        self._data_set = data_set
        self._progress = progress
        self._coming: Future[File] | None = None
        # This run writes nothing twice. Only earlier files may have a message already.
        self._before: dict[str, list[Path]] = {}
        for file in data_set.manifest.files:
            self._before.setdefault(file.month, []).append(data_set.path(file))

    def all(self, archive: Identity) -> Iterator[None]:
        manifest = self._data_set.manifest
        with self._connection.begin():
            up_to = arrival.settled(self._connection)
            after = self._begin_after(archive)
        with opened(self._connection, to_filters(manifest.filters)) as source:
            while after < up_to:
                with source.window(after, up_to) as pieces:
                    for piece in pieces:
                        self._write(source, piece)
                        yield
                    self._take_in()
                after = max((piece.last_id for piece in pieces), default=up_to)
                self._save(archive, after)

    def _begin_after(self, archive: Identity) -> int:
        """The id after which messages may be missing in the data set.

        After a restore or a failover, ids may be given out a second time. So if the last message or
        the timeline has changed, all messages are looked at again.
        """
        manifest = self._data_set.manifest
        if manifest.last is None or manifest.timeline != archive.timeline:
            return 0
        found = identity.message_at(self._connection, manifest.last.id)
        return manifest.last.id if found == manifest.last else 0

    def _write(self, source: Source, piece: Piece) -> None:
        left_out = self._known(source, piece)
        self._progress.known += len(left_out)
        if len(left_out) < piece.messages:
            batches = (without(batch, left_out) for batch in source.batches(piece))
            ids = (piece.first_id, piece.last_id)
            # Reads this piece while the previous file is being written.
            coming = files.begin(self._data_set, piece.month, ids, batches)
            self._take_in()
            self._coming = coming

    def _take_in(self) -> None:
        """Wait for the file that is being written, and note it."""
        coming, self._coming = self._coming, None
        if coming is not None:
            file = coming.result()
            self._data_set.manifest.files.append(file)
            self._progress.messages += file.messages
            self._progress.files += 1

    def _known(self, source: Source, piece: Piece) -> pa.Array:
        """The ids of messages of a piece that are in the data set."""
        before = self._before.get(piece.month)
        return known(source.ids(piece), before) if before else pa.array([], pa.int64())

    def _save(self, archive: Identity, after: int) -> None:
        """Note how far it is."""
        manifest = self._data_set.manifest
        with self._connection.begin():
            last = identity.message_at(self._connection, after)
        if last is not None:
            manifest.last, manifest.timeline = last, archive.timeline
        self._data_set.save()
