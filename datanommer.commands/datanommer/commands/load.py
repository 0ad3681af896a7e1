"""``datanommer-load``: messages from files into the archive."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BufferedReader
from typing import TYPE_CHECKING, Any, cast

import click

from datanommer.commands import json_stream
from datanommer.commands.failures import Command
from datanommer.commands.options import with_database
from datanommer.models.errors import NotStorable

if TYPE_CHECKING:
    from datanommer.models.message import Row
    from datanommer.models.store import Reject

_BATCH = 2000


@click.command(cls=Command)
@click.argument("files", nargs=-1, type=click.File("rb"), metavar="[FILE]...")
@with_database
def main(files: tuple[BufferedReader, ...]) -> None:
    """Load messages from files, or from standard input.

    Reads what datanommer-dump writes, envelopes ({"topic": ..., "body": ...}), and the lines of
    fedora-messaging publish and record: as one JSON list or one object after the other.
    What is in the database already counts as a duplicate, so that a load can be repeated.
    """
    inputs = files or (cast("BufferedReader", sys.stdin.buffer),)
    storing = _Storing()
    try:
        for batch in _batches(_items(inputs)):
            storing.begin(batch)
    finally:
        try:
            storing.wait()
        finally:
            click.echo(str(storing.counts))


class _Storing:
    """Stores a batch while the next one is read: PostgreSQL and Python have a core each.

    Attributes:
        counts: what became of the messages so far.
    """

    def __init__(self) -> None:
        from datanommer.models import store

        self.counts = store.Counts()
        self._store = store.store
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._batch: Future[store.Counts] | None = None

    def begin(self, batch: list[Row | Reject]) -> None:
        """Store a batch, once the one before is stored."""
        self.wait()
        self._batch = self._thread.submit(self._store, batch)

    def wait(self) -> None:
        """Wait until what was begun is stored.

        Raises:
            sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; it is not.
        """
        if self._batch is not None:
            self.counts = self.counts.plus(self._batch.result())
            self._batch = None


def _batches(items: Iterator[Row | Reject]) -> Iterator[list[Row | Reject]]:
    batch = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    except json_stream.NotJSON:
        yield batch  # what stood before the fault is good
        raise
    yield batch


def _items(inputs: tuple[BufferedReader, ...]) -> Iterator[Row | Reject]:
    from datanommer.models import record, store

    for file in inputs:
        with _progress(file) as progress:
            for value in json_stream.read(file, file.name, progress.update):
                if isinstance(value, json_stream.Unreadable):
                    yield store.reject(value.text, NotStorable(value.kind, value.reason))
                else:
                    yield record.parse(value)


def _progress(file: BufferedReader) -> Any:
    """A bar on standard error, where that is a terminal and the end of the file is known."""
    size = os.fstat(file.fileno()).st_size
    hidden = not (size and sys.stderr.isatty())
    return click.progressbar(length=size, label=file.name, file=sys.stderr, hidden=hidden)
