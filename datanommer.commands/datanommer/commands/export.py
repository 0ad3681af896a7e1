"""``datanommer-export``: writes the archive as a Parquet data set, and maintains it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands import interruption
from datanommer.commands.command import Command
from datanommer.commands.input.data_set import require_extra
from datanommer.commands.options.database import connect, database_options
from datanommer.commands.options.filters import with_filters
from datanommer.commands.output import nothing, progress
from datanommer.commands.output.formatting import format_counts

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.exporting.export import Progress
    from datanommer.models.filtering.filters import Filters

_DAMAGED = 1


class _Month(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A month, such as 2026-09."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", value):
            self.fail(f"{value!r} is not a month. Write it like 2013-02.", param, ctx)
        return str(value)


@click.command(
    cls=Command,
    examples=[
        "datanommer-export datanommer-parquet",
        "datanommer-export --category bodhi --since 2013 bodhi-parquet",
    ],
)
@click.option(
    "--check", is_flag=True, help="Compare the files with the manifest, and change nothing."
)
@click.option(
    "--rewrite",
    type=_Month(),
    metavar="MONTH",
    help="Write the files of a month, such as 2013-02, anew: after a reindex, say.",
)
@with_filters
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@database_options
def main(
    folder: Path,
    filters: Filters,
    check: bool,
    rewrite: str | None,
    url: str | None,
    config_filename: str | None,
) -> None:
    """Write the messages into a Parquet data set; run again, those that have arrived since.

    DIR has a manifest, dataset.json, and files by month. Each message is in it once, by its id,
    also after a restore, a failover or a load. With filters, an extract is written; those of the
    first run stay. What was rejected is not exported. datanommer-load DIR is the way back.
    """
    require_extra()
    if check and (rewrite or filters.names):
        raise click.UsageError("--check looks at all files: leave out --rewrite and the filters.")
    if rewrite and filters.names:
        raise click.UsageError("--rewrite keeps the filters of the data set: leave them out here.")
    if check:
        _check(folder)
        return
    with progress.shown(lambda: "waiting for the database"):
        engine = connect(url, config_filename)
        if rewrite:
            _rewrite(engine, folder, rewrite)
        else:
            _append(engine, folder, filters)


def _append(engine: sa.Engine, folder: Path, filters: Filters) -> None:
    from datanommer.models.exporting.export import Progress, append

    done = Progress()
    finished = False

    def say_what_is_done() -> None:
        if finished or done.files:
            _show(done)

    with (
        progress.shown(lambda: f"{done.messages:,} messages"),
        interruption.last_words(say_what_is_done),
    ):
        for _ in append(engine, folder, filters, done):
            interruption.give_way()
        finished = True
    if not done.messages + done.known:
        nothing.explain(engine, filters)


def _rewrite(engine: sa.Engine, folder: Path, month: str) -> None:
    from datanommer.models.exporting.export import Progress
    from datanommer.models.exporting.rewrite import rewrite

    done = Progress()
    with progress.shown(lambda: f"{done.messages:,} messages"):
        for _ in rewrite(engine, folder, month, done):
            interruption.give_way()
    _show(done)


def _show(done: Progress) -> None:
    counts = {"messages": done.messages, "files": done.files, "in the data set already": done.known}
    click.echo(format_counts(counts))
    if done.adopted:
        click.echo(f"Complete files of a broken run, taken in: {done.adopted:,}.", err=True)


def _check(folder: Path) -> None:
    from datanommer.models.data_set.check import check

    files = messages = faults = 0
    with progress.shown(lambda: f"{files:,} files"):
        for finding in check(folder):
            files += 1
            messages += finding.messages
            if finding.fault:
                faults += 1
                click.echo(f"{folder / finding.path}: {finding.fault}")
    click.echo(format_counts({"messages": messages, "files": files, "faults": faults}))
    if faults:
        click.get_current_context().exit(_DAMAGED)
