"""``datanommer-stats``: prints how many messages there are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from datanommer.commands.command import Command
from datanommer.commands.options.database import with_database
from datanommer.commands.options.filters import category_option
from datanommer.commands.options.output import format_option
from datanommer.commands.output import forms, nothing

if TYPE_CHECKING:
    import sqlalchemy as sa


@click.command(
    cls=Command,
    examples=[
        "datanommer-stats --category bodhi",
        "datanommer-stats --topic --format csv",
    ],
)
@click.option("--topic", is_flag=True, help="Count by topic, instead of by category.")
@category_option
@format_option(*forms.FORMS, default="text")
@with_database
def main(engine: sa.Engine, topic: bool, categories: Sequence[str], form: str) -> None:
    """Count the messages by category or topic, most numerous first."""
    from datanommer.models.filtering.filters import Filters
    from datanommer.models.finding.totals import totals

    counts = totals(engine, by_topic=topic, categories=categories)
    rows = ([json.dumps(name), json.dumps(messages)] for name, messages in counts)
    forms.write(form, ("topic" if topic else "category", "messages"), rows, text=_entries)
    if not counts:
        nothing.explain(engine, Filters.of_options(categories=categories))


def _entries(_fields: Sequence[str], rows: Iterable[forms.Row]) -> Iterator[str]:
    """A line for each, as in Fedora's operating procedure."""
    for name, messages in rows:
        yield f"{forms.readable(name)} has {messages} entries"
