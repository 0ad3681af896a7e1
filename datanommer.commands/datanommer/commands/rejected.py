"""``datanommer-rejected``: shows rejects, and tries to store them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands import interruption
from datanommer.commands.command import CommandGroup
from datanommer.commands.options.database import (
    group_options,
    with_database_to_change,
    with_database_to_read,
)
from datanommer.commands.options.output import fields_option, format_option
from datanommer.commands.options.times import time_options
from datanommer.commands.options.values import limit_option
from datanommer.commands.output import forms, progress
from datanommer.commands.output.formatting import format_facts, printable
from datanommer.models import times
from datanommer.models.errors import KINDS

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.rejecting.listing import RejectSummary

_FIELDS = ("id", "received_at", "kind", "seen", "msg_id", "topic", "reason")
# The positive part of PostgreSQL's bigint.
_BIGINT = click.IntRange(1, 2**63 - 1)


@click.command(cls=CommandGroup)
@group_options
def main() -> None:
    """Look at what could not be stored as a message, and try it again."""


def _kind_option(function: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option(
        "--kind",
        type=click.Choice(KINDS),
        metavar="KIND",
        help=f"Only rejects of this kind: {', '.join(KINDS)}.",
    )
    return option(function)


@main.command(
    "list",
    examples=[
        "datanommer-rejected list --limit 10",
        "datanommer-rejected list --kind conflict --since -1d --format table",
    ],
)
@_kind_option
@time_options("what first came")
@limit_option("Only the N newest.")
@format_option(*forms.FORMS, default="text")
@fields_option(_FIELDS)
@with_database_to_read
def list_(
    engine: sa.Engine,
    kind: str | None,
    since: datetime | None,
    before: datetime | None,
    limit: int | None,
    form: str,
    fields: Sequence[str] | None,
) -> None:
    """Print a line for each reject, newest first.

    With tabs between them: its id, when it first came, its kind, how many times it came, the id
    and the topic of the message (- if it has none), and the reason why it was rejected.
    """
    from datanommer.models.filtering.filters import Filters
    from datanommer.models.rejecting import listing

    filters = Filters.of_options(since, before)
    columns = fields or _FIELDS
    found = listing.find(engine, filters, kind=kind, limit=limit)
    rows = ([_cell(reject, name) for name in columns] for reject in found)
    forms.write(form, columns, rows, text=_lines)


def _cell(reject: RejectSummary, name: str) -> str:
    value = getattr(reject, name)
    return json.dumps(times.to_text(value) if isinstance(value, datetime) else value)


def _lines(_fields: Sequence[str], rows: Iterable[forms.Row]) -> Iterator[str]:
    for row in rows:
        yield "\t".join(map(forms.readable, row))


@main.command(
    examples=[
        "datanommer-rejected show 678",
        "datanommer-rejected show 678 --raw > message.json",
    ],
)
@click.argument("reject_id", type=_BIGINT, metavar="ID")
@click.option(
    "--raw", "only_raw", is_flag=True, help="Write only what was received, byte for byte."
)
@format_option("text", "json", default="text")
@with_database_to_read
def show(engine: sa.Engine, reject_id: int, only_raw: bool, form: str) -> None:
    """Print all of a reject: why it was rejected, and what was received."""
    from datanommer.models.rejecting import listing

    reject, raw = listing.get(engine, reject_id)
    if only_raw:
        with click.open_file("-", "wb") as output:
            output.write(raw)
            output.flush()
        return
    facts = {
        "id": reject.id,
        "received": times.to_text(reject.received_at),
        "kind": reject.kind,
        "seen": reject.seen,
        "msg_id": reject.msg_id,
        "topic": reject.topic,
        "reason": reject.reason,
        "raw": raw.decode("utf-8", "backslashreplace"),
    }
    if form == "json":
        click.echo(json.dumps(facts, indent=2))
        return
    for line in format_facts(facts):
        click.echo(printable(line))


@main.command(
    examples=[
        "datanommer-rejected retry 678",
        "datanommer-rejected retry --all",
    ],
)
@click.argument("ids", nargs=-1, type=_BIGINT, metavar="[ID]...")
@_kind_option
@click.option("--all", "is_all", is_flag=True, help="Try all of them.")
@with_database_to_change
def retry(engine: sa.Engine, ids: tuple[int, ...], kind: str | None, is_all: bool) -> None:
    """Try to store rejects again, as they are.

    Use this after an upgrade, or after the message that was in the way is gone. What is stored
    now is no longer a reject. What is rejected again stays, with today's reason.
    """
    from datanommer.models.rejecting import retry
    from datanommer.models.storing.batch import Counts

    if bool(ids) + (kind is not None) + is_all != 1:
        raise click.UsageError("Give IDs, --kind KIND or --all.")
    batches = retry.retry(engine, ids=ids or None, kind=kind)
    classic = _count_classic(engine, ids, kind)
    counts = Counts(rejected=classic)

    def say_counts() -> None:
        click.echo(
            f"stored {counts.stored}, duplicates {counts.duplicates}, "
            f"still rejected {counts.rejected}"
        )

    with progress.shown(lambda: str(counts)), interruption.last_words(say_counts):
        for batch in batches:
            counts = counts.plus(batch)
            interruption.give_way()
    if classic:
        click.echo(
            f"Not tried: {classic} of kind classic. They are rows of the classic tables that the "
            "upgrade could not carry over, not messages. datanommer-rejected show ID shows one. "
            "To store it, write a message from it by hand, for datanommer-load.",
            err=True,
        )


def _count_classic(engine: sa.Engine, ids: tuple[int, ...], kind: str | None) -> int:
    from datanommer.models.rejecting import listing

    if kind not in {None, listing.CLASSIC}:
        return 0
    return listing.count(engine, ids=ids or None, kind=listing.CLASSIC)


@main.command(
    examples=[
        "datanommer-rejected export > rejects.json",
        'datanommer-rejected export --kind "too large" > rejects.json',
    ],
)
@_kind_option
@with_database_to_read
def export(engine: sa.Engine, kind: str | None) -> None:
    """Write rejects as JSON, one object a line, for datanommer-load.

    Each has `rejected`, with the reason, and `raw`, with what was received. Mend `raw` and load
    the file. The old reject stays in the database.
    """
    from datanommer.models.rejecting import listing

    with click.open_file("-", "wb") as output, progress.shown(lambda: "exporting"):
        listing.export(engine, output, kind=kind)
        output.flush()
