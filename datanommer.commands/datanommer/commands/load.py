"""``datanommer-load``: loads messages from files into the archive."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from io import BufferedReader
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands.exit_codes import Command
from datanommer.commands.input import json_stream
from datanommer.commands.options import InputFile, files_argument, with_database_to_change
from datanommer.models.errors import NotStorable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.preparing.preparation import Item

_BATCH_SIZE = 2000


@click.command(cls=Command)
@files_argument
@with_database_to_change
def main(engine: sa.Engine, files: tuple[BufferedReader, ...]) -> None:
    """Load messages from files, or from standard input.

    Reads the output of datanommer-dump, envelopes ({"topic": ..., "body": ...}), and the lines of
    fedora-messaging publish and record: as one JSON list or one object after the other.
    Messages that are in the database already count as duplicates, so a load can be repeated.
    """
    from datanommer.models.storing.batch import Batch, Counts, split, store
    from datanommer.models.storing.pipeline import Pipeline, switch_threads_often

    inputs = files or (InputFile().convert("-", None, None),)
    counts = Counts()

    def add(batch: Batch) -> None:
        nonlocal counts
        counts = counts.plus(store(engine, batch))

    switch_threads_often()
    try:
        with Pipeline(add) as pipeline:
            for items in split(_items(inputs), _BATCH_SIZE):
                pipeline.begin(Batch.of(items))
    finally:
        click.echo(str(counts))


def _items(inputs: tuple[BufferedReader, ...]) -> Iterator[Item]:
    from datanommer.models.envelopes.reject import Reject
    from datanommer.models.exchange import record

    for file in inputs:
        with _progress_bar(file) as progress_bar:
            for value in json_stream.read_values(file, file.name, progress_bar.update):
                if isinstance(value, json_stream.Unreadable):
                    error = NotStorable(value.kind, value.reason)
                    yield Reject.of_received(value.text, error)
                else:
                    yield record.parse(value)


def _progress_bar(file: BufferedReader) -> Any:
    """A progress bar on standard error, if that is a terminal and the size of the file is known."""
    size = os.fstat(file.fileno()).st_size
    hidden = not (size and sys.stderr and sys.stderr.isatty())
    return click.progressbar(length=size, label=file.name, file=sys.stderr, hidden=hidden)
