"""``datanommer-dump``: writes messages as JSON."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from datanommer.commands.exit_codes import Command
from datanommer.commands.options import filter_options, with_database

if TYPE_CHECKING:
    import sqlalchemy as sa

#: In bytes. With Python's own 8 kB, every other message would be a system call.
_BUFFER_SIZE = 1024 * 1024


@click.command(cls=Command)
@filter_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["json", "ndjson"]),
    default="json",
    show_default=True,
    help="One JSON list, or one JSON object a line.",
)
@with_database
def main(
    engine: sa.Engine,
    since: datetime | None,
    before: datetime | None,
    topic: str | None,
    category: str | None,
    output_format: str,
) -> None:
    """Dump the messages as JSON, oldest first.

    Without options, all of them. datanommer-load reads this output.
    """
    from datanommer.models.exchange.dump import dump
    from datanommer.models.filtering.filters import Filters

    with open(sys.stdout.fileno(), "wb", _BUFFER_SIZE, closefd=False) as output:
        filters = Filters.of_options(since, before, topic, category)
        dump(engine, output, filters, as_list=output_format == "json")
        output.flush()
