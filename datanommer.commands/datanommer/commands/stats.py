"""``datanommer-stats``: how many messages there are."""

from __future__ import annotations

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import category_option, with_database


@click.command(cls=Command)
@click.option("--topic", is_flag=True, help="Count by topic, instead of by category.")
@category_option
@with_database
def main(topic: bool, category: str | None) -> None:
    """Print how many messages each category has, most numerous first."""
    from datanommer.models import query

    for name, number in query.counts(by_topic=topic, category=category):
        click.echo(f"{name} has {number} entries")
