"""``datanommer-dump``: all messages as JSON."""

from __future__ import annotations

import sys
from datetime import datetime

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import window_options, with_database

#: Bytes; with Python's own 8 kB, every other message would be a call to the kernel.
_BUFFER = 1024 * 1024


@click.command(cls=Command)
@window_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "ndjson"]),
    default="json",
    show_default=True,
    help="One JSON list, or one JSON object a line.",
)
@with_database
def main(
    since: datetime | None,
    before: datetime | None,
    topic: str | None,
    category: str | None,
    form: str,
) -> None:
    """Dump the messages as JSON, oldest first.

    Without options, all of them. datanommer-load reads what this writes.
    """
    from datanommer.models import record

    with open(sys.stdout.fileno(), "wb", _BUFFER, closefd=False) as output:
        record.dump(
            output,
            since=since,
            before=before,
            topic=topic,
            category=category,
            as_list=form == "json",
        )
        output.flush()
