"""``datanommer-load``: loads messages from files into the archive."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datanommer.commands import interruption
from datanommer.commands.command import Command
from datanommer.commands.input.unreadable import Unreadable
from datanommer.commands.options.database import with_database_to_fill
from datanommer.commands.options.times import time_options
from datanommer.commands.options.values import Filled, InputFile, InputFileOrFolder
from datanommer.commands.output import progress, stored
from datanommer.models.errors import NotStorable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.moving.move import Move
    from datanommer.models.preparing.preparation import Item

_BATCH_SIZE = 2000


@click.command(
    cls=Command,
    examples=[
        "datanommer-load datanommer-dump.json",
        "datanommer-load 2013-02.json.gz 2013-03.csv.gz",
    ],
)
@time_options("messages of a data set that were sent")
@click.argument("files", nargs=-1, type=InputFileOrFolder(), metavar="[FILE|DIR]...")
@click.option(
    "--from",
    "source_url",
    type=Filled(),
    metavar="URL",
    help="Load the messages of another database of datanommer, of this or another line. Both may "
    "be in use.",
)
@click.option(
    "--follow",
    is_flag=True,
    help="With --from: go on with each message that comes there, until Ctrl-C.",
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="ID",
    help="With --from: leave out the messages up to this id of the other database. A load that "
    "broke off says which.",
)
@with_database_to_fill
def main(
    engine: sa.Engine,
    files: tuple[BufferedReader | Path, ...],
    since: datetime | None,
    before: datetime | None,
    source_url: str | None,
    follow: bool,
    after: int | None,
) -> None:
    """Load messages from files, from standard input, or from another database.

    Reads JSON, as one list or one object after the other: the output of datanommer-dump, answers of
    datagrepper, envelopes ({"topic": ..., "body": ...}), and the lines of fedora-messaging publish
    and record. Reads CSV and TSV with the columns topic and msg: those of datanommer-dump, or of
    Fedora's daily dumps. Any of them may be packed by gzip. Of DIR, a data set of
    datanommer-export, --since and --before choose the messages.
    Messages that are in the database already count as duplicates, so a load can be repeated.
    """
    if source_url is None and (follow or after is not None):
        raise click.UsageError("--follow and --after need another database: name it with --from.")
    if source_url is not None and files:
        raise click.UsageError("Name files, or another database with --from, but not both.")
    if (since or before) and not (files and all(isinstance(file, Path) for file in files)):
        raise click.UsageError("--since and --before only work with a data set. Name its folder.")
    if source_url is None:
        inputs = files or (InputFile().convert("-", None, None),)
        _load(engine, _items(inputs, since, before))
    else:
        _move(engine, source_url, follow=follow, after=after or 0)


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
            pipeline.begin(Batch.of(batch, written_ahead=True))
            if interruption.is_ending():
                break  # the pipeline waits until the batch is stored or cancelled


def _move(engine: sa.Engine, source_url: str, *, follow: bool, after: int) -> None:
    from datanommer.models.database import engine as engines
    from datanommer.models.moving import source
    from datanommer.models.moving.move import Move
    from datanommer.models.storing.pipeline import switch_threads_often

    interruption.hear_sigterm()
    of_source = engines.create_engine(source_url, settings=source.SETTINGS)
    interruption.cancel_at_end(of_source)
    move = Move(source.Source.open(of_source), engine, after, interruption.is_ending)

    def say_how_far() -> None:
        stored.show(move.counts)
        if move.position:
            click.echo(
                f"All messages up to id {move.position} of the other database are here. To go on "
                f"from there: --after {move.position}",
                err=True,
            )

    switch_threads_often()
    with interruption.last_words(say_how_far), progress.shown(lambda: _how_far(move)):
        if follow:
            move.follow(say=lambda text: click.echo(text, err=True))
        else:
            move.run()


def _how_far(move: Move) -> str:
    return f"{move.counts}; up to id {move.position:,} of {move.last:,}"


def _items(
    inputs: tuple[BufferedReader | Path, ...], since: datetime | None, before: datetime | None
) -> Iterator[Item]:
    from datanommer.commands.input import data_set, message_file
    from datanommer.models.envelopes.reject import Reject
    from datanommer.models.exchange import parser

    for file in inputs:
        if isinstance(file, Path):
            yield from map(parser.parse, data_set.read(file, since, before))
            continue
        with _progress(file) as update:
            for value in message_file.read(file, update):
                if isinstance(value, Unreadable):
                    error = NotStorable(value.kind, value.reason)
                    yield Reject.of_received(value.text, error, value.topic, value.msg_id)
                else:
                    yield parser.parse(value)


@contextmanager
def _progress(file: BufferedReader) -> Iterator[Callable[[int], object]]:
    """Show how far a file is read: as a bar, or in MB if its size is unknown."""
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
