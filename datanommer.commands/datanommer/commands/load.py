"""``datanommer-load``: messages from files into the archive."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from io import BufferedReader
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands import json_stream
from datanommer.commands.failures import Command
from datanommer.commands.options import InputFile, files_argument, with_database
from datanommer.models.errors import NotStorable

if TYPE_CHECKING:
    from datanommer.models.message import Row
    from datanommer.models.store import Reject

_BATCH = 2000
_BATCH_BYTES = 16 * 1024 * 1024  # of content; two batches are in memory


@click.command(cls=Command)
@files_argument
@with_database
def main(files: tuple[BufferedReader, ...]) -> None:
    """Load messages from files, or from standard input.

    Reads what datanommer-dump writes, envelopes ({"topic": ..., "body": ...}), and the lines of
    fedora-messaging publish and record: as one JSON list or one object after the other.
    What is in the database already counts as a duplicate, so that a load can be repeated.
    """
    from datanommer.models import store
    from datanommer.models.pipeline import Pipeline

    inputs = files or (InputFile().convert("-", None, None),)
    counts = store.Counts()

    def add(batch: list[Row | Reject]) -> None:
        nonlocal counts
        counts = counts.plus(store.store(batch))

    try:
        with Pipeline(add) as pipeline:
            for batch in _batches(_items(inputs)):
                pipeline.begin(batch)
    finally:
        click.echo(str(counts))


def _batches(items: Iterator[Row | Reject]) -> Iterator[list[Row | Reject]]:
    batch = []
    size = 0
    try:
        for item in items:
            batch.append(item)
            size += item.size
            if len(batch) == _BATCH or size > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
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
    hidden = not (size and sys.stderr and sys.stderr.isatty())
    return click.progressbar(length=size, label=file.name, file=sys.stderr, hidden=hidden)
