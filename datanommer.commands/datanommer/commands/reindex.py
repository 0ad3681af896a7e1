"""``datanommer-reindex``: extracts anew what depends on stored messages."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from datanommer.commands.exit_codes import Command
from datanommer.commands.options import filter_options, with_database_to_change
from datanommer.commands.output.formatting import format_counts

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.storing.reindex import Progress

_SECONDS_BETWEEN_LINES = 5


@click.command(cls=Command)
@filter_options
@with_database_to_change
def main(
    engine: sa.Engine,
    since: datetime | None,
    before: datetime | None,
    topic: str | None,
    category: str | None,
) -> None:
    """Extract the users and packages of stored messages anew, after an upgrade of fedmsg.meta.

    The events in messages about syncs of logs, for datanommer-runs, are extracted anew as well.

    Goes through the messages in order of time, a batch at a time, and writes only what changed.
    Messages that no processor knows keep their users and packages. After Ctrl-C or SIGTERM, the
    work so far stays, and the last line says with which --since to go on.
    """
    from datanommer.models.filtering.filters import Filters
    from datanommer.models.storing.reindex import reindex

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress: Progress | None = None
    finished = False
    last_line = time.monotonic()
    try:
        for progress in reindex(engine, Filters.of_options(since, before, topic, category)):
            if time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                click.echo(f"{_format_progress(progress)}, up to {_last_time(progress)}", err=True)
        finished = True
    finally:
        if progress is not None and not finished:
            line = f"{_format_progress(progress)}. Go on with --since {_last_time(progress)}"
            click.echo(line, err=True)
    click.echo(_format_progress(progress))


def _format_progress(progress: Progress | None) -> str:
    messages, changed = (progress.messages, progress.changed) if progress else (0, 0)
    return format_counts({"messages": messages, "changed": changed})


def _last_time(progress: Progress) -> str:
    # With microseconds, so that --since leaves out what is done.
    return f"{progress.timestamp.isoformat()}Z"
