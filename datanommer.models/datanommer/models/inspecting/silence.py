"""Categories that have fallen silent: longer than is usual for each of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from datanommer.models import times

#: How far back the gaps between messages are looked at.
WINDOW = timedelta(days=30)
#: A shorter gap counts as one of this length.
SHORTEST_GAP = timedelta(hours=1)
#: A category has fallen silent after so many times its longest gap.
FACTOR = 3

# The walk from message to message skips all within the longest gap so far: it looks at the index
# once for each gap that could be the longest, not for each message. So it takes as long at ten
# million messages as at ten thousand. It begins with the last message before the window, so that a
# gap that reaches into it counts. A category that was heard for less than a day has no rhythm yet.
_SILENT = sa.text(
    """
    WITH RECURSIVE heard AS (
        SELECT category FROM topics GROUP BY category
        HAVING max(last_seen) > :since
            AND NOT EXISTS (
                SELECT FROM messages WHERE messages.category = topics.category
                    AND timestamp > CAST(:now AS timestamptz) - :factor * CAST(:gap AS interval)
                    AND timestamp <= :now
            )
    ), walk (category, first, at, longest) AS (
        SELECT category, start.at, start.at, CAST(:gap AS interval)
        FROM heard CROSS JOIN LATERAL (
            SELECT coalesce(
                (SELECT max(timestamp) FROM messages
                 WHERE category = heard.category AND timestamp <= :since),
                (SELECT min(timestamp) FROM messages
                 WHERE category = heard.category AND timestamp > :since)
            ) AS at
        ) AS start
        WHERE start.at <= :now
        UNION ALL
        SELECT walk.category, first, following.at, greatest(longest, following.at - walk.at)
        FROM walk CROSS JOIN LATERAL (
            SELECT coalesce(
                (SELECT max(timestamp) FROM messages
                 WHERE category = walk.category AND timestamp > walk.at
                    AND timestamp <= least(walk.at + longest, :now)),
                (SELECT min(timestamp) FROM messages
                 WHERE category = walk.category AND timestamp > walk.at + longest
                    AND timestamp <= :now)
            ) AS at
        ) AS following
        WHERE following.at IS NOT NULL
    )
    SELECT category, max(at), max(longest) FROM walk GROUP BY category
    HAVING max(at) > :since AND max(at) - min(first) >= interval '1 day'
        AND CAST(:now AS timestamptz) - max(at) > :factor * max(longest)
    ORDER BY category
    """
)


class Silent(NamedTuple):
    """A category that has fallen silent.

    Attributes:
        category: its name.
        last_seen: when its last message was sent (naive, in UTC).
        silence: how long ago that was.
        longest_gap: the longest time between two of its messages in `WINDOW`.
    """

    category: str
    last_seen: datetime
    silence: timedelta
    longest_gap: timedelta


def look(connection: sa.Connection) -> list[Silent]:
    """The categories that are silent for longer than `FACTOR` times their longest gap.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    # The query reads little, but the planner does not know that, and would compile it.
    connection.execute(sa.text("SELECT set_config('jit', 'off', true)"))
    now = connection.scalar(sa.text("SELECT clock_timestamp()"))
    assert isinstance(now, datetime)
    arguments = {"now": now, "since": now - WINDOW, "gap": SHORTEST_GAP, "factor": FACTOR}
    return [
        Silent(category, times.naive_utc(last), now - last, gap)
        for category, last, gap in connection.execute(_SILENT, arguments)
    ]
