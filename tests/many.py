"""More messages than are looked up one by one, for the access paths that are long."""

from __future__ import annotations

from datetime import datetime

from classic import execute
from datanommer.models.finding.access_path import MANY

#: A user whom each of them concerns, and nothing else.
USER = "many"
_FILL = """
    INSERT INTO messages (msg_id, i, username, topic, category, timestamp, msg)
    SELECT 'many-' || n, 0, %(agent)s, %(topic)s, split_part(%(topic)s, '.', 4), %(sent)s, '{}'
    FROM generate_series(1, %(number)s) AS n;
    INSERT INTO users SELECT unnest(%(users)s) ON CONFLICT DO NOTHING;
    INSERT INTO packages SELECT unnest(%(packages)s::text[]) ON CONFLICT DO NOTHING;
    INSERT INTO user_messages (name, timestamp, category, msg)
    SELECT unnest(%(users)s), timestamp, category, id FROM messages WHERE msg_id LIKE 'many-%%';
    INSERT INTO package_messages (name, timestamp, category, msg)
    SELECT unnest(%(packages)s::text[]), timestamp, category, id FROM messages
    WHERE msg_id LIKE 'many-%%';
"""


def put_many(
    url: str,
    topic: str,
    sent: datetime,
    users: tuple[str, ...],
    packages: tuple[str, ...] = (),
    agent: str | None = None,
) -> None:
    """Store many messages with all of these, sent at the same time; PostgreSQL makes them."""
    values = {
        "number": MANY,
        "topic": topic,
        "sent": sent,
        "users": [*users, USER],
        "packages": list(packages),
        "agent": agent,
    }
    execute(url, _FILL, values)
