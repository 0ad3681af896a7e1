"""How many messages there are, and what topics and categories: for programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.counting import activity
from datanommer.models.database.session import session
from datanommer.models.errors import InvalidQuery
from datanommer.models.filtering import counters
from datanommer.models.filtering.filters import Filters, text

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
            counters.total(c.messages),
            sa.func.min(c.first_seen),
            sa.func.max(c.last_seen),
        )
        .group_by(c.category)
        .order_by(c.category)
    )
    return [CategoryCount(*row) for row in session.execute(query)]


def by(key: str, *, limit: int | None = None, **filters: Any) -> dict[Any, int]:
    """How many messages pass the filters of `Message.grep`, by something that they have in common.

    Args:
        key: one of `datanommer.models.counting.activity.KEYS`: topic, category, user, package,
            agent, hour, day, week or month (in UTC; a week begins on its Monday).
        limit: only so many, those with most messages; None for all.

    Returns:
        The numbers by name, or by the start of the span (naive, in UTC); the most numerous first,
        but spans without a limit in order of time.

    Raises:
        InvalidQuery: an argument makes no sense.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    if key not in activity.KEYS:
        raise InvalidQuery(f"key is {key!r}. Give one of {', '.join(activity.KEYS)}.")
    if limit is not None and (type(limit) is not int or limit not in _LIMITS):
        raise InvalidQuery(f"limit is {limit!r}. Give how many to return, or None for all.")
    found = activity.read(session(), key, Filters.of(**filters))
    return {count.key: count.messages for count in activity.in_order(found, key, limit)}


def by_topic(**filters: Any) -> dict[str, int]:
    """How many messages each topic has; as `by` does."""
    return by("topic", **filters)


def by_user(*, limit: int | None = None, **filters: Any) -> dict[str, int]:
    """How many messages concern each user; as `by` does."""
    return by("user", limit=limit, **filters)
