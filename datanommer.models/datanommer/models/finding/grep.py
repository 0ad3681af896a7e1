"""`Message.grep` and its kin: messages found by any mixture of filters."""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models import tables, times
from datanommer.models.database.session import Session
from datanommer.models.errors import InvalidQuery
from datanommer.models.filtering import counters, predicates
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.predicates import Entry
from datanommer.models.finding import access_path, entities
from datanommer.models.finding.cursor import Cursor

Entity = TypeVar("Entity")

_ORDERS = ("asc", "desc")
_MAX_SIZE = 2**31 - 1
_MAX_OFFSET = 2**62  # far past any end, and PostgreSQL can still add a page to it


def grep(
    session: Session,
    entity: type[Entity],
    filters: Filters,
    *,
    page: int,
    rows_per_page: int | None,
    order: str,
    defer: bool,
) -> tuple[int, int, Any]:
    """What `Message.grep` returns.

    Args:
        session: what to ask the database with.
        entity: the class of the messages, mapped to the table `messages`.
        filters: which messages.
        page, rows_per_page, order, defer: as for `Message.grep`.

    Raises:
        InvalidQuery: the page or the order makes no sense.
    """
    descending = is_descending(order)
    size = check_size(rows_per_page)
    if isinstance(page, bool) or not isinstance(page, int) or page < 1:
        raise InvalidQuery(f"page is {page!r}. Give a whole number; the first page is 1.")
    total = count(session, filters)
    pages = -(-total // size) if size else min(total, 1)
    if size:
        offset = min(size * (page - 1), _MAX_OFFSET)
        query = first(session, entity, filters, size, offset=offset, descending=descending)
    else:
        query = make_query(session, entity, filters)
        if page > 1:
            query = query.filter(sa.false())
        query = query.order_by(*access_path.order(tables.messages.c, descending=descending))
    if defer:
        return total, pages, query
    if page > pages or not total:
        return total, pages, []
    return total, pages, entities.load(session, query, entity)


def is_descending(order: str) -> bool:
    """Whether the newest come first.

    Raises:
        InvalidQuery: it is neither ``asc`` nor ``desc``.
    """
    if order not in _ORDERS:
        raise InvalidQuery(f"order is {order!r}. Give 'asc' (oldest first) or 'desc'.")
    return order == "desc"


def check_size(rows_per_page: int | None) -> int:
    """How many messages a page has; 0 for all.

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


def make_query(session: Session, entity: type[Entity], filters: Filters) -> orm.Query[Entity]:
    """All messages that match, in no order."""
    entry = Entry.of_message(tables.messages)
    return session.query(entity).filter(*predicates.of(filters, entry))


def first(
    session: Session,
    entity: type[Entity],
    filters: Filters,
    limit: int,
    *,
    offset: int = 0,
    descending: bool,
    after: Cursor | None = None,
) -> orm.Query[Entity]:
    """The first messages that match, in order of time.

    Args:
        session: what to ask the database with.
        entity: the class of the messages.
        filters: which messages.
        limit: at most so many.
        offset: so many before them are left out.
        descending: the newest first.
        after: only those beyond this cursor.
    """
    path, _ = access_path.choose(session, filters)
    matching = path.first(limit, offset=offset, descending=descending, after=after)
    return (
        session.query(entity)
        .join(matching, matching.c.id == tables.messages.c.id)
        .order_by(*access_path.order(matching.c, descending=descending))
    )


def count(session: Session | sa.Connection, filters: Filters) -> int:
    """How many messages match; by the counters where they can tell."""
    if counters.can_tell(filters):
        counted = _counted(session, filters)
        if counted is not None:
            return counted
    inverted = _inverted(filters)
    if inverted is not None:
        all_of_them, excluded = inverted
        # In this order, messages that arrive meanwhile make it too high, but never negative.
        number_excluded = count(session, excluded)
        return count(session, all_of_them) - number_excluded
    return access_path.count(session, filters)


def _counted(session: Session | sa.Connection, filters: Filters) -> int | None:
    """What the counters say; None if they count no whole day of those times."""
    c = tables.topics.c
    query = sa.select(
        counters.total(c.messages), sa.func.min(c.first_seen), sa.func.max(c.last_seen)
    )
    number, oldest, newest = session.execute(query.where(*counters.of_topics(filters))).one()
    if not number:
        return 0
    is_whole = (filters.since is None or filters.since <= times.as_utc(oldest)) and (
        filters.before is None or filters.before >= times.as_utc(newest)
    )
    return int(number) if is_whole else _counted_by_day(session, filters)


def _counted_by_day(session: Session | sa.Connection, filters: Filters) -> int | None:
    days = counters.of_days(filters)
    if days is None:
        return None
    query = sa.select(counters.total(tables.topic_days.c.messages)).where(*days.predicates)
    total = int(session.execute(query).scalar_one())
    return total + sum(access_path.count(session, edge) for edge in days.edges)


def _inverted(filters: Filters) -> tuple[Filters, Filters] | None:
    """The filters without their one negative filter, and those of what it excludes.

    Most messages pass a negative filter: it is far quicker to count those that do not.
    """
    negative = [name for name in filters.names if name.startswith("not_")]
    if len(negative) != 1:
        return None
    name = negative[0]
    positive = name.removeprefix("not_")
    if not filters.names - {name} <= counters.OF_TIME | counters.OF_TOPICS - {positive}:
        return None
    return filters.without(name), filters.without(name, **{positive: getattr(filters, name)})
