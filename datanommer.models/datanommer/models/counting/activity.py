"""How many messages match, by topic, category, user, package, agent, hour, day, week or month.

The counters of topics and days tell it where they can. Otherwise the messages are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from datanommer.models import tables
from datanommer.models.filtering import counters, predicates
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.predicates import Entry, Predicate
from datanommer.models.finding import access_path, stream

if TYPE_CHECKING:
    # The commands have a connection, and do without the ORM, which starts slowly.
    from datanommer.models.database.session import Session

#: What messages can be counted by; a day is one of UTC, a week begins on its Monday.
NAMES = ("topic", "category", "user", "package", "agent")
SPANS = ("hour", "day", "week", "month")
KEYS = (*NAMES, *SPANS)

_ASSOCIATIONS = {"user": tables.user_messages, "package": tables.package_messages}
#: The keys that the counters of days have, and those that the counters of topics have.
_OF_DAYS = {"topic", "category", "day", "week", "month"}
_OF_TOPICS = {"topic", "category"}


class Count(NamedTuple):
    """How many messages have something in common.

    Attributes:
        key: the name, or the start of the span (naive, in UTC).
        messages: how many there are.
        first_seen, last_seen: when the first and the last was sent (naive, in UTC); None where
            nobody asked for it.
    """

    key: str | datetime
    messages: int
    first_seen: datetime | None = None
    last_seen: datetime | None = None


def count_by(
    engine: sa.Engine, key: str, filters: Filters, *, seen: bool = False, limit: int | None = None
) -> list[Count]:
    """How many messages match, by one of `KEYS`.

    Args:
        engine: of the database.
        key: what to count by.
        filters: which messages.
        seen: look up `first_seen` and `last_seen` as well.
        limit: only so many, those with most messages; None for all.

    Returns:
        Those with most messages first, ties by name or time; without a limit, spans in order of
        time. What has no message is left out.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    if filters.field_values:
        counts = _add_up(_one_by_one(engine, key, filters))
    else:
        with engine.connect() as connection:
            counts = read(connection, key, filters, seen=seen)
    return in_order(counts, key, limit)


def read(
    asked: Session | sa.Connection, key: str, filters: Filters, *, seen: bool = False
) -> list[Count]:
    """The counts in no order, for filters without `field_values`.

    Args:
        asked: what to ask the database with.
        key: what to count by.
        filters: which messages.
        seen: look up `first_seen` and `last_seen` as well.
    """
    query = _from_counters(asked, key, filters, seen=seen)
    if query is None:
        query = _from_messages(asked, key, filters, seen=seen)
    # Of some messages, nobody knows the agent.
    return [Count(*row) for row in asked.execute(query) if row[0] is not None]


def in_order(counts: Iterable[Count], key: str, limit: int | None) -> list[Count]:
    """The counts as `count_by` returns them."""
    if key in SPANS and limit is None:
        return sorted(counts, key=lambda count: count.key)
    return sorted(counts, key=lambda count: (-count.messages, count.key))[:limit]


def categories_of_topics(engine: sa.Engine) -> dict[str, str]:
    """The category of each topic; of those that have several, the first.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    c = tables.topics.c
    query = sa.select(c.topic, sa.func.min(c.category)).group_by(c.topic)
    with engine.connect() as connection:
        return {topic: category for topic, category in connection.execute(query)}  # noqa: C416


def _from_counters(
    asked: Session | sa.Connection, key: str, filters: Filters, *, seen: bool
) -> sa.Select[Any] | None:
    """The query for what the counters tell; None if they cannot."""
    if not counters.can_tell(filters):
        return None
    if key in _OF_TOPICS and filters.names <= counters.OF_TOPICS:
        c = tables.topics.c
        span = (sa.func.min(c.first_seen), sa.func.max(c.last_seen)) if seen else ()
        query = sa.select(c[key], counters.total(c.messages), *span)
        return query.where(*counters.of_topics(filters)).group_by(c[key])
    days = None if seen or key not in _OF_DAYS else counters.of_days(filters)
    if days is None:
        return None
    parts = [_of_days(key, days.predicates)]
    parts += [_from_messages(asked, key, edge, seen=False) for edge in days.edges]
    if len(parts) == 1:
        return parts[0]
    counted = sa.union_all(*parts).subquery()
    of_key, messages = counted.c
    return sa.select(of_key, counters.total(messages)).group_by(of_key)


def _of_days(key: str, predicates: Iterable[Predicate]) -> sa.Select[Any]:
    c = tables.topic_days.c
    counted = c[key] if key in _OF_TOPICS else c.day
    query = sa.select(counted, counters.total(c.messages)).where(*predicates).group_by(counted)
    if key in _OF_TOPICS:
        return query
    # A day becomes the start of its span after the days have been added up: there are few of them.
    day, messages = query.subquery().c
    midnight = sa.func.timezone("UTC", sa.cast(day, sa.DateTime))
    span = sa.select(_span(key, midnight).label("span"), messages.label("messages")).subquery()
    return sa.select(span.c.span, counters.total(span.c.messages)).group_by(span.c.span)


def _from_messages(
    asked: Session | sa.Connection, key: str, filters: Filters, *, seen: bool
) -> sa.Select[Any]:
    """The query that counts all that match, each once."""
    path, is_short = access_path.choose(asked, filters)
    if key in _ASSOCIATIONS and not access_path.is_short(asked, path):
        # Reading the whole association is quicker than looking up the names of each message.
        a = _ASSOCIATIONS[key].alias()
        entries = sa.select(a.c.name, a.c.timestamp)
        return _grouped(entries.where(*predicates.of(filters, Entry.of_association(a))), seen=seen)
    entry = path.entry
    of_key = _column(entry, key)
    if of_key is None:
        return _of_ids(key, path.all(fenced=is_short).subquery(), seen=seen)
    matching = path.all(entry.id, entry.timestamp, of_key.label("key"), fenced=is_short).subquery()
    return _grouped(sa.select(matching.c.key, matching.c.timestamp), seen=seen)


def _column(entry: Entry, key: str) -> Any:
    """The SQL for a key that each message has once; None if the entry lacks it."""
    if key in SPANS:
        return _span(key, entry.timestamp)
    if key == "category":
        return entry.category
    if entry.message is None or key in _ASSOCIATIONS:
        return None
    return entry.message.c.topic if key == "topic" else tables.agent_of(entry.message)


def _of_ids(key: str, ids: sa.FromClause, *, seen: bool) -> sa.Select[Any]:
    """The query that counts the messages with these ids."""
    if key in _ASSOCIATIONS:
        a = _ASSOCIATIONS[key].alias()
        return _grouped(
            sa.select(a.c.name, a.c.timestamp).join(ids, ids.c[0] == a.c.msg), seen=seen
        )
    entry = Entry.of_message(tables.messages.alias())
    entries = sa.select(_column(entry, key).label("key"), entry.timestamp)
    return _grouped(entries.join(ids, ids.c[0] == entry.id), seen=seen)


def _grouped(entries: sa.Select[Any], *, seen: bool) -> sa.Select[Any]:
    """How many of the entries, keys with times, there are of each key."""
    of_key, timestamp = entries.subquery().c
    span = (sa.func.min(timestamp), sa.func.max(timestamp)) if seen else ()
    return sa.select(of_key, sa.func.count(), *span).group_by(of_key)


def _span(key: str, moment: Any) -> sa.ColumnElement[datetime]:
    """The start of the span that has a moment."""
    return sa.func.date_trunc(key, moment, "UTC", type_=tables.NaiveUTC)


def _one_by_one(engine: sa.Engine, key: str, filters: Filters) -> Iterator[Count]:
    """The counts of one chunk after another, for filters that need each message to be read."""
    for chunk in stream.ids(engine, filters):
        array = sa.cast(chunk, ARRAY(sa.BigInteger))
        ids = sa.func.unnest(array).table_valued("id").render_derived(name="ids")
        with engine.connect() as connection:
            rows = connection.execute(_of_ids(key, ids, seen=True)).all()
        yield from (Count(*row) for row in rows if row[0] is not None)


def _add_up(parts: Iterable[Count]) -> list[Count]:
    """One count for each key; all parts have times."""
    counts: dict[Any, Count] = {}
    for part in parts:
        so_far = counts.get(part.key, part._replace(messages=0))
        counts[part.key] = Count(
            part.key,
            so_far.messages + part.messages,
            min(filter(None, (so_far.first_seen, part.first_seen))),
            max(filter(None, (so_far.last_seen, part.last_seen))),
        )
    return list(counts.values())
