"""How many messages each category or topic has, without the ORM, which starts slowly."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from datanommer.models.tables import topics


def totals(
    engine: sa.Engine, *, by_topic: bool = False, categories: Sequence[str] = ()
) -> list[tuple[str, int]]:
    """How many messages each category (or topic) has, most numerous first, ties by name.

    Args:
        engine: of the database.
        by_topic: count by topic.
        categories: count only within these.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    name = topics.c.topic if by_topic else topics.c.category
    total = sa.func.sum(topics.c.messages)
    query = (
        sa.select(name, sa.cast(total, sa.BigInteger)).group_by(name).order_by(total.desc(), name)
    )
    if categories:
        query = query.where(topics.c.category.in_(categories))
    with engine.connect() as connection:
        return [(row[0], row[1]) for row in connection.execute(query)]
