"""``datanommer-load``: loads messages from files into the archive."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import TYPE_CHECKING

import click

from datanommer.commands import interruption
from datanommer.commands.command import Command
from datanommer.commands.input.unreadable import Unreadable
from datanommer.commands.options.database import with_database_to_fill
from datanommer.commands.options.values import InputFile
from datanommer.commands.output import progress, stored
from datanommer.models.errors import NotStorable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.preparing.preparation import Item

_BATCH_SIZE = 2000


@click.command(
    cls=Command,
    examples=[
        "datanommer-load datanommer-dump.json",
        "datanommer-load 2013-02.json.gz 2013-03.csv.gz",
    ],
)
@click.argument("files", nargs=-1, type=InputFile(), metavar="[FILE]...")
@with_database_to_fill
def main(engine: sa.Engine, files: tuple[BufferedReader, ...]) -> None:
    """Load messages from files, or from standard input.

    Reads JSON, as one list or one object after the other: the output of datanommer-dump, answers of
    datagrepper, envelopes ({"topic": ..., "body": ...}), and the lines of fedora-messaging publish
    and record. Reads CSV and TSV with the columns topic and msg: those of datanommer-dump, or of
    Fedora's daily dumps. Any of them may be packed by gzip.
    Messages that are in the database already count as duplicates, so a load can be repeated.
    """
    inputs = files or (InputFile().convert("-", None, None),)
    _load(engine, _items(inputs))


def _load(engine: sa.Engine, items: Iterator[Item]) -> None:
    from datanommer.models.storing.batch import Batch, Counts, split, store
    from datanommer.models.storing.pipeline import Pipeline, switch_threads_often

    counts = Counts()

    def add(batch: Batch) -> None:
        nonlocal counts
        counts = counts.plus(store(engine, batch))

    switch_threads_often()
    with interruption.last_words(lambda: stored.show(counts)), Pipeline(add) as pipeline:
        for batch in split(items, _BATCH_SIZE):
            pipeline.begin(Batch.of(batch))
            if interruption.is_ending():
                break  # once the batch is stored or cancelled


def _items(inputs: tuple[BufferedReader, ...]) -> Iterator[Item]:
    from datanommer.commands.input import message_file
    from datanommer.models.envelopes.reject import Reject
    from datanommer.models.exchange import record

    for file in inputs:
        with _progress(file) as update:
            for value in message_file.read(file, update):
                if isinstance(value, Unreadable):
                    error = NotStorable(value.kind, value.reason)
                    yield Reject.of_received(value.text, error, value.topic, value.msg_id)
                else:
                    yield record.parse(value)


@contextmanager
def _progress(file: BufferedReader) -> Iterator[Callable[[int], object]]:
    """How far a file is read: a bar, or how much of it where nobody knows its size."""
    size = os.fstat(file.fileno()).st_size
    if size:
        hidden = not (sys.stderr and sys.stderr.isatty())
        progress.hide()
        bar = click.progressbar(length=size, label=file.name, file=sys.stderr, hidden=hidden)
        bar.render_progress()
        with interruption.last_words(bar.render_finish):  # shows the cursor again
            yield bar.update
        return
    read = 0

    def update(number: int) -> None:
        nonlocal read
        read += number

    with progress.shown(lambda: f"{read / 1e6:,.0f} MB"):
        yield update
