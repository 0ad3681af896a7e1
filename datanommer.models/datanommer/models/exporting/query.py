"""The SQL for the columns of a data set."""

from __future__ import annotations

from datanommer.models.data_set.columns import SCHEMA

#: The certificate is only an id here: a host sends the same one with each message.
_SQL = {
    "users": "coalesce(u.names, '{}')",
    "packages": "coalesce(p.names, '{}')",
    "certificate": "m.certificate_id",
    "msg": "m.msg::text",
    "headers": "m.headers::text",
    "extra": "m.extra::text",
}
_SELECTED = ", ".join(f"{_SQL.get(name, f'm.{name}')} AS {name}" for name in SCHEMA.names)


def _names(table: str) -> str:
    return f"""(
        SELECT a.msg, array_agg(a.name ORDER BY a.name) AS names FROM {table} a
        WHERE a.msg BETWEEN %(first_id)s AND %(last_id)s
            AND a.timestamp >= %(start)s AND a.timestamp < %(end)s
        GROUP BY a.msg
    )"""


# The interval makes PostgreSQL read by the primary key. With a bare timestamp, it would use the
# index of times, and sort whole messages on the disk. That took a fifth of the server's time.
_RANGE = """
    m.id BETWEEN %(first_id)s AND %(last_id)s
    AND m.timestamp + interval '0' >= %(start)s AND m.timestamp + interval '0' < %(end)s
"""


def query(predicate: str) -> str:
    """The SQL for the columns of the messages of a range of ids and a month, in order of their ids.

    Args:
        predicate: a further condition.

    Returns:
        SQL with the parameters `first_id`, `last_id`, `start` and `end` of psycopg2, and those of
        the predicate.
    """
    return f"""
        SELECT {_SELECTED} FROM messages m
        LEFT JOIN {_names("user_messages")} u ON u.msg = m.id
        LEFT JOIN {_names("package_messages")} p ON p.msg = m.id
        WHERE {_RANGE} AND {predicate} ORDER BY m.id
    """


def query_of_ids(predicate: str) -> str:
    """The same for `id` and `msg_id` alone."""
    return f"SELECT m.id, m.msg_id FROM messages m WHERE {_RANGE} AND {predicate} ORDER BY m.id"
