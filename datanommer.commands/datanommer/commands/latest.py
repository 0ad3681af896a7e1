"""``datanommer-latest``: prints the newest messages, or when they were sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from datanommer.commands.exit_codes import Command
from datanommer.commands.options import category_option, topic_option, with_database
from datanommer.commands.output.formatting import format_exact_duration

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.exchange.latest import Latest

_CLOCK_DIFFERENCE = timedelta(minutes=5)  # that a sender's clock may well have


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
    engine: sa.Engine,
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
    from datanommer.models.exchange.latest import latest

    if timestamp and timesince:
        raise click.UsageError("--timestamp and --timesince exclude each other.")
    format_latest = _formatter(timestamp=timestamp, timesince=timesince, human=human)
    newest = latest(engine, topic=topic, category=category, overall=overall)
    click.echo(f"[{', '.join(map(format_latest, newest))}]")
    _warn_of_the_future(newest)


def _warn_of_the_future(newest: list[Latest]) -> None:
    """Until that time has come, such a message hides all that come after it."""
    soon = datetime.now(UTC).replace(tzinfo=None) + _CLOCK_DIFFERENCE
    for latest in newest:
        if latest.timestamp > soon:
            click.echo(
                f"The newest message of {latest.category} is dated in the future: "
                f"{latest.timestamp.isoformat(sep=' ', timespec='seconds')} "
                f"({latest.record['msg_id']}).",
                err=True,
            )


def _formatter(*, timestamp: bool, timesince: bool, human: bool) -> Callable[[Latest], str]:
    if timesince:
        now = datetime.now(UTC).replace(tzinfo=None)
        # The age is negative if the sender's clock is ahead of ours.
        format_age = format_exact_duration if human else _format_seconds
        return lambda latest: format_age(now - latest.timestamp)
    if timestamp:
        return _format_sent_at if human else _format_epoch
    if human:
        raise click.UsageError("--human goes with --timestamp or --timesince.")
    return _format_message


def _format_message(latest: Latest) -> str:
    # The category is on the line of the brackets, as in Fedora's operating procedure.
    return f"{{{json.dumps(latest.category)}: {json.dumps(latest.record, indent=2)}}}"


def _format_seconds(age: timedelta) -> str:
    return str(int(age.total_seconds()))


def _format_sent_at(latest: Latest) -> str:
    return json.dumps(str(latest.timestamp.replace(microsecond=0)))


def _format_epoch(latest: Latest) -> str:
    return json.dumps(latest.timestamp.replace(tzinfo=UTC).timestamp())
