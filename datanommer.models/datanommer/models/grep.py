"""`Message.grep` and its kin: messages found by any mixture of filters."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models import conditions, walk
from datanommer.models.conditions import Condition, Entry
from datanommer.models.errors import InvalidQuery
from datanommer.models.filters import Filters
from datanommer.models.message import as_utc
from datanommer.models.schema import Message, Topic
from datanommer.models.sessions import session

#: The filters that the counters of the topics answer.
_OF_TOPICS = frozenset({"topics", "not_topics", "categories", "not_categories"})
_WINDOW = frozenset({"start", "end"})
_ORDERS = ("asc", "desc")
_MAX_SIZE = 2**31 - 1
_MAX_OFFSET = 2**62  # far past any end, and PostgreSQL can still add a page to it


def grep(
    filters: Filters, *, page: int, rows_per_page: int | None, order: str, defer: bool
) -> tuple[int, int, Any]:
    """What `Message.grep` returns.

    Raises:
        InvalidQuery: the page or the order makes no sense.
    """
    descending = is_descending(order)
    size = check_size(rows_per_page)
    if isinstance(page, bool) or not isinstance(page, int) or page < 1:
        raise InvalidQuery(f"page is {page!r}. Give a whole number; the first page is 1.")
    number = total(filters)
    pages = -(-number // size) if size else min(number, 1)
    if size:
        offset = min(size * (page - 1), _MAX_OFFSET)
        found = first(filters, size, offset=offset, descending=descending)
    else:
        found = all_of(filters, descending=descending).offset(0 if page == 1 else number)
    if defer:
        return number, pages, found
    return number, pages, found.all() if page <= pages and number else []


def is_descending(order: str) -> bool:
    """Whether the newest come first.

    Raises:
        InvalidQuery: it is neither ``asc`` nor ``desc``.
    """
    if order not in _ORDERS:
        raise InvalidQuery(f"order is {order!r}. Give 'asc' (oldest first) or 'desc'.")
    return order == "desc"


def check_size(rows_per_page: int | None) -> int:
    """The number of messages of a page; 0 for all.

    Raises:
        InvalidQuery: it is no such number.
    """
    size = 0 if rows_per_page is None else rows_per_page
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _MAX_SIZE:
        raise InvalidQuery(
            f"rows_per_page is {rows_per_page!r}. Give how many messages a page has (up to "
            f"{_MAX_SIZE}), or 0 or None for all of them on one page."
        )
    return size


def make_query(filters: Filters) -> orm.Query[Message]:
    """All messages that match, in no order."""
    return session.query(Message).filter(*conditions.of(filters, Entry.of_message(Message)))


def all_of(filters: Filters, *, descending: bool) -> orm.Query[Message]:
    """All messages that match, in order of time."""
    return make_query(filters).order_by(*walk.order(Message, descending=descending))


def first(
    filters: Filters,
    number: int,
    *,
    offset: int = 0,
    descending: bool,
    after: walk.Place | None = None,
) -> orm.Query[Message]:
    """The first messages that match, in order of time.

    Args:
        number: at most so many.
        offset: without so many before them.
        descending: the newest first.
        after: only those beyond this place.
    """
    way, _ = walk.choose(filters)
    found = way.first(number, offset=offset, descending=descending, after=after)
    return (
        session.query(Message)
        .join(found, found.c.id == Message.id)
        .order_by(*walk.order(found.c, descending=descending))
    )


def total(filters: Filters) -> int:
    """How many messages match; by the counters of the topics, where they can tell."""
    if filters.given <= _OF_TOPICS | _WINDOW:
        counted = _counted(filters)
        if counted is not None:
            return counted
    without = _without(filters)
    if without is not None:
        rest, excluded = without
        # In this order, what is stored meanwhile is counted too much, and never below 0.
        number_of_excluded = total(excluded)
        return total(rest) - number_of_excluded
    return walk.count(filters)


def _counted(filters: Filters) -> int | None:
    """What the counters say; None where the window cuts off a part of what they count."""
    columns = (Topic.messages, Topic.first_seen, Topic.last_seen)
    query = sa.select(
        sa.cast(sa.func.coalesce(sa.func.sum(columns[0]), 0), sa.BigInteger),
        sa.func.min(columns[1]),
        sa.func.max(columns[2]),
    ).where(*_of_counters(filters))
    number, oldest, newest = session.execute(query).one()
    if not number:
        return 0
    is_whole = (filters.start is None or filters.start <= as_utc(oldest)) and (
        filters.end is None or filters.end >= as_utc(newest)
    )
    return int(number) if is_whole else None


def _of_counters(filters: Filters) -> list[Condition]:
    asked: list[Condition] = []
    for column, name in ((Topic.topic, "topics"), (Topic.category, "categories")):
        if names := getattr(filters, name):
            asked.append(column.in_(names))
        if not_names := getattr(filters, f"not_{name}"):
            asked.append(column.not_in(not_names))
    return asked


def _without(filters: Filters) -> tuple[Filters, Filters] | None:
    """The same without its one negative filter, and those of them that it keeps out.

    Most messages pass a negative filter: it is far quicker to count those that do not.
    """
    negative = [name for name in filters.given if name.startswith("not_")]
    if len(negative) != 1:
        return None
    name = negative[0]
    positive = name.removeprefix("not_")
    if not filters.given - {name} <= _WINDOW | _OF_TOPICS - {positive}:
        return None
    return filters.without(name), filters.without(name, **{positive: getattr(filters, name)})
