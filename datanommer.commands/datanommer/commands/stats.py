"""``datanommer-stats``: prints how many messages there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from datanommer.commands.exit_codes import Command
from datanommer.commands.options import category_option, with_database
from datanommer.commands.output.formatting import printable

if TYPE_CHECKING:
    import sqlalchemy as sa


@click.command(cls=Command)
@click.option("--topic", is_flag=True, help="Count by topic, instead of by category.")
@category_option
@with_database
def main(engine: sa.Engine, topic: bool, category: str | None) -> None:
    """Print how many messages each category has, most numerous first."""
    from datanommer.models.finding.totals import totals

    for name, total in totals(engine, by_topic=topic, category=category):
        click.echo(f"{printable(name)} has {total} entries")
