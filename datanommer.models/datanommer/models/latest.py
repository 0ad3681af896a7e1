"""The newest messages: a look into an index, for a command that starts quickly."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import message, record
from datanommer.models.database import bound_engine

_LATEST = f"SELECT m.category, m.timestamp, {record.SQL} FROM messages m {record.JOINS}"
_NEWEST_FIRST = "ORDER BY m.timestamp DESC, m.id DESC LIMIT 1"
# One look into an index for each category, however many messages there are.
_LATEST_OF_EACH_CATEGORY = f"""
    SELECT m.category, m.timestamp, {record.SQL}
    FROM (SELECT DISTINCT category FROM topics) known
    CROSS JOIN LATERAL (
        SELECT * FROM messages m WHERE m.category = known.category {_NEWEST_FIRST}
    ) m
    {record.JOINS}
    ORDER BY m.category
"""


class Latest(NamedTuple):
    """The newest message of something.

    Attributes:
        category: the category of the message.
        timestamp: when it was sent (naive, in UTC).
        record: the message as `datanommer.models.record` describes it.
    """

    category: str
    timestamp: datetime
    record: dict[str, Any]


def latest(
    *, topic: str | None = None, category: str | None = None, overall: bool = False
) -> list[Latest]:
    """The newest message of a topic, of a category or of all; else of each category, by name.

    However old it is, it is found; where there is none, the list is empty.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    asked = {"topic": topic, "category": category}
    given = {name: value for name, value in asked.items() if value is not None}
    if given or overall:
        where = " AND ".join(f"m.{name} = :{name}" for name in given) or "true"
        query = f"{_LATEST} WHERE {where} {_NEWEST_FIRST}"
    else:
        query = _LATEST_OF_EACH_CATEGORY
    with bound_engine().connect() as connection:
        found = connection.execute(sa.text(query), given)
        return [
            Latest(name, message.naive_utc(timestamp), json.loads(text))
            for name, timestamp, text in found
        ]
