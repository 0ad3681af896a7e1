"""``datanommer-latest``: the newest messages, or when they were sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import category_option, topic_option, with_database
from datanommer.commands.text import clock

if TYPE_CHECKING:
    from datanommer.models.latest import Latest


@click.command(cls=Command)
@topic_option
@category_option
@click.option("--overall", is_flag=True, help="The newest message of all.")
@click.option("--timestamp", is_flag=True, help="Print only when it was sent (epoch seconds).")
@click.option("--timesince", is_flag=True, help="Print only how many seconds ago it was sent.")
@click.option(
    "--human", is_flag=True, help="Print times for people: a date in UTC, or hours and minutes."
)
@with_database
def main(
    topic: str | None,
    category: str | None,
    overall: bool,
    timestamp: bool,
    timesince: bool,
    human: bool,
) -> None:
    """Print the newest message, however old it is, as a list with one element.

    Without --topic, --category or --overall: the newest of each category, by name.
    """
    from datanommer.models.latest import latest

    if timestamp and timesince:
        raise click.UsageError("--timestamp and --timesince exclude each other.")
    show = _form(timestamp=timestamp, timesince=timesince, human=human)
    found = latest(topic=topic, category=category, overall=overall)
    click.echo(f"[{', '.join(show(each) for each in found)}]")


def _form(*, timestamp: bool, timesince: bool, human: bool) -> Callable[[Latest], str]:
    if timesince:
        now = datetime.now(UTC).replace(tzinfo=None)
        # The sender's clock may be ahead of ours: then it is negative.
        show_age = clock if human else _seconds
        return lambda latest: show_age(now - latest.timestamp)
    if timestamp:
        return _date if human else _epoch
    if human:
        raise click.UsageError("--human goes with --timestamp or --timesince.")
    return _message


def _message(latest: Latest) -> str:
    # The category on the line of the brackets, as the operating procedure shows it.
    return f"{{{json.dumps(latest.category)}: {json.dumps(latest.record, indent=2)}}}"


def _seconds(age: timedelta) -> str:
    return str(int(age.total_seconds()))


def _date(latest: Latest) -> str:
    return json.dumps(str(latest.timestamp.replace(microsecond=0)))


def _epoch(latest: Latest) -> str:
    return json.dumps(latest.timestamp.replace(tzinfo=UTC).timestamp())
