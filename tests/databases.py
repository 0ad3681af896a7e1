"""Databases that the tests use: made on a server, and where nothing speaks against it, used again.

To make a database and to drop it takes 0.2 s of CPU, and most tests need one. What a test leaves
behind is deleted in 0.02 s. A database is dropped, though, if the next test could notice anything:
a change of the schema, of its revision or of the archive's id, statistics of the planner, large
tables, or somebody who is still there.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import sqlalchemy as sa

from datanommer.models import tables

# More than a test of a few messages leaves behind, in bytes.
_LARGE = 4 * 1024 * 1024
# The catalogs that a change of the schema changes.
_CATALOGS = (
    *("attrdef", "attribute", "class", "constraint", "depend", "extension", "index", "namespace"),
    *("policy", "proc", "rewrite", "trigger", "type"),
)
_THIS = "(SELECT oid FROM pg_database WHERE datname = current_database())"
# All that stays as it is in a database at head, until a test does something unusual.
_STATE = " UNION ALL ".join(
    [
        *(f"SELECT count(*), max(xmin::text::bigint) FROM pg_{name}" for name in _CATALOGS),
        "SELECT count(*), 0 FROM pg_statistic WHERE starelid >= 16384",
        f"SELECT count(*), 0 FROM pg_db_role_setting WHERE setdatabase = {_THIS}",
        f"SELECT count(datacl), 0 FROM pg_database WHERE oid = {_THIS}",
        "SELECT sum(reltuples), sum(relpages) FROM pg_class WHERE oid >= 16384",
        f"SELECT (sum(pg_relation_size(oid)) > {_LARGE})::int, 0 FROM pg_class WHERE oid >= 16384",
        f"SELECT count(*), 0 FROM pg_stat_activity WHERE datid = {_THIS}",
        "SELECT count(*), sum(hashtext(id::text)) FROM archive",
        "SELECT count(*), sum(hashtext(version_num)) FROM alembic_version",
    ]
)
# The last two are filled by the triggers of the others.
_TABLES = (
    *("user_messages", "package_messages", "sync_events", "messages", "users", "packages"),
    *("certificates", "rejected", "topics", "topic_days"),
)
assert {*_TABLES, "archive"} == tables.metadata.tables.keys(), "empty a new table here, too"
_EMPTY = "; ".join(f"DELETE FROM {table}" for table in _TABLES)
_FROM_THE_START = "SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'"


class Databases:
    """Makes databases on a server, and takes them away."""

    def __init__(self, server: sa.URL, strategy: str = "") -> None:
        self._server = server
        self._strategy = strategy
        self._engine = sa.create_engine(
            server.set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT"
        )

    def create(self, template: str | None = None) -> str:
        name = f"datanommer_test_{uuid.uuid4().hex}"
        from_template = f"TEMPLATE {template} {self._strategy}" if template else ""
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} {from_template}")
        return name

    def drop(self, name: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        return (self._server.set(drivername="postgresql", database=name)).render_as_string(
            hide_password=False
        )


class Heads:
    """Databases at head with nothing in them, each for one test after the other.

    Args:
        databases: makes them.
        template: the name of a database at head with nothing in it.
    """

    def __init__(self, databases: Databases, template: str) -> None:
        self._databases = databases
        self._template = template
        self._free: list[str] = []
        self._state: list[tuple[int, int]] | None = None

    def take(self) -> str:
        """The name of a database that nobody uses."""
        if self._free:
            return self._free.pop()
        name = self._databases.create(template=self._template)
        if self._state is None:
            with self._connect(name) as cursor:
                cursor.execute(_STATE)
                self._state = cursor.fetchall()
        return name

    def give_back(self, name: str) -> None:
        """Keep a database for another test, if nothing of this one is left in it."""
        if self._is_emptied(name):
            self._free.append(name)
        else:
            self._databases.drop(name)

    def close(self) -> None:
        """Drop all that are kept."""
        for name in self._free:
            self._databases.drop(name)

    def _is_emptied(self, name: str) -> bool:
        try:
            with self._connect(name) as cursor:
                cursor.execute(_STATE)
                if cursor.fetchall() != self._state:
                    return False
                cursor.execute(f"{_EMPTY}; {_FROM_THE_START}; SELECT pg_stat_reset()")
                return True
        except psycopg2.Error:
            return False

    @contextlib.contextmanager
    def _connect(self, name: str) -> Iterator[Any]:
        connection = psycopg2.connect(self._databases.url(name), options="-c lock_timeout=5s")
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()
