"""What was rejected today, by category."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from datanommer.models.envelopes.category import categorize

_TODAY = sa.text(
    """
    SELECT topic, count(*) FROM rejected
    WHERE received_at >= date_trunc('day', clock_timestamp(), 'UTC') GROUP BY topic
    """
)


def look(connection: sa.Connection) -> Counter[str]:
    """How many rejects of each category came for the first time today (UTC).

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    counts: Counter[str] = Counter()
    for topic, number in connection.execute(_TODAY):
        counts[categorize(topic or "")] += number
    return counts
