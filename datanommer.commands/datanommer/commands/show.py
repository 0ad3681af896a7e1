"""``datanommer-show``: prints whole messages, by their ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from datanommer.commands.command import Command
from datanommer.commands.options.database import with_database_to_read
from datanommer.commands.options.output import message_options
from datanommer.commands.options.values import Text
from datanommer.commands.output import forms, messages
from datanommer.commands.output.formatting import format_facts, printable

if TYPE_CHECKING:
    import sqlalchemy as sa

#: What the form `text` shows of a message above its content.
_FACTS = (
    *("msg_id", "topic", "time", "stored_at", "username", "agent", "users", "packages"),
    *(
        "title",
        "subtitle",
        "link",
        "i",
        "source_name",
        "source_version",
        "crypto",
        "headers",
        "extra",
    ),
)
_TEXT = (*_FACTS, "msg")


@click.command(
    cls=Command,
    examples=[
        "datanommer-show 2013-6f4dfec9-80d7-49e6-80e0-f2357b63422c",
        "datanommer-show --raw 6f4dfec9-80d7-49e6-80e0-f2357b63422c",
    ],
)
@click.argument("names", nargs=-1, required=True, type=Text(), metavar="ID...")
@click.option(
    "--raw", is_flag=True, help="Print only the body, as fedmsg or fedora-messaging sent it."
)
@message_options()
@with_database_to_read
@click.pass_context
def main(
    ctx: click.Context,
    engine: sa.Engine,
    names: tuple[str, ...],
    raw: bool,
    form: str,
    fields: Sequence[str] | None,
) -> None:
    """Print whole messages, by their ids.

    An ID is the msg_id of a message, with or without the year in front, the address of its page in
    a datagrepper, or the id of its row.
    """
    if raw and (fields or form != "text"):
        raise click.UsageError("--raw prints the body as it was sent: leave out the other options.")
    ids, missing = _find(engine, names)
    if raw:
        _write_bodies(engine, ids)
    else:
        is_whole = form == "text" and not fields
        columns = _TEXT if is_whole else messages.fields_of(form, fields)
        rows = messages.read(engine, ids, columns)
        forms.write(form, columns, rows, text=_whole if is_whole else None)
    for name in missing:
        click.echo(f"There is no message with the id {printable(name)}.", err=True)
    if missing:
        click.echo("datanommer-grep --format table shows the ids that there are.", err=True)
        ctx.exit(1)


def _find(engine: sa.Engine, names: Sequence[str]) -> tuple[list[int], list[str]]:
    """The row ids of the messages, and the names of those that are not there."""
    from datanommer.models.finding import known_as

    ids: dict[int, None] = {}
    missing = []
    with engine.connect() as connection:
        for name in names:
            found = known_as.find(connection, name)
            ids.update(dict.fromkeys(found))
            if not found:
                missing.append(name)
    return list(ids), missing


def _write_bodies(engine: sa.Engine, ids: Sequence[int]) -> None:
    from datanommer.models.exchange import as_sent, found

    with click.open_file("-", "wb") as output:
        for row in found.read(engine, ids, as_sent.FIELDS):
            output.write(as_sent.body(dict(zip(as_sent.FIELDS, row, strict=True))) + b"\n")
        output.flush()


def _whole(fields: Sequence[str], rows: Iterable[forms.Row]) -> Iterator[str]:
    """A message as its facts, one a line, and below them its content."""
    for number, row in enumerate(rows):
        if number:
            yield ""
        cells = dict(zip(fields, row, strict=True))
        msg = json.loads(cells.pop("msg"))
        facts = {name: _fact(cell) for name, cell in cells.items()}
        yield from format_facts(facts, width=16)
        yield "msg:"
        for line in json.dumps(msg, indent=2, ensure_ascii=False).split("\n"):
            yield f"  {printable(line)}"


def _fact(cell: str) -> str | None:
    text = forms.readable(cell)
    return None if text in {"-", ""} else text
