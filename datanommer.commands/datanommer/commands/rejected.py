"""``datanommer-rejected``: what could not be stored, and why; and another try."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import time_options, version_option, with_database
from datanommer.commands.text import date, printable
from datanommer.models.errors import KINDS

# What a bigint of PostgreSQL holds.
_number = click.IntRange(1, 2**63 - 1)


class _Group(click.Group):
    command_class = Command


@click.command(cls=_Group)
@version_option
def main() -> None:
    """Look at what could not be stored as a message, and try it again.

    Each of these takes --url and --config-filename.
    """


def _kind_option(function: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option(
        "--kind",
        type=click.Choice(KINDS),
        metavar="KIND",
        help=f"Only rejects of this kind: {', '.join(KINDS)}.",
    )
    return option(function)


@main.command("list")
@_kind_option
@time_options("what first came")
@click.option("--limit", type=_number, metavar="N", help="Only the N that came last.")
@with_database
def list_(
    kind: str | None, since: datetime | None, before: datetime | None, limit: int | None
) -> None:
    """Print a line for each reject, newest first.

    With tabs between them: its id, when it first came, its kind, how often it came, the id and
    the topic of the message (- where it has none), and why it was rejected.
    """
    from datanommer.models import rejected

    for entry in rejected.find(kind=kind, since=since, before=before, limit=limit):
        fields = (
            str(entry.id),
            date(entry.received_at),
            entry.kind,
            str(entry.seen),
            entry.msg_id or "-",
            entry.topic or "-",
            entry.reason,
        )
        click.echo("\t".join(map(printable, fields)))


@main.command()
@click.argument("number", type=_number, metavar="ID")
@click.option("--raw", is_flag=True, help="Write what was received and nothing else, to the byte.")
@with_database
def show(number: int, raw: bool) -> None:
    """Print all of a reject: why it is one, and what was received."""
    from datanommer.models import rejected

    found = rejected.get(number)
    if raw:
        with click.open_file("-", "wb") as output:
            output.write(found.raw)
            output.flush()
        return
    facts = {
        "id": found.id,
        "received": date(found.received_at),
        "kind": found.kind,
        "seen": found.seen,
        "msg_id": found.msg_id,
        "topic": found.topic,
        "reason": found.reason,
        "raw": found.raw.decode("utf-8", "backslashreplace"),
    }
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name + ':':<10}{printable(str(value))}")


@main.command()
@click.argument("ids", nargs=-1, type=_number, metavar="[ID]...")
@_kind_option
@click.option("--all", "every", is_flag=True, help="Try all of them.")
@with_database
def retry(ids: tuple[int, ...], kind: str | None, every: bool) -> None:
    """Try to store rejects again, as they are.

    Good for when what refused them was changed. What is stored now is a reject no more; what is
    refused again stays, with the reason of today.
    """
    from datanommer.models import retrial, store

    if bool(ids) + (kind is not None) + every != 1:
        raise click.UsageError("Say which: their IDs, --kind KIND or --all.")
    batches = retrial.retry(ids=ids or None, kind=kind)
    classic = _classic(ids, kind)
    counts = store.Counts(rejected=classic)
    try:
        for batch in batches:
            counts = counts.plus(batch)
    finally:
        click.echo(
            f"stored {counts.stored}, duplicates {counts.duplicates}, "
            f"still rejected {counts.rejected}"
        )
    if classic:
        click.echo(
            f"Not tried: {classic} of kind classic. Those are rows of the classic tables, which "
            "the upgrade could not carry over, and no messages: nothing but a hand can make "
            "messages of them, for datanommer-load. datanommer-rejected show ID shows one.",
            err=True,
        )


def _classic(ids: tuple[int, ...], kind: str | None) -> int:
    from datanommer.models import rejected

    if kind not in {None, rejected.CLASSIC}:
        return 0
    return rejected.count(ids=ids or None, kind=rejected.CLASSIC)


@main.command()
@_kind_option
@with_database
def export(kind: str | None) -> None:
    """Write rejects as JSON, one object a line, for datanommer-load.

    Each has `rejected`, which says why, and `raw`, what was received: mend that, and load the
    file. What is in the database then is rejected no more, but for its old reject.
    """
    from datanommer.models import rejected

    with click.open_file("-", "wb") as output:
        rejected.export(output, kind=kind)
        output.flush()
