"""A second connection to the server, by ADBC, which transfers whole columns in Arrow's format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import adbc_driver_postgresql as driver
import psycopg2.errors
import pyarrow as pa
import sqlalchemy as sa

# Not its `dbapi`, which handles Ctrl-C itself.
from adbc_driver_manager import AdbcConnection, AdbcStatement, Error

from datanommer.models.database import engine as engines

# Bytes of a batch: enough for Arrow to be quick, and little beside the memory of a process.
_BATCH_BYTES = 8 * 1024 * 1024
_OPTIONS = {driver.StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)}
_SETTINGS = {
    # Compiling takes longer than it saves.
    "jit": "off",
    # Ids and timestamps grow together. The planner does not know that, and expects one row instead
    # of thousands. A nested loop would then scan the names again for each.
    "enable_nestloop": "off",
}


class ArrowConnection:
    """A connection beside one of SQLAlchemy, to the same server and with the same settings.

    Args:
        connection: the one beside it.

    Raises:
        psycopg2.Error: there is no second connection.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._settings = {**engines.settings_of(connection.engine), **_SETTINGS}
        with _as_psycopg2():
            self._database = driver.connect(engines.conninfo(connection))
            self._connection = AdbcConnection(self._database)

    def close(self) -> None:
        """Close it."""
        # After a failed query it cannot be closed cleanly, but then the process ends anyway.
        with contextlib.suppress(Error, RuntimeError):
            self._connection.close()
            self._database.close()

    @contextlib.contextmanager
    def at(self, snapshot: str) -> Iterator[None]:
        """A transaction that sees what another one sees.

        Args:
            snapshot: what ``pg_export_snapshot()`` returned in the other one.

        Raises:
            psycopg2.Error: the database failed.
        """
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        try:
            self._run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            self._apply_settings()
            yield
        finally:
            with contextlib.suppress(psycopg2.Error):
                self._run("ROLLBACK")

    def _run(self, statement: str) -> None:
        with _as_psycopg2(), AdbcStatement(self._connection) as running:
            running.set_sql_query(statement)
            running.execute_update()

    def _apply_settings(self) -> None:
        calls = ", ".join(
            f"set_config({_quoted(name)}, {_quoted(value)}, true)"
            for name, value in self._settings.items()
        )
        for _ in self.batches(f"SELECT {calls}"):
            pass

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of a query, as many at a time as make about `_BATCH_BYTES`.

        Raises:
            psycopg2.Error: the database failed.
        """
        with _as_psycopg2(), AdbcStatement(self._connection) as running:
            running.set_options(**_OPTIONS)
            running.set_sql_query(query)
            stream, _ = running.execute_query()
            with pa.RecordBatchReader.from_stream(stream) as reader:
                yield from reader


@contextlib.contextmanager
def _as_psycopg2() -> Iterator[None]:
    """Raise errors of ADBC as those of psycopg2, which the commands can explain."""
    try:
        yield
    except Error as error:
        kind: Any = psycopg2.OperationalError
        if error.sqlstate:
            with contextlib.suppress(KeyError):
                kind = psycopg2.errors.lookup(error.sqlstate)
        raise kind(str(error)) from error
    except (OSError, pa.ArrowException) as error:  # while a stream is read
        raise psycopg2.OperationalError(str(error)) from error


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
