"""Access paths: which index leads to the messages that match, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from datanommer.models import tables
from datanommer.models.envelopes import identity
from datanommer.models.filtering import predicates
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.predicates import Entry
from datanommer.models.finding.cursor import Cursor, literals

if TYPE_CHECKING:
    # The commands have a connection, and do without the ORM, which starts slowly.
    from datanommer.models.database.session import Session

#: At most how many entries of an index are counted, to choose the index with the fewest. Counting
#: that many takes 2 ms; looking up what belongs to each of them takes 50 ms.
MANY = 10_000

# Made once: to copy the columns of the table takes a twentieth of the time of a page.
_MESSAGES = tables.messages.alias()


@dataclass(frozen=True, slots=True)
class AccessPath:
    """An index that leads to messages. Entries with the same keys are in order of time.

    Attributes:
        entry: its columns.
        keys: the columns before the time, each with its values; empty, where there are none.
        rest: the filters that are not keys.
    """

    entry: Entry
    keys: tuple[tuple[Any, Sequence[str]], ...]
    rest: Filters

    def first(
        self, limit: int, *, offset: int = 0, descending: bool, after: Cursor | None = None
    ) -> sa.Subquery:
        """The `timestamp` and `id` of the first messages that match, in order of time."""
        entry = self.entry
        along = (
            sa.select(entry.timestamp.label("timestamp"), entry.id.label("id"))
            .where(*predicates.of(self.rest, entry, fenced=True))
            .where(*_after(entry, after, descending=descending))
            .order_by(*order(entry, descending=descending))
        )
        if not self.keys:
            return along.limit(limit).offset(offset).subquery("matching")
        # The index is read once for each key, as far as need be; then the results are merged.
        # Otherwise the planner would read all of every key, or the archive by time.
        keys = [_table_of(values, f"key{index}") for index, (_, values) in enumerate(self.keys)]
        for key, (column, _) in zip(keys, self.keys, strict=True):
            along = along.where(column == key.c.value)
        of_key = along.limit(offset + limit).correlate(*keys).lateral("of_key")
        source: sa.FromClause = keys[0]
        for joined in (*keys[1:], of_key):
            source = source.join(joined, sa.true())
        return (
            sa.select(of_key.c.timestamp, of_key.c.id)
            .select_from(source)
            .distinct()  # a message may have several of the keys
            .order_by(*order(of_key.c, descending=descending))
            .limit(limit)
            .offset(offset)
            .subquery("matching")
        )

    def all(self, *columns: Any, fenced: bool) -> sa.Select[Any]:
        """The ids, or other columns, of all messages that match, each once."""
        query = sa.select(*columns or (self.entry.id,)).where(
            *(column.in_(values) for column, values in self.keys),
            *predicates.of(self.rest, self.entry, fenced=fenced),
        )
        return query.distinct() if self.may_repeat else query

    @property
    def may_repeat(self) -> bool:
        """Whether a message may have several of the keys: several users, say."""
        return self.entry.message is None and len(self.keys[0][1]) > 1

    def length(self) -> sa.ScalarSelect[int]:
        """How many entries have the keys, up to `MANY`."""
        in_time = predicates.in_time(self.rest, self.entry.timestamp)
        entries = (
            sa.select(sa.literal_column("1"))
            .where(*(column.in_(values) for column, values in self.keys))
            .where(*in_time)
            .limit(MANY)
            .subquery()
        )
        return sa.select(sa.func.count()).select_from(entries).scalar_subquery()


def choose(
    session: Session | sa.Connection, filters: Filters, *, measured: bool = False
) -> tuple[AccessPath, bool]:
    """The shortest access path to the messages that match, and whether it is known to be short.

    Args:
        session: what to ask the database with.
        filters: which messages.
        measured: measure it even if it is the only one.
    """
    paths = list(_paths(filters))
    if not paths:
        return AccessPath(Entry.of_message(_MESSAGES), (), filters), False
    if len(paths) == 1 and not measured:
        return paths[0], False
    lengths = session.execute(sa.select(*(path.length() for path in paths))).one()
    length, path = min(zip(lengths, paths, strict=True), key=lambda pair: pair[0])
    return path, length < MANY


def is_short(session: Session | sa.Connection, path: AccessPath) -> bool:
    """Whether a path has so few entries that each of them may be looked up."""
    return int(session.scalars(sa.select(path.length())).one()) < MANY


def count(session: Session | sa.Connection, filters: Filters) -> int:
    """How many messages match, counted one by one."""
    path, is_short = choose(session, filters)
    matching = path.all(fenced=is_short).subquery()
    return int(session.scalars(sa.select(sa.func.count()).select_from(matching)).one())


def order(columns: Any, *, descending: bool) -> list[sa.ColumnElement[Any]]:
    """The order of time, for anything with the columns `timestamp` and `id`."""
    both = (columns.timestamp, columns.id)
    return [column.desc() if descending else column.asc() for column in both]


def _paths(filters: Filters) -> Iterator[AccessPath]:
    """The indexes that lead only to messages which pass one of the filters."""
    if filters.msg_id is not None:
        yield _along_messages(filters, "msg_id", "msg_id", identity.known_as(filters.msg_id))
        return
    for name in predicates.ASSOCIATIONS:
        if getattr(filters, name):
            yield _along_association(filters, name)
    if filters.topics:
        yield _along_messages(filters, "topics", "topic", filters.topics)
    elif filters.categories and not (filters.users or filters.packages):
        yield _along_messages(filters, "categories", "category", filters.categories)
    if filters.agents:
        keys = ((tables.agent_of(_MESSAGES), filters.agents),)
        yield AccessPath(Entry.of_message(_MESSAGES), keys, filters.without("agents"))


def _along_messages(filters: Filters, name: str, column: str, values: Sequence[str]) -> AccessPath:
    keys = ((_MESSAGES.c[column], values),)
    return AccessPath(Entry.of_message(_MESSAGES), keys, filters.without(name))


def _along_association(filters: Filters, name: str) -> AccessPath:
    a = predicates.ASSOCIATIONS[name].alias()
    keys = [(a.c.name, getattr(filters, name))]
    if filters.categories:
        keys.append((a.c.category, filters.categories))
    return AccessPath(Entry.of_association(a), tuple(keys), filters.without(name, "categories"))


def _table_of(values: Sequence[str], name: str) -> sa.FromClause:
    array = sa.cast(list(values), ARRAY(sa.Text))
    return sa.func.unnest(array).table_valued("value").render_derived(name=name)


def _after(entry: Entry, after: Cursor | None, *, descending: bool) -> list[Any]:
    if after is None:
        return []
    here, cursor = sa.tuple_(entry.timestamp, entry.id), sa.tuple_(*literals(after))
    return [here < cursor if descending else here > cursor]
