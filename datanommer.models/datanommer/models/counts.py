"""How many messages there are: of each topic and category, of each user."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import walk
from datanommer.models.conditions import ASSOCIATIONS
from datanommer.models.errors import InvalidQuery
from datanommer.models.filters import Filters, text
from datanommer.models.schema import Message, Topic
from datanommer.models.sessions import session

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
    columns = [getattr(Topic, name) for name in TopicCount._fields]
    query = sa.select(*columns).order_by(Topic.category, Topic.topic)
    if category is not None:
        query = query.where(Topic.category == text("category", category))
    return [TopicCount(*row) for row in session.execute(query)]


def categories() -> list[CategoryCount]:
    """All categories, by name, from the counters of their topics.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = (
        sa.select(
            Topic.category,
            sa.cast(sa.func.sum(Topic.messages), sa.BigInteger),
            sa.func.min(Topic.first_seen),
            sa.func.max(Topic.last_seen),
        )
        .group_by(Topic.category)
        .order_by(Topic.category)
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
    asked = Filters.of(**filters)
    number: sa.ColumnElement[int] = sa.func.count()
    if asked.given:
        way, is_short = walk.choose(asked)
        found = way.all(fenced=is_short).subquery()
        query = sa.select(Message.topic, number).join(found, found.c[0] == Message.id)
        query = query.group_by(Message.topic).order_by(number.desc(), Message.topic)
    else:
        number = sa.cast(sa.func.sum(Topic.messages), sa.BigInteger)
        query = sa.select(Topic.topic, number)
        query = query.group_by(Topic.topic).order_by(number.desc(), Topic.topic)
    return _numbers(query)


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
    asked = Filters.of(**filters)
    named = ASSOCIATIONS["users"].alias()
    number = sa.func.count()
    query = sa.select(named.c.name, number).group_by(named.c.name)
    if asked.given:
        way, is_short = walk.choose(asked)
        found = way.all(fenced=is_short).subquery()
        query = query.join(found, found.c[0] == named.c.msg)
    query = query.order_by(number.desc(), named.c.name).limit(limit)
    return _numbers(query)


def _numbers(query: sa.Select[str, int]) -> dict[str, int]:
    return {name: number for name, number in session.execute(query)}  # noqa: C416  rows, no pairs
