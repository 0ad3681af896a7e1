"""``datanommer-stats``: prints how many messages there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands import interruption
from datanommer.commands.command import Command
from datanommer.commands.options.database import with_database_to_read
from datanommer.commands.options.filters import resolve, with_all_filters_of_stats
from datanommer.commands.options.output import fields_option, format_option
from datanommer.commands.options.values import limit_option
from datanommer.commands.output import bars, forms, nothing, progress
from datanommer.models import times

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.counting.activity import Count
    from datanommer.models.filtering.filters import Filters

_SEEN = ("first_seen", "last_seen")
#: How to label a span. --since and --before accept all of these labels.
_LABELS: dict[str, Callable[[datetime], str]] = {
    "hour": lambda start: f"{start:%Y-%m-%dT%H}Z",
    "day": lambda start: f"{start:%Y-%m-%d}",
    "week": lambda start: f"{start:%G-W%V}",
    "month": lambda start: f"{start:%Y-%m}",
}
_KEYS = ("topic", "category", "user", "package", "agent", *_LABELS)


@click.command(
    cls=Command,
    examples=[
        "datanommer-stats --by day --since 2013-02 --category bodhi",
        'datanommer-stats --topic "org.fedoraproject.*.bodhi.#" --format csv',
    ],
)
@with_all_filters_of_stats
@click.option(
    "--by",
    "key",
    type=click.Choice(_KEYS),
    metavar="WHAT",
    help=f"What to count by: {', '.join(_KEYS)}. Times are in UTC. Without it: category.",
)
@limit_option("Only the N with most messages.")
@format_option(*forms.FORMS, default="text")
@fields_option((*_KEYS, "messages", *_SEEN))
@with_database_to_read
def main(
    engine: sa.Engine,
    filters: Filters,
    is_topic_alone: bool,
    key: str | None,
    limit: int | None,
    form: str,
    fields: Sequence[str] | None,
) -> None:
    """Count the messages by category, topic, user, package or time.

    Names come with the most numerous first, and times in their order. With --limit, the busiest
    times come first. On a terminal, each time has a bar.
    """
    if is_topic_alone and key not in {None, "topic"}:
        raise click.UsageError("--topic alone counts by topic: give it a TOPIC, or omit --by.")
    key = key or ("topic" if is_topic_alone or filters.topics else "category")
    columns = _columns(key, fields)
    counts = _count(engine, key, filters, columns, limit)
    categories = _categories(engine) if key == "topic" and "category" in columns else {}
    rows = ([_cell(count, name, key, categories) for name in columns] for count in counts)
    text = None if fields else _times if key in _LABELS else _entries
    forms.write(form, columns, rows, text=text)
    if not counts:
        nothing.explain(engine, filters)


def _columns(key: str, fields: Sequence[str] | None) -> Sequence[str]:
    """The names of the fields to print."""
    known = {key, "messages", *_SEEN, *(("category",) if key == "topic" else ())}
    for name in fields or ():
        if name not in known:
            raise click.UsageError(
                f"Messages are counted by {key}, so there is no field {name}. Leave it out, or "
                f"count --by {name}."
            )
    return fields or (key, "messages")


def _count(
    engine: sa.Engine, key: str, filters: Filters, columns: Sequence[str], limit: int | None
) -> Sequence[Count]:
    from datanommer.models.counting import spans
    from datanommer.models.counting.activity import count_by

    is_seen = not set(_SEEN).isdisjoint(columns)
    with interruption.ended_by_reader(), progress.shown(lambda: "counting"):
        wanted = resolve(engine, filters)
        counts = count_by(engine, key, wanted, seen=is_seen, limit=limit)
    if key not in _LABELS or limit is not None:
        return counts
    return spans.without_gaps(key, counts, filters, datetime.now(UTC))


def _categories(engine: sa.Engine) -> dict[str, str]:
    from datanommer.models.counting.activity import categories_of_topics

    return categories_of_topics(engine)


def _cell(count: Count, name: str, key: str, categories: dict[str, str]) -> str:
    value: Any = count.messages
    if name == key:
        value = _LABELS[key](count.key) if isinstance(count.key, datetime) else count.key
    elif name == "category":
        value = categories.get(str(count.key))
    elif name in _SEEN:
        moment = getattr(count, name)
        value = moment and times.to_text(moment)
    return json.dumps(value)


def _entries(_fields: Sequence[str], rows: Iterable[forms.Row]) -> Iterator[str]:
    """A line for each, as in Fedora's operating procedure."""
    for name, messages in rows:
        yield f"{forms.readable(name)} has {messages} entries"


def _times(_fields: Sequence[str], rows: Iterable[forms.Row]) -> Iterator[str]:
    return bars.lines([(json.loads(name), int(messages)) for name, messages in rows])
