"""The newest messages: one look-up in an index each, without the ORM, which starts slowly."""

from __future__ import annotations

import sqlalchemy as sa

from datanommer.models.filtering.filters import Filters
from datanommer.models.finding import stream

# One look-up in an index for each category, however many messages there are.
_OF_EACH_CATEGORY = """
    SELECT m.id FROM (SELECT DISTINCT category FROM topics) known
    CROSS JOIN LATERAL (
        SELECT id FROM messages WHERE category = known.category
        ORDER BY timestamp DESC, id DESC LIMIT 1
    ) m
    ORDER BY known.category
"""


def newest(engine: sa.Engine, filters: Filters) -> list[int]:
    """The id of the newest message that matches, however old it is; an empty list for none.

    Args:
        engine: of the database.
        filters: which messages.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    return next(stream.ids(engine, filters, limit=1, descending=True), [])


def of_each_category(engine: sa.Engine) -> list[int]:
    """The ids of the newest message of each category, by the name of the category.

    Args:
        engine: of the database.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with engine.connect() as connection:
        return list(connection.scalars(sa.text(_OF_EACH_CATEGORY)))
