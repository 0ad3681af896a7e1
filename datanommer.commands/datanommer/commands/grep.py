"""``datanommer-grep``: finds messages by any mixture of filters."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import click

from datanommer.commands import interruption
from datanommer.commands.command import Command
from datanommer.commands.options.database import with_database_to_read
from datanommer.commands.options.filters import resolve, with_all_filters
from datanommer.commands.options.output import message_options
from datanommer.commands.options.values import limit_option
from datanommer.commands.output import messages, nothing, progress

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.filtering.filters import Filters

#: The defaults: how many messages a terminal shows, and how many --follow begins with.
_ON_A_TERMINAL = 100
_BEFORE_FOLLOWING = 10
_NOTHING_FOUND = 1
#: Forms that cannot print anything until they have the last message.
_WITH_AN_END = {"json", "table"}


@click.command(
    cls=Command,
    examples=[
        "datanommer-grep --user ralph --since yesterday",
        'datanommer-grep --topic "org.fedoraproject.*.bodhi.#" -n 3 --format table',
    ],
)
@with_all_filters
@limit_option(f"Only the N newest. On a terminal: {_ON_A_TERMINAL}, unless you say otherwise.")
@click.option("-r", "--reverse", is_flag=True, help="The newest first.")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help=f"Print the last {_BEFORE_FOLLOWING}, then new messages as they arrive, until Ctrl-C.",
)
@click.option("--count", is_flag=True, help="Print only how many there are.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Print nothing. End with 0 if there is one, else with 1."
)
@message_options()
@with_database_to_read
@click.pass_context
def main(
    ctx: click.Context,
    engine: sa.Engine,
    filters: Filters,
    limit: int | None,
    reverse: bool,
    follow: bool,
    count: bool,
    quiet: bool,
    form: str,
    fields: Sequence[str] | None,
) -> None:
    """Find messages, and print a line for each, the newest last.

    A message must match all filters. If you give a filter several times, any of its values will
    do.
    """
    is_printing = (limit is not None, reverse, follow, fields, form != "text")
    if (count or quiet) and any((*is_printing, count and quiet)):
        raise click.UsageError(
            "--count prints only a number, and --quiet nothing: leave out the other output options."
        )
    if follow and (reverse or filters.before or form in _WITH_AN_END):
        raise click.UsageError(
            "--follow does not end. Leave out --reverse and --before, and use --format text, "
            "ndjson, csv or tsv."
        )
    wanted = resolve(engine, filters)
    columns = messages.fields_of(form, fields)
    if quiet:
        ctx.exit(0 if _is_any(engine, wanted) else _NOTHING_FOUND)
    if follow:
        _follow(engine, filters, limit, form, columns)
        return
    if count:
        number = _count(engine, wanted)
        click.echo(number)
    else:
        chunks = _chunks(engine, wanted, _limit(limit), reverse=reverse)
        number = messages.write_all(engine, form, columns, chunks)
        if limit is None and number == _ON_A_TERMINAL and sys.stdout.isatty():
            click.echo(f"These are the newest {number}; -n 1000 prints more.", err=True)
    if not number:
        nothing.explain(engine, filters)


def _is_any(engine: sa.Engine, filters: Filters) -> bool:
    from datanommer.models.finding import stream

    return any(stream.ids(engine, filters, limit=1))


def _count(engine: sa.Engine, filters: Filters) -> int:
    from datanommer.models.finding import grep, stream

    if filters.field_values:
        return _count_one_by_one(stream.ids(engine, filters))
    with (
        interruption.ended_by_reader(),
        progress.shown(lambda: "counting"),
        engine.connect() as connection,
    ):
        return grep.count(connection, filters)


def _count_one_by_one(chunks: Iterator[list[int]]) -> int:
    found = 0
    with interruption.ended_by_reader(), progress.shown(lambda: f"{found:,} found"):
        for ids in chunks:
            found += len(ids)
    return found


def _limit(limit: int | None) -> int | None:
    return _ON_A_TERMINAL if limit is None and sys.stdout.isatty() else limit


def _chunks(
    engine: sa.Engine, filters: Filters, limit: int | None, *, reverse: bool = False
) -> Iterator[list[int]]:
    """The ids of the messages to print, in their order."""
    from datanommer.models.finding import stream

    if limit is None or reverse:
        return stream.ids(engine, filters, limit=limit, descending=reverse)
    return stream.newest(engine, filters, limit)


def _follow(
    engine: sa.Engine, filters: Filters, limit: int | None, form: str, fields: Sequence[str]
) -> None:
    from datanommer.models.finding.follow import arriving, last_id

    if limit is None and filters.since is None:
        limit = _BEFORE_FOLLOWING
    after = last_id(engine)
    read = partial(messages.read, engine, fields=fields)
    known = _chunks(engine, resolve(engine, filters), limit)
    # `arriving` yields what is newer.
    before = (read([row_id for row_id in ids if row_id <= after]) for ids in known)
    new = arriving(engine, filters, after, read, say=lambda text: click.echo(text, err=True))
    progress.hide()
    messages.write(form, fields, chain(before, new))
