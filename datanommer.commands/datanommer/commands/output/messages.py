"""Messages for the forms of the output: their fields, and a line for each in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from datanommer.commands.output import forms
from datanommer.commands.output.formatting import is_coloured, printable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.preparing.words import Words

#: The keys of a dump.
RECORD = (
    *("topic", "msg", "msg_id", "i", "timestamp", "username", "crypto", "certificate"),
    *("signature", "source_name", "source_version", "headers", "users", "packages", "agent"),
    "extra",
)
#: What the processors of `fedmsg.meta` make of a message.
_IN_WORDS = ("title", "subtitle", "link")
#: All fields that a message has.
FIELDS = ("id", "time", "category", *RECORD, "stored_at", *_IN_WORDS)
#: The columns of a table, unless others are asked for: what fits a terminal.
_IN_A_TABLE = ("id", "time", "topic", "users")
#: What the processors look at.
_BODY = ("topic", "msg", "msg_id", "i", "timestamp", "username", "headers", "source_name")
#: The fields that become a line in words.
_LINE = ("time", *_BODY)


def fields_of(form: str, chosen: Sequence[str] | None) -> Sequence[str]:
    """The fields that a form is made of.

    Args:
        form: one of `datanommer.commands.output.forms.FORMS`.
        chosen: those that were asked for, if any were.
    """
    return chosen or {"text": _LINE, "table": _IN_A_TABLE}.get(form, RECORD)


def read(engine: sa.Engine, ids: Sequence[int], fields: Sequence[str]) -> Iterator[forms.Row]:
    """The rows of messages for `datanommer.commands.output.forms`.

    Args:
        engine: of the database.
        ids: of the messages.
        fields: names of `FIELDS`.
    """
    from datanommer.models.exchange import found

    if set(_IN_WORDS).isdisjoint(fields):
        yield from found.read(engine, ids, fields)
        return
    stored = list(dict.fromkeys([name for name in [*fields, *_BODY] if name not in _IN_WORDS]))
    for row in found.read(engine, ids, stored):
        cells = dict(zip(stored, row, strict=True))
        words = _words(cells)
        cells.update((name, json.dumps(getattr(words, name))) for name in _IN_WORDS)
        yield [cells[name] for name in fields]


def write(form: str, fields: Sequence[str], chunks: Iterable[Iterable[forms.Row]]) -> None:
    """Write messages to standard output; flush each chunk before reading the next one.

    Raises:
        OSError: standard output cannot be written.
    """
    text = _lines if fields is _LINE else None
    forms.write(form, fields, forms.flushed(chunks), text=text)


def write_all(
    engine: sa.Engine, form: str, fields: Sequence[str], chunks: Iterable[Sequence[int]]
) -> int:
    """Read messages, and write them as `write` does.

    Args:
        engine: of the database.
        form: one of `datanommer.commands.output.forms.FORMS`.
        fields: as `fields_of` gives them.
        chunks: the ids of the messages.

    Returns:
        How many there are.

    Raises:
        OSError: standard output cannot be written.
    """
    number = 0

    def rows(ids: Sequence[int]) -> Iterator[forms.Row]:
        nonlocal number
        number += len(ids)
        return read(engine, ids, fields)

    write(form, fields, map(rows, chunks))
    return number


def _lines(fields: Sequence[str], rows: Iterable[forms.Row]) -> Iterator[str]:
    """A line for each message: when it was sent, its topic and what happened, in words."""
    for row in rows:
        cells = dict(zip(fields, row, strict=True))
        words = _words(cells)
        second = f"{json.loads(cells['time'])[:19]}Z"
        topic = printable(json.loads(cells["topic"]))
        if is_coloured():
            second, topic = click.style(second, dim=True), click.style(topic, fg="cyan")
        what = (printable(words.subtitle), printable(words.link))
        yield "  ".join(filter(None, (second, topic, *what)))


def _words(cells: Mapping[str, str]) -> Words:
    from datanommer.models.preparing.words import Words

    body = {name: json.loads(cells[name]) for name in _BODY}
    return Words.of({name: value for name, value in body.items() if value is not None})
