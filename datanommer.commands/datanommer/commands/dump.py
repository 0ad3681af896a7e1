"""``datanommer-dump``: writes messages as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import click

from datanommer.commands import interruption
from datanommer.commands.command import Command
from datanommer.commands.options.database import with_database_to_read
from datanommer.commands.options.filters import resolve, with_filters
from datanommer.commands.options.output import message_options
from datanommer.commands.output import messages, nothing, progress

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.filtering.filters import Filters

#: In bytes. With Python's own 8 kB, every other message would be a system call.
_BUFFER_SIZE = 1024 * 1024
_EMPTY_LIST = "[\n]\n"


@click.command(
    cls=Command,
    examples=[
        "datanommer-dump > datanommer-dump.json",
        "datanommer-dump --since 2013-02 --before 2013-02 --format ndjson | gzip > 2013-02.json.gz",
    ],
)
@with_filters
@message_options(default="json")
@with_database_to_read
def main(
    engine: sa.Engine,
    filters: Filters,
    form: str,
    fields: Sequence[str] | None,
) -> None:
    """Dump the messages as JSON, oldest first.

    Without options, all of them. datanommer-load reads this output.
    """
    from datanommer.models.finding import stream

    wanted = resolve(engine, filters)
    if fields or form not in {"json", "ndjson"}:
        columns = messages.fields_of(form, fields)
        is_any = messages.write_all(engine, form, columns, stream.ids(engine, wanted)) > 0
    else:
        is_any = _write_json(engine, wanted, as_list=form == "json")
    if not is_any:
        nothing.explain(engine, filters)


def _write_json(engine: sa.Engine, filters: Filters, *, as_list: bool) -> bool:
    """Write the JSON that PostgreSQL builds, and return whether there were any messages."""
    from datanommer.models.exchange.dump import dump

    with open(sys.stdout.fileno(), "wb", _BUFFER_SIZE, closefd=False) as output:
        counted = _Counted(output)
        with (
            interruption.ended_by_reader(),
            progress.shown(lambda: f"{counted.size / 1e6:,.0f} MB"),
        ):
            dump(engine, counted, filters, as_list=as_list)
        output.flush()
    return counted.size > len(_EMPTY_LIST)


class _Counted:
    """An output that counts the bytes written to it."""

    def __init__(self, output: BinaryIO) -> None:
        self._write = output.write
        self.size = 0

    def write(self, data: bytes) -> None:
        self._write(data)
        self.size += len(data)
