"""An archive in numbers: what happened in some days, and how much room it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from datanommer.models import tables
from datanommer.models.counting import activity
from datanommer.models.errors import InvalidQuery
from datanommer.models.filtering import counters
from datanommer.models.filtering.filters import Filters

#: How many topics, users and packages count as the busiest.
BUSIEST = 10
#: A category without a message for so long has fallen silent.
SILENCE = timedelta(days=7)
#: How many reasons of rejects are told apart.
REASONS = 20

_YEAR = timedelta(days=365)
_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_MIDNIGHT = time()
# Read-only, and all statements see the archive as it was at the first of them.
_ONE_MOMENT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


class Totals(NamedTuple):
    """All messages of the archive; the times are naive, in UTC, and None where there is none."""

    messages: int
    topics: int
    categories: int
    first_seen: datetime | None
    last_seen: datetime | None


class Day(NamedTuple):
    """How many messages of a category were sent on a day (UTC)."""

    day: date
    category: str
    messages: int


class Hour(NamedTuple):
    """How many messages were sent in the hour that starts then (naive, in UTC)."""

    start: datetime
    messages: int


class Name(NamedTuple):
    """How many messages a topic has, or how many concern a user or a package."""

    name: str
    messages: int


class Silent(NamedTuple):
    """A category that has fallen silent.

    Attributes:
        messages: how many it has in the days of the summary.
        last_seen: when the last of them was sent (naive, in UTC).
    """

    category: str
    messages: int
    last_seen: datetime


class Reason(NamedTuple):
    """Why messages were rejected.

    Attributes:
        kind: one of `datanommer.models.errors.KINDS`.
        rejects: how many there are.
        seen: how often they came.
        received_at: when the newest of them first came (naive, in UTC).
    """

    kind: str
    reason: str
    rejects: int
    seen: int
    received_at: datetime


class Size(NamedTuple):
    """How many bytes a table takes on the disk, with its indexes and all that belongs to it."""

    table: str
    size: int


class Summary(NamedTuple):
    """An archive in numbers, all of one moment.

    Attributes:
        first_day, last_day: the days (UTC) that are counted; the last one is not over yet.
        totals: of all days.
        days: each category on each of the days where it has messages, by day and category.
        hours: the hours that have messages, of the last day and the six before it, in order.
        topics, users, packages: the busiest of the days, most messages first.
        silent: the categories with messages in the days, but none for `SILENCE`; the one that was
            heard last comes first.
        reasons: the most frequent ones of all rejects, most frequent first.
        rejects: how many rejects there are for whatever reason.
        sizes: of the tables, the largest first.
    """

    first_day: date
    last_day: date
    totals: Totals
    days: list[Day]
    hours: list[Hour]
    topics: list[Name]
    users: list[Name]
    packages: list[Name]
    silent: list[Silent]
    reasons: list[Reason]
    rejects: int
    sizes: list[Size]

    @property
    def messages(self) -> int:
        """How many messages were sent in the days."""
        return sum(day.messages for day in self.days)


def summarize(engine: sa.Engine, since: datetime | None, now: datetime) -> Summary:
    """The numbers of an archive since some day; whole days are counted, in UTC.

    The days begin with the first one that has a message. What is dated after the day of `now` is
    in the totals alone.

    Args:
        engine: of the database, which may be a standby.
        since: a moment of the first day (naive, in UTC); None for a year ago.
        now: the current time (naive, in UTC).

    Raises:
        InvalidQuery: `since` is after `now`.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    since = now - _YEAR if since is None else since
    if since > now:
        raise InvalidQuery("since is in the future. Give a day that has begun.")
    with engine.connect().execution_options(**_ONE_MOMENT) as connection:
        return _Counter(connection, since.date(), now).summary()


class _Counter:
    """Counts in one transaction.

    Args:
        connection: to the database.
        first: the first day.
        now: a moment of the last one (naive, in UTC).
    """

    def __init__(self, connection: sa.Connection, first: date, now: datetime) -> None:
        self._connection = connection
        self._first = first
        self._last = now.date()
        self._start = datetime.combine(first, _MIDNIGHT)
        self._end = datetime.combine(self._last + _DAY, _MIDNIGHT)
        self._now = now

    def summary(self) -> Summary:
        days = self._days()
        return Summary(
            first_day=days[0].day if days else self._first,
            last_day=self._last,
            totals=self._totals(),
            days=days,
            hours=self._hours(),
            topics=self._busiest("topic"),
            users=self._busiest("user"),
            packages=self._busiest("package"),
            silent=self._silent(days),
            reasons=self._reasons(),
            rejects=self._connection.scalar(sa.select(sa.func.count(tables.rejected.c.id))) or 0,
            sizes=self._sizes(),
        )

    def _totals(self) -> Totals:
        c = tables.topics.c
        query = sa.select(
            counters.total(c.messages),
            sa.func.count(c.topic.distinct()),
            sa.func.count(c.category.distinct()),
            sa.func.min(c.first_seen),
            sa.func.max(c.last_seen),
        )
        return Totals(*self._connection.execute(query).one())

    def _days(self) -> list[Day]:
        c = tables.topic_days.c
        query = sa.select(c.day, c.category, counters.total(c.messages))
        query = query.where(c.day.between(self._first, self._last))
        query = query.group_by(c.day, c.category).order_by(c.day, c.category)
        return [Day(*row) for row in self._connection.execute(query)]

    def _hours(self) -> list[Hour]:
        of_week = Filters.of_options(self._end - _WEEK, self._end - _MICROSECOND)
        counts = activity.read(self._connection, "hour", of_week)
        in_order = activity.in_order(counts, "hour", None)
        return [Hour(cast("datetime", each.key), each.messages) for each in in_order]

    def _busiest(self, key: str) -> list[Name]:
        in_days = Filters.of_options(self._start, self._end - _MICROSECOND)
        counts = activity.read(self._connection, key, in_days)
        in_order = activity.in_order(counts, key, BUSIEST)
        return [Name(cast("str", each.key), each.messages) for each in in_order]

    def _silent(self, days: Sequence[Day]) -> list[Silent]:
        messages: Counter[str] = Counter()
        last_days: dict[str, date] = {}
        for day in days:
            messages[day.category] += day.messages
            last_days[day.category] = day.day
        silent_since = self._now - SILENCE
        quiet = [name for name, day in last_days.items() if day <= silent_since.date()]
        last_seen = self._last_seen(quiet)
        found = [Silent(name, messages[name], last) for name, last in last_seen.items()]
        found = [each for each in found if each.last_seen < silent_since]
        return sorted(found, key=lambda each: (each.last_seen, each.category), reverse=True)

    def _last_seen(self, categories: Sequence[str]) -> dict[str, datetime]:
        """When each of the categories was heard last, up to the last day."""
        array = sa.cast(list(categories), ARRAY(sa.Text))
        category = sa.func.unnest(array).table_valued("name").render_derived(name="category")
        m = tables.messages.c
        newest = (
            sa.select(m.timestamp)
            .where(m.category == category.c.name, m.timestamp < self._end)
            .order_by(m.timestamp.desc())
            .limit(1)
            .lateral("newest")
        )
        query = sa.select(category.c.name, newest.c.timestamp)
        rows = self._connection.execute(query.join(newest, sa.true()))
        return {name: last for name, last in rows}  # noqa: C416  rows, no pairs

    def _reasons(self) -> list[Reason]:
        c = tables.rejected.c
        seen = counters.total(c.seen)
        query = sa.select(c.kind, c.reason, sa.func.count(), seen, sa.func.max(c.received_at))
        query = query.group_by(c.kind, c.reason).order_by(seen.desc(), c.kind, c.reason)
        return [Reason(*row) for row in self._connection.execute(query.limit(REASONS))]

    def _sizes(self) -> list[Size]:
        array = sa.cast(list(tables.metadata.tables), ARRAY(sa.Text))
        table = sa.func.unnest(array).table_valued("name").render_derived(name="ours")
        relation = sa.func.to_regclass(table.c.name)
        size = sa.func.pg_total_relation_size(relation, type_=sa.BigInteger)
        query = sa.select(table.c.name, size).order_by(size.desc(), table.c.name)
        return [Size(*row) for row in self._connection.execute(query)]
