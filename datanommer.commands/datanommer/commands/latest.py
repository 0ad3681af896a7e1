"""``datanommer-latest``: prints the newest messages, or when they were sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from datanommer.commands.command import Command
from datanommer.commands.options.database import with_database_to_read
from datanommer.commands.options.filters import category_option, resolve, topic_option
from datanommer.commands.options.output import message_options
from datanommer.commands.output import messages, nothing
from datanommer.commands.output.formatting import format_exact_duration
from datanommer.models import times

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.filtering.filters import Filters

_CLOCK_DIFFERENCE = timedelta(minutes=5)  # a sender's clock may well be off by this


class _Latest(NamedTuple):
    """The newest message of something; `sent` is naive, in UTC."""

    category: str
    sent: datetime
    record: dict[str, Any]


@click.command(
    cls=Command,
    examples=[
        "datanommer-latest --category bodhi",
        "datanommer-latest --category bodhi --timesince --human",
    ],
)
@topic_option
@category_option
@click.option("--overall", is_flag=True, help="The newest message of all.")
@click.option("--timestamp", is_flag=True, help="Print only when it was sent (epoch seconds).")
@click.option("--timesince", is_flag=True, help="Print only how many seconds ago it was sent.")
@click.option(
    "--human",
    is_flag=True,
    help="With --timestamp or --timesince: a date in UTC, or hours, minutes and seconds.",
)
@message_options(
    default=None,
    default_help="Without it: a list of objects, with the message under its category.",
)
@with_database_to_read
def main(
    engine: sa.Engine,
    topics: tuple[str, ...],
    categories: tuple[str, ...],
    overall: bool,
    timestamp: bool,
    timesince: bool,
    human: bool,
    form: str | None,
    fields: Sequence[str] | None,
) -> None:
    """Print the newest message, however old it is, as a list with one element.

    Without --topic, --category or --overall: the newest of each category, by name.
    """
    from datanommer.models.filtering.filters import Filters

    if timestamp and timesince:
        raise click.UsageError("--timestamp and --timesince cannot be used together.")
    if (form or fields) and (timestamp or timesince):
        raise click.UsageError(
            "--timestamp and --timesince cannot be used with --format or --fields."
        )
    format_latest = _formatter(timestamp=timestamp, timesince=timesince, human=human)
    filters = Filters.of_options(topics=topics, categories=categories)
    is_one = overall or bool(filters.names)
    ids = _find(engine, resolve(engine, filters), is_one=is_one)
    if not ids:
        nothing.explain(engine, filters)
    if form or fields:
        columns = messages.fields_of(form or "json", fields)
        messages.write_all(engine, form or "json", columns, [ids])
        return
    newest = _read(engine, ids)
    click.echo(f"[{', '.join(map(format_latest, newest))}]")
    if (timestamp or timesince) and not is_one and newest:
        click.echo(f"These are of {', '.join(each.category for each in newest)}.", err=True)
    _warn_of_the_future(newest)


def _find(engine: sa.Engine, filters: Filters, *, is_one: bool) -> list[int]:
    from datanommer.models.finding import latest

    return latest.newest(engine, filters) if is_one else latest.of_each_category(engine)


def _read(engine: sa.Engine, ids: Sequence[int]) -> list[_Latest]:
    from datanommer.models.exchange import found

    fields = ("category", "time", *messages.RECORD)
    newest = []
    for row in found.read(engine, ids, fields):
        category, sent, *cells = map(json.loads, row)
        record = dict(zip(messages.RECORD, cells, strict=True))
        if record["extra"] is None:
            del record["extra"]
        newest.append(_Latest(category, times.naive_utc(datetime.fromisoformat(sent)), record))
    return newest


def _warn_of_the_future(newest: list[_Latest]) -> None:
    """Warn of a message dated in the future: until then, it hides all that come after it."""
    soon = datetime.now(UTC).replace(tzinfo=None) + _CLOCK_DIFFERENCE
    for latest in newest:
        if latest.sent > soon:
            click.echo(
                f"The newest message of {latest.category} is dated in the future: "
                f"{latest.sent.isoformat(sep=' ', timespec='seconds')} "
                f"({latest.record['msg_id']}).",
                err=True,
            )


def _formatter(*, timestamp: bool, timesince: bool, human: bool) -> Callable[[_Latest], str]:
    if timesince:
        now = datetime.now(UTC).replace(tzinfo=None)
        # The age is negative if the sender's clock is ahead of ours.
        format_age = format_exact_duration if human else _format_seconds
        return lambda latest: format_age(now - latest.sent)
    if timestamp:
        return _format_sent_at if human else _format_epoch
    if human:
        raise click.UsageError("--human needs --timestamp or --timesince.")
    return _format_message


def _format_message(latest: _Latest) -> str:
    # The category shares its line with the brackets, as in Fedora's operating procedure.
    return f"{{{json.dumps(latest.category)}: {json.dumps(latest.record, indent=2)}}}"


def _format_seconds(age: timedelta) -> str:
    return str(int(age.total_seconds()))


def _format_sent_at(latest: _Latest) -> str:
    return json.dumps(str(latest.sent.replace(microsecond=0)))


def _format_epoch(latest: _Latest) -> str:
    return json.dumps(latest.sent.replace(tzinfo=UTC).timestamp())
