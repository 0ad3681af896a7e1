"""A dump: the records of all messages, or of those that match."""

from __future__ import annotations

import contextlib
from typing import Protocol

import psycopg2
import sqlalchemy as sa

from datanommer.models.exchange import record
from datanommer.models.filtering import predicates
from datanommer.models.filtering.filters import Filters

# PostgreSQL writes the commas of a list: Python would have to touch each line.
_COMMA = """
    || CASE WHEN m.id = (
        SELECT m.id FROM messages m {where} ORDER BY m.timestamp DESC, m.id DESC LIMIT 1
    ) THEN '' ELSE ',' END
"""


def _query(where: str, *, as_list: bool) -> str:
    """The query of a dump: names are sorted in the order of the messages, and merged with them."""

    def names(table: str) -> str:
        # A row of an association has the timestamp of its message.
        source = (
            f"FROM {table} a JOIN messages m ON m.id = a.msg {where}"
            if where
            else f"FROM {table} a"
        )
        return f"""(
            SELECT timestamp, msg, json_agg(name) AS names FROM (
                SELECT a.timestamp, a.msg, a.name {source} ORDER BY timestamp, msg, name
            ) sorted GROUP BY timestamp, msg
        )"""

    line = record.SQL + _COMMA.format(where=where) if as_list else record.SQL
    return f"""
        SELECT {line} FROM messages m {record.CERTIFICATE}
        LEFT JOIN {names("user_messages")} u ON u.timestamp = m.timestamp AND u.msg = m.id
        LEFT JOIN {names("package_messages")} p ON p.timestamp = m.timestamp AND p.msg = m.id
        {where} ORDER BY m.timestamp, m.id
    """


class Output(Protocol):
    """A binary stream to write to."""

    def write(self, data: bytes, /) -> object: ...


def dump(engine: sa.Engine, output: Output, filters: Filters, *, as_list: bool = False) -> None:
    """Write the records of messages in order of (timestamp, id), one a line, in UTF-8.

    The memory that this takes does not depend on how many there are.

    Args:
        engine: of the database.
        output: where to write.
        filters: which messages.
        as_list: make the lines one JSON list.

    Raises:
        OSError: `output` cannot be written.
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed.
    """
    predicate, parameters = predicates.as_sql(filters, "m")
    where = f"WHERE {predicate}" if filters.names else ""
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        select = cursor.mogrify(_query(where, as_list=as_list), parameters).decode()
        # Compiling the query takes longer than it saves.
        cursor.execute("SET LOCAL jit = off")
        # A quote and a delimiter that JSON cannot hold: CSV then passes it through untouched,
        # where COPY's own text format would double each backslash.
        copy = rf"COPY ({select}) TO STDOUT (FORMAT csv, QUOTE e'\x01', DELIMITER e'\x02')"
        output.write(b"[\n" if as_list else b"")
        try:
            cursor.copy_expert(copy, output)
        except psycopg2.Error:
            raise
        except BaseException:
            # The rollback would wait until the server has sent all rows.
            with contextlib.suppress(psycopg2.Error):
                cursor.connection.cancel()
            raise
        output.write(b"]\n" if as_list else b"")
