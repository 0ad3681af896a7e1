"""``datanommer-reindex``: what is known of stored messages, extracted anew."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import window_options, with_database

if TYPE_CHECKING:
    from datanommer.models.reindexing import Progress

_SECONDS_BETWEEN_LINES = 5


@click.command(cls=Command)
@window_options
@with_database
def main(
    since: datetime | None, before: datetime | None, topic: str | None, category: str | None
) -> None:
    """Extract the users and packages of stored messages anew, after an upgrade of fedmsg.meta.

    What messages about syncs of logs tell, for datanommer-runs, is extracted anew as well.

    Goes through the messages in order of time, a batch at a time, and changes only what is
    different. Messages that no processor knows keep what they have. When it is broken off, by
    Ctrl-C or SIGTERM, what it has done so far stays, and it says with which --since to go on.
    """
    from datanommer.models import reindexing

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress: Progress | None = None
    finished = False
    last_line = time.monotonic()
    try:
        for progress in reindexing.reindex(
            since=since, before=before, topic=topic, category=category
        ):
            if time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                click.echo(f"{_told(progress)}, up to {_date(progress)}", err=True)
        finished = True
    finally:
        if progress is not None and not finished:
            click.echo(f"{_told(progress)}. Go on with --since {_date(progress)}", err=True)
    click.echo(_told(progress))


def _told(progress: Progress | None) -> str:
    messages, changed = (progress.messages, progress.changed) if progress else (0, 0)
    return f"messages {messages}, changed {changed}"


def _date(progress: Progress) -> str:
    return f"{progress.timestamp.isoformat()}Z"
