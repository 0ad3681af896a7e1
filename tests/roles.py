"""Members of the four roles on a real server, where roles belong to all databases at once."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import sqlalchemy as sa

from classic import execute
from datanommer import models

#: The file that an admin runs.
FILE = Path(models.__file__).with_name("roles.sql")
GROUPS = ("datanommer_owner", "datanommer_maintainer", "datanommer_writer", "datanommer_reader")

_PASSWORD = "not a secret"
_LOCK = 0x726F6C6573  # "roles"


class Roles:
    """The four roles in one database, and those who are members of them.

    Args:
        server: the server, as a superuser.
        database: the URL of the database, as a superuser.
    """

    def __init__(self, server: sa.URL, database: str) -> None:
        self._server = server
        self._database = database
        self._names: list[str] = []

    def install(self) -> None:
        """Run the file."""
        with locked(self._server):
            connection = psycopg2.connect(self._database)
            connection.autocommit = True
            try:
                connection.cursor().execute(FILE.read_text())
            finally:
                connection.close()

    def member(self, group: str | None) -> str:
        """The URL of the database for somebody new who is a member of a group, or of none."""
        name = f"datanommer_test_{uuid.uuid4().hex}"
        into = f"IN ROLE {group}" if group else ""
        with locked(self._server) as cursor:
            cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{_PASSWORD}' {into}")
        self._names.append(name)
        url = sa.make_url(self._database).set(username=name, password=_PASSWORD)
        return url.render_as_string(hide_password=False)

    def remove(self) -> None:
        """Take away all members."""
        for name in self._names:
            execute(self._database, f"DROP OWNED BY {name} CASCADE")
        with locked(self._server) as cursor:
            for name in self._names:
                cursor.execute(f"DROP ROLE {name}")


def may_be_made(server: sa.URL) -> bool:
    """Whether the tests are connected as a superuser."""
    with locked(server) as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        return bool(cursor.fetchone()[0])


def remove_unused(server: sa.URL) -> None:
    """Take away those of the four roles that have no member and no right in any database."""
    with locked(server) as cursor:
        for group in GROUPS:
            cursor.execute("SELECT FROM pg_auth_members WHERE roleid = to_regrole(%s)", [group])
            if not cursor.rowcount:
                with contextlib.suppress(psycopg2.errors.DependentObjectsStillExist):
                    cursor.execute(f"DROP ROLE IF EXISTS {group}")


@contextlib.contextmanager
def locked(server: sa.URL) -> Iterator[Any]:
    """A cursor of the one who may change roles now."""
    # Advisory locks belong to a database: all tests take this one in the same.
    url = server.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        yield cursor
    finally:
        connection.close()
