"""The messages of an archive as columns: a window of ids at a time, each as of one moment."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from datanommer.models.exporting import query as queries
from datanommer.models.exporting.arrow_connection import ArrowConnection
from datanommer.models.exporting.certificates import Certificates
from datanommer.models.filtering import predicates
from datanommer.models.filtering.filters import Filters

#: The most messages of a window, and so of a file: some 150 MB of the messages of Fedora.
MOST_MESSAGES = 250_000

_WINDOW = """
    SELECT to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*), min(id), max(id)
    FROM (
        SELECT m.id, m.timestamp FROM messages m
        WHERE m.id > %(after)s AND m.id <= %(up_to)s AND {in_month} AND {predicate}
        ORDER BY m.id LIMIT %(most)s
    ) AS in_window GROUP BY month ORDER BY month
"""

_IN_MONTH = "m.timestamp >= %(start)s AND m.timestamp < %(end)s"


class Piece(NamedTuple):
    """The messages of a month in a window.

    Attributes:
        month: in UTC, such as 2026-09.
        messages: how many there are.
        first_id: the lowest id among them.
        last_id: the highest one.
    """

    month: str
    messages: int
    first_id: int
    last_id: int


class Source:
    """An archive that is read.

    Args:
        connection: to its database, in no transaction; a second one is made beside it.
        filters: which messages. Topics are not patterns any more.

    Raises:
        psycopg2.Error: there is no second connection.
    """

    def __init__(self, connection: sa.Connection, filters: Filters) -> None:
        self._connection = connection.execution_options(isolation_level="REPEATABLE READ")
        self._predicate, self._parameters = predicates.as_sql(filters, "m")
        self._certificates = Certificates(connection)
        with connection.begin():
            self._arrow = ArrowConnection(connection)

    def close(self) -> None:
        """Close the second connection."""
        self._arrow.close()

    @contextlib.contextmanager
    def window(self, after: int, up_to: int, month: str | None = None) -> Iterator[list[Piece]]:
        """The next messages in the order of their ids, by month, for as long as they are read.

        Args:
            after: the id after which the window begins.
            up_to: the last id that may be in it.
            month: the only one whose messages are read.

        Raises:
            psycopg2.Error, sqlalchemy.exc.DBAPIError: the database failed.
        """
        limits = {"after": after, "up_to": up_to, "most": MOST_MESSAGES}
        times = dict(zip(("start", "end"), bounds(month), strict=True)) if month else {}
        query = _WINDOW.format(in_month=_IN_MONTH if month else "true", predicate=self._predicate)
        with self._connection.begin():
            snapshot = self._connection.scalar(sa.select(sa.func.pg_export_snapshot()))
            found = self._connection.exec_driver_sql(query, {**limits, **times, **self._parameters})
            pieces = [Piece(*row) for row in found]
            with self._arrow.at(str(snapshot)):
                yield pieces

    def ids(self, piece: Piece) -> pa.Table:
        """The columns `id` and `msg_id` of a piece of the window.

        Raises:
            psycopg2.Error: the database failed.
        """
        batches = self._arrow.batches(self._sql(queries.query_of_ids(self._predicate), piece))
        return pa.Table.from_batches(batches)

    def batches(self, piece: Piece) -> Generator[pa.RecordBatch, None, None]:
        """All columns of a piece of the window.

        Raises:
            psycopg2.Error, sqlalchemy.exc.DBAPIError: the database failed.
        """
        for batch in self._arrow.batches(self._sql(queries.query(self._predicate), piece)):
            yield from self._certificates.put_into(batch)

    def _sql(self, query: str, piece: Piece) -> str:
        """The query with its values filled in: COPY takes no parameters."""
        start, end = bounds(piece.month)
        values = {"first_id": piece.first_id, "last_id": piece.last_id, "start": start, "end": end}
        cursor: Any = self._connection.connection.cursor()
        return str(cursor.mogrify(query, {**values, **self._parameters}).decode())


def bounds(month: str) -> tuple[str, str]:
    """When a month such as 2026-09 begins, and the first moment after it, for PostgreSQL.

    As text: Python has no year 10000.
    """
    year, number = map(int, month.split("-"))
    after = (year + 1, 1) if number == 12 else (year, number + 1)  # noqa: PLR2004  months
    return _start(year, number), _start(*after)


def _start(year: int, month: int) -> str:
    return f"{year:04}-{month:02}-01 00:00:00+00"
