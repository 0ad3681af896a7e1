"""``datanommer-report``: writes a page about the archive, with charts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from datanommer.commands.command import Command
from datanommer.commands.options.database import with_database_to_read
from datanommer.commands.options.times import since_option
from datanommer.commands.output import progress, whole_file

if TYPE_CHECKING:
    import sqlalchemy as sa

_EXTRA_IS_MISSING = (
    "The report needs pygal and Jinja2. Install them: pip install 'datanommer.commands[report]'"
)


@click.command(
    cls=Command,
    examples=[
        "datanommer-report report.html",
        "datanommer-report --since 2013-02 - | gzip > report.html.gz",
    ],
)
@since_option("Count from this day on, in UTC. Without it: the last year.")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), metavar="FILE")
@with_database_to_read
def main(engine: sa.Engine, since: datetime | None, file: str) -> None:
    """Write a page of HTML about the archive, with charts.

    It shows what came and when, who was busy, what has fallen silent, what was rejected, and how
    much room all of it takes. The page needs no other file and no network: mail it, or put it
    behind any web server. If FILE exists, it is replaced; - is standard output.
    """
    from datanommer import commands
    from datanommer.models.counting.summary import summarize
    from datanommer.models.database import engine as engines
    from datanommer.models.errors import DatanommerError

    try:
        from datanommer.commands.reporting.page import page
    except ModuleNotFoundError as error:
        raise DatanommerError(_EXTRA_IS_MISSING) from error
    whole_file.require_writable(file)
    now = datetime.now(UTC).replace(tzinfo=None)
    with progress.shown(lambda: "counting"):
        summary = summarize(engine, since, now)
        text = page(
            summary, archive=engines.describe(engine), now=now, version=commands.__version__
        )
    whole_file.write(file, text)
