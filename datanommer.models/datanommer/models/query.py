"""Questions to the archive."""

from __future__ import annotations

import sqlalchemy as sa

from datanommer.models.database import bound_engine
from datanommer.models.schema import Topic


def counts(*, by_topic: bool = False, category: str | None = None) -> list[tuple[str, int]]:
    """How many messages each category (or topic) has, most numerous first, ties by name.

    Args:
        by_topic: count by topic.
        category: count only within this one.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    name = Topic.topic if by_topic else Topic.category
    total = sa.func.sum(Topic.messages)
    query = (
        sa.select(name, sa.cast(total, sa.BigInteger)).group_by(name).order_by(total.desc(), name)
    )
    if category is not None:
        query = query.where(Topic.category == category)
    with bound_engine().connect() as connection:
        return [(row[0], row[1]) for row in connection.execute(query)]
