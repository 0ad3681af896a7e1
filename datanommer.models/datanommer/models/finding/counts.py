"""How many messages there are: by topic, by category, by user."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.database.session import session
from datanommer.models.errors import InvalidQuery
from datanommer.models.filtering.filters import Filters, text
from datanommer.models.finding import access_path

_LIMITS = range(2**31)


class TopicCount(NamedTuple):
    """A topic that has messages; the times are naive, in UTC."""

    category: str
    topic: str
    messages: int
    first_seen: datetime
    last_seen: datetime


class CategoryCount(NamedTuple):
    """A category that has messages; the times are naive, in UTC."""

    category: str
    messages: int
    first_seen: datetime
    last_seen: datetime


def topics(*, category: str | None = None) -> list[TopicCount]:
    """All topics, by category and name, from their counters: at once, however many messages.

    Args:
        category: only those of this category.

    Raises:
        InvalidQuery: the category is no text.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    c = tables.topics.c
    query = sa.select(*(c[name] for name in TopicCount._fields)).order_by(c.category, c.topic)
    if category is not None:
        query = query.where(c.category == text("category", category))
    return [TopicCount(*row) for row in session.execute(query)]


def categories() -> list[CategoryCount]:
    """All categories, by name, from the counters of their topics.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    c = tables.topics.c
    query = (
        sa.select(
            c.category,
            sa.cast(sa.func.sum(c.messages), sa.BigInteger),
            sa.func.min(c.first_seen),
            sa.func.max(c.last_seen),
        )
        .group_by(c.category)
        .order_by(c.category)
    )
    return [CategoryCount(*row) for row in session.execute(query)]


def by_topic(**filters: Any) -> dict[str, int]:
    """How many messages each topic has, of those that pass the filters of `Message.grep`.

    Returns:
        The numbers by topic, most numerous first.

    Raises:
        InvalidQuery: a filter makes no sense.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    selected = Filters.of(**filters)
    counted: sa.ColumnElement[int] = sa.func.count()
    if selected.names:
        m = tables.messages
        path, is_short = access_path.choose(session(), selected)
        matching = path.all(fenced=is_short).subquery()
        query = sa.select(m.c.topic, counted).join(matching, matching.c[0] == m.c.id)
        query = query.group_by(m.c.topic).order_by(counted.desc(), m.c.topic)
    else:
        c = tables.topics.c
        counted = sa.cast(sa.func.sum(c.messages), sa.BigInteger)
        query = sa.select(c.topic, counted)
        query = query.group_by(c.topic).order_by(counted.desc(), c.topic)
    return _by_name(query)


def by_user(*, limit: int | None = None, **filters: Any) -> dict[str, int]:
    """How many messages concern each user, of those that pass the filters of `Message.grep`.

    Args:
        limit: only so many users, those with most messages; None for all.

    Returns:
        The numbers by name, most numerous first.

    Raises:
        InvalidQuery: an argument makes no sense.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    if limit is not None and (type(limit) is not int or limit not in _LIMITS):
        raise InvalidQuery(f"limit is {limit!r}. Give a number of users, or None for all.")
    selected = Filters.of(**filters)
    user = tables.user_messages.alias()
    counted = sa.func.count()
    query = sa.select(user.c.name, counted).group_by(user.c.name)
    if selected.names:
        path, is_short = access_path.choose(session(), selected)
        matching = path.all(fenced=is_short).subquery()
        query = query.join(matching, matching.c[0] == user.c.msg)
    query = query.order_by(counted.desc(), user.c.name).limit(limit)
    return _by_name(query)


def _by_name(query: sa.Select[str, int]) -> dict[str, int]:
    return {name: count for name, count in session.execute(query)}  # noqa: C416  rows, no pairs
