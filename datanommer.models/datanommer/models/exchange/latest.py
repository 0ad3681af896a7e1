"""The newest messages: one look-up in an index each, without the ORM, which starts slowly."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import times
from datanommer.models.exchange import record

_LATEST = f"SELECT m.category, m.timestamp, {record.SQL} FROM messages m {record.JOINS}"
_NEWEST_FIRST = "ORDER BY m.timestamp DESC, m.id DESC LIMIT 1"
# One look-up in an index for each category, however many messages there are.
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
        record: the message as `datanommer.models.exchange.record` describes it.
    """

    category: str
    timestamp: datetime
    record: dict[str, Any]


def latest(
    engine: sa.Engine,
    *,
    topic: str | None = None,
    category: str | None = None,
    overall: bool = False,
) -> list[Latest]:
    """The newest message of a topic, of a category or of all; else of each category, by name.

    It is found however old it is. Where there is none, the list is empty.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    both = {"topic": topic, "category": category}
    parameters = {name: value for name, value in both.items() if value is not None}
    if parameters or overall:
        where = " AND ".join(f"m.{name} = :{name}" for name in parameters) or "true"
        query = f"{_LATEST} WHERE {where} {_NEWEST_FIRST}"
    else:
        query = _LATEST_OF_EACH_CATEGORY
    with engine.connect() as connection:
        return [
            Latest(name, times.naive_utc(timestamp), json.loads(text))
            for name, timestamp, text in connection.execute(sa.text(query), parameters)
        ]
