"""What the counters of topics and of days can tell, without a look at the messages."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.predicates import Predicate

#: The filters that the counters know.
OF_TOPICS = frozenset({"topics", "not_topics", "categories", "not_categories"})
OF_TIME = frozenset({"since", "before"})
_DAY = timedelta(days=1)
_MIDNIGHT = time()
_MICROSECOND = timedelta(microseconds=1)


class Days(NamedTuple):
    """The whole days (in UTC) of a span of time.

    Attributes:
        predicates: which rows of `topic_days` count its messages.
        edges: the filters for the parts of days at both ends.
    """

    predicates: list[Predicate]
    edges: list[Filters]


def total(messages: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """The sum of counters as an integer; PostgreSQL's own is a decimal number, and NULL for none.

    Args:
        messages: their column.
    """
    return sa.cast(sa.func.coalesce(sa.func.sum(messages), 0), sa.BigInteger)


def can_tell(filters: Filters) -> bool:
    """Whether the counters know all of the filters."""
    return filters.names <= OF_TOPICS | OF_TIME


def of_topics(filters: Filters) -> list[Predicate]:
    """Which rows of `topics` count the messages of the topics and categories."""
    return _named(filters, tables.topics)


def of_days(filters: Filters) -> Days | None:
    """The days that count the messages of the topics and categories in a span of time.

    Returns:
        The days; None if no whole one is in the span.
    """
    c = tables.topic_days.c
    predicates = _named(filters, tables.topic_days)
    if filters.topics:
        # The primary key begins with the category.
        t = tables.topics.alias()
        of_topics = sa.select(t.c.category).where(t.c.topic.in_(filters.topics))
        predicates.append(c.category.in_(of_topics))
    edges = []
    try:
        first, last = _first_whole(filters.since), _last_whole(filters.before)
        if first is not None:
            predicates.append(c.day >= first)
            if filters.since != (start := _start(first)):
                edges.append(filters.without(before=start - _MICROSECOND))
        if last is not None:
            predicates.append(c.day <= last)
            if filters.before != (end := _start(last) + (_DAY - _MICROSECOND)):
                edges.append(filters.without(since=end + _MICROSECOND))
    except OverflowError:  # at the first or the last day that Python knows
        return None
    if first is not None and last is not None and first > last:
        return None
    return Days(predicates, edges)


def _named(filters: Filters, table: sa.Table) -> list[Predicate]:
    predicates: list[Predicate] = []
    for column, name in ((table.c.topic, "topics"), (table.c.category, "categories")):
        if names := getattr(filters, name):
            predicates.append(column.in_(names))
        if not_names := getattr(filters, f"not_{name}"):
            predicates.append(column.not_in(not_names))
    return predicates


def _first_whole(since: datetime | None) -> date | None:
    if since is None:
        return None
    moment = since.astimezone(UTC)
    return moment.date() if moment.time() == _MIDNIGHT else moment.date() + _DAY


def _last_whole(before: datetime | None) -> date | None:
    if before is None:
        return None
    moment = before.astimezone(UTC)
    is_whole = moment + _MICROSECOND == _start(moment.date()) + _DAY
    return moment.date() if is_whole else moment.date() - _DAY


def _start(day: date) -> datetime:
    return datetime.combine(day, _MIDNIGHT, UTC)
