"""Pages by cursor: each begins after the last message of the page before, and costs the same.

By time, a reader who pages towards the present misses a message that arrives late: its timestamp
is older than the last page. By id, the order of arrival, nothing is missed.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models import tables
from datanommer.models.database.session import Session
from datanommer.models.errors import InvalidQuery
from datanommer.models.filtering import predicates
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.predicates import Entry
from datanommer.models.finding import access_path, arrival, cursor, entities, grep

_Entity = TypeVar("_Entity")


class Page(NamedTuple, Generic[_Entity]):
    """A page of messages.

    Attributes:
        messages: in the order that was asked for; empty, if there are no more (for now).
        after: what to ask for the next page with; ASCII that is safe in a URL. An empty page gives
            back what it was asked with, so that one can ask again later.
    """

    messages: list[_Entity]
    after: str | None


def page(
    session: Session,
    entity: type[_Entity],
    filters: Filters,
    *,
    after: str | None = None,
    by: str = "time",
    order: str = "asc",
    rows_per_page: int = 100,
) -> Page[_Entity]:
    """What `Message.page` returns.

    Args:
        session: what to ask the database with.
        entity: the class of the messages, mapped to the table `messages`.
        filters: which messages.
        after, by, order, rows_per_page: as for `Message.page`.

    Raises:
        InvalidQuery: an argument makes no sense.
        NotSettled: by id, somebody has been writing messages for ten seconds.
        OnStandby: by id, the database is a standby.
    """
    descending = grep.is_descending(order)
    size = grep.check_size(rows_per_page)
    if not size:
        raise InvalidQuery(
            f"rows_per_page is {rows_per_page!r}. Give how many messages a page has."
        )
    if by == "time":
        query = grep.first(
            session,
            entity,
            filters,
            size,
            descending=descending,
            after=None if after is None else cursor.from_text(after),
        )
    elif by == "id":
        after_id = None if after is None else cursor.id_from_text(after)
        query = _by_id(session, entity, filters, size, after_id, descending=descending)
    else:
        raise InvalidQuery(f"by is {by!r}. Give 'time', or 'id' for the order of arrival.")
    messages = entities.load(session, query, entity)
    return Page(messages, cursor_of(messages[-1], by) if messages else after)


def cursor_of(message: Any, by: str) -> str:
    """The cursor of a message, in order of time or of arrival (`by` is ``id``)."""
    return str(message.id) if by == "id" else cursor.to_text((message.timestamp, message.id))


def _by_id(
    session: Session,
    entity: type[_Entity],
    filters: Filters,
    size: int,
    after: int | None,
    *,
    descending: bool,
) -> orm.Query[_Entity]:
    last = arrival.settled(session)
    path, is_short = access_path.choose(session, filters, measured=True)
    if is_short:
        matching = path.all(fenced=True).cte("matching").prefix_with("MATERIALIZED")
        row_id: Any = matching.c[0]
        query = sa.select(row_id.label("id"))
    else:
        m = tables.messages.alias()
        row_id = m.c.id
        query = sa.select(row_id.label("id")).where(
            *predicates.of(filters, Entry.of_message(m), fenced=True)
        )
    if after is not None:
        query = query.where(row_id < after if descending else row_id > after)
    query = query.where(row_id <= last)
    ids = query.order_by(row_id.desc() if descending else row_id).limit(size).subquery("page_ids")
    in_order = tables.messages.c.id.desc() if descending else tables.messages.c.id
    return session.query(entity).join(ids, ids.c.id == tables.messages.c.id).order_by(in_order)
