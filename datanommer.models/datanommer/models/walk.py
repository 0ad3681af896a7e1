"""Ways to the messages that match: which index leads there, and going along it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import ARRAY

from datanommer.models import conditions
from datanommer.models.conditions import Entry
from datanommer.models.filters import Filters
from datanommer.models.schema import Message, NaiveUTC
from datanommer.models.sessions import session

#: How far the entries of an index are counted, to choose the one that has fewest. So many are
#: counted in 2 ms; to look at what belongs to each of them takes 50 ms.
MANY = 10_000

#: Where a message is in order of time: its timestamp (naive, in UTC) and its id.
Place = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class Way:
    """An index, of which the entries that have the same keys are in order of time.

    Attributes:
        entry: its columns.
        keys: the columns before the time, and what they may be; none, where there are none.
        rest: the filters that are not keys.
    """

    entry: Entry
    keys: tuple[tuple[Any, Sequence[str]], ...]
    rest: Filters

    def first(
        self, number: int, *, offset: int = 0, descending: bool, after: Place | None = None
    ) -> sa.Subquery:
        """The places (`timestamp`, `id`) of the first messages that match, in order of time."""
        entry = self.entry
        way = (
            sa.select(entry.timestamp.label("timestamp"), entry.id.label("id"))
            .where(*conditions.of(self.rest, entry, fenced=True))
            .where(*_beyond(entry, after, descending=descending))
            .order_by(*order(entry, descending=descending))
        )
        if not self.keys:
            return way.limit(number).offset(offset).subquery("found")
        # One way for each key, ended as soon as it can be; then they are merged. Without that,
        # the planner would read all of every key, or the archive by time.
        keys = [_table_of(values, f"key{place}") for place, (_, values) in enumerate(self.keys)]
        for key, (column, _) in zip(keys, self.keys, strict=True):
            way = way.where(column == key.c.value)
        of_key = way.limit(offset + number).correlate(*keys).lateral("of_key")
        source: sa.FromClause = keys[0]
        for joined in (*keys[1:], of_key):
            source = source.join(joined, sa.true())
        return (
            sa.select(of_key.c.timestamp, of_key.c.id)
            .select_from(source)
            .distinct()  # a message may have several of the keys
            .order_by(*order(of_key.c, descending=descending))
            .limit(number)
            .offset(offset)
            .subquery("found")
        )

    def all(self, *columns: Any, fenced: bool) -> sa.Select[Any]:
        """The ids, or other columns, of all messages that match, each once."""
        query = sa.select(*columns or (self.entry.id,)).where(
            *(column.in_(values) for column, values in self.keys),
            *conditions.of(self.rest, self.entry, fenced=fenced),
        )
        return query.distinct() if self.may_repeat else query

    @property
    def may_repeat(self) -> bool:
        """Whether a message may have several of the keys: several users, say."""
        return self.entry.message is None and len(self.keys[0][1]) > 1

    def length(self) -> sa.ScalarSelect[int]:
        """How many entries have the keys, up to `MANY`."""
        window = Filters(start=self.rest.start, end=self.rest.end)
        entries = (
            sa.select(sa.literal_column("1"))
            .where(*(column.in_(values) for column, values in self.keys))
            .where(*conditions.of(window, self.entry))
            .limit(MANY)
            .subquery()
        )
        return sa.select(sa.func.count()).select_from(entries).scalar_subquery()


def choose(filters: Filters, *, measured: bool = False) -> tuple[Way, bool]:
    """The shortest way to the messages that match, and whether it is known to be short.

    Args:
        measured: look how long it is, even if it is the only one.
    """
    ways = list(_ways(filters))
    if not ways:
        return Way(Entry.of_message(orm.aliased(Message)), (), filters), False
    if len(ways) == 1 and not measured:
        return ways[0], False
    lengths = session.execute(sa.select(*(way.length() for way in ways))).one()
    length, way = min(zip(lengths, ways, strict=True), key=lambda pair: pair[0])
    return way, length < MANY


def count(filters: Filters) -> int:
    """How many messages match, counted one by one."""
    way, is_short = choose(filters)
    found = way.all(fenced=is_short).subquery()
    return session.scalars(sa.select(sa.func.count()).select_from(found)).one()


def order(columns: Any, *, descending: bool) -> list[sa.ColumnElement[Any]]:
    """The order of time of what has the columns `timestamp` and `id`."""
    both = (columns.timestamp, columns.id)
    return [column.desc() if descending else column.asc() for column in both]


def _ways(filters: Filters) -> Iterator[Way]:
    """The indexes that lead to nothing but messages which pass one of the filters."""
    if filters.msg_id is not None:
        yield _along_messages(filters, "msg_id", "msg_id", [filters.msg_id])
        return
    for naming in conditions.ASSOCIATIONS:
        if getattr(filters, naming):
            yield _along_association(filters, naming)
    if filters.topics:
        yield _along_messages(filters, "topics", "topic", filters.topics)
    elif filters.categories and not (filters.users or filters.packages):
        yield _along_messages(filters, "categories", "category", filters.categories)
    if filters.agents:
        yield _along_messages(filters, "agents", "username", filters.agents)


def _along_messages(filters: Filters, name: str, column: str, values: Sequence[str]) -> Way:
    m = orm.aliased(Message)
    return Way(Entry.of_message(m), ((getattr(m, column), values),), filters.without(name))


def _along_association(filters: Filters, naming: str) -> Way:
    a = conditions.ASSOCIATIONS[naming].alias()
    keys = [(a.c.name, getattr(filters, naming))]
    if filters.categories:
        keys.append((a.c.category, filters.categories))
    return Way(Entry.of_association(a), tuple(keys), filters.without(naming, "categories"))


def _table_of(values: Sequence[str], name: str) -> sa.FromClause:
    array = sa.cast(list(values), ARRAY(sa.Text))
    return sa.func.unnest(array).table_valued("value").render_derived(name=name)


def _beyond(entry: Entry, after: Place | None, *, descending: bool) -> list[Any]:
    if after is None:
        return []
    timestamp, number = after
    here = sa.tuple_(entry.timestamp, entry.id)
    there = sa.tuple_(sa.literal(timestamp, NaiveUTC), sa.literal(number, sa.BigInteger))
    return [here < there if descending else here > there]
