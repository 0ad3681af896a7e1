"""``datanommer-reindex``: extracts anew what is derived from stored messages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from datanommer.commands import interruption
from datanommer.commands.command import Command
from datanommer.commands.options.database import with_database_to_change
from datanommer.commands.options.filters import resolve, with_filters
from datanommer.commands.output import nothing
from datanommer.commands.output.formatting import format_counts
from datanommer.commands.output.progress import hide as hide_progress

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.filtering.filters import Filters
    from datanommer.models.storing.reindex import Progress

_SECONDS_BETWEEN_LINES = 2


@click.command(
    cls=Command,
    examples=[
        "datanommer-reindex --category bodhi",
        "datanommer-reindex --since 2013-02-18T05:55:18Z",
    ],
)
@with_filters
@with_database_to_change
def main(
    engine: sa.Engine,
    filters: Filters,
) -> None:
    """Extract the users, packages and agents of stored messages anew, after an upgrade.

    The events in messages about syncs of logs, for datanommer-runs, are extracted anew as well.

    Goes through the messages in order of time, a batch at a time, and writes only what changed.
    Messages about which nothing is found keep what they have. After Ctrl-C or SIGTERM, the work so
    far stays, and the last line says with which --since to go on.
    """
    from datanommer.models.storing.reindex import reindex

    interruption.hear_sigterm()
    hide_progress()  # this command prints its own, without a terminal as well
    progress: Progress | None = None
    finished = False
    last_line = time.monotonic()

    def say_where_to_go_on() -> None:
        if progress is not None and not finished:
            line = f"{_format_progress(progress)}. Go on with --since {_last_time(progress)}"
            click.echo(line, err=True)

    with interruption.last_words(say_where_to_go_on):
        for progress in reindex(engine, resolve(engine, filters)):
            if time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                click.echo(f"{_format_progress(progress)}, up to {_last_time(progress)}", err=True)
            interruption.give_way()
        finished = True
    click.echo(_format_progress(progress))
    if progress is None:
        nothing.explain(engine, filters)
        return
    for package, messages in progress.missing.most_common():
        click.echo(
            f"Kept as they are: {messages:,}. Install {package} to know more about them.",
            err=True,
        )


def _format_progress(progress: Progress | None) -> str:
    messages, changed = (progress.messages, progress.changed) if progress else (0, 0)
    return format_counts({"messages": messages, "changed": changed})


def _last_time(progress: Progress) -> str:
    # With microseconds, so that --since leaves out what is done.
    return f"{progress.timestamp.isoformat()}Z"
