"""What is in a database: the revision that it says it is at, and the tables that it has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import psycopg2
import sqlalchemy as sa

from datanommer.models.database import engine as engines
from datanommer.models.errors import DatanommerError

#: The revision of this version's schema. A test holds it equal to the migrations.
HEAD = "c2f4816b9d05"
# The last revision of the classic line. Our migrations start from it.
_LAST_CLASSIC = "57be773be52b"
_OLDER_CLASSIC = frozenset(
    {
        "198447250956",
        "ae2801c4cd9",
        "a4f74590bcf",
        "5091535d0fb4",
        "1d4feffd78fe",
        "4391ce7dc184",
        "310c88783271",
        "2affa1daa804",
        "143ec484f5ba",
        "999b2d10b4e",
        "5a167589eb8e",
        "19bb834d6f9",
        "1b786d5fc66",
        "a356c9a10463",
        "6c58cdb04760",
    }
)
_FEDORA_MESSAGING = frozenset(
    {
        "5db25abc63be",
        "951c40020acc",
        "f6918385051f",
        "429e6f2cba6f",
        "f4fdb5442d05",
    }
)
_CLASSIC_TABLES = {"messages", "user", "package", "user_messages", "package_messages"}
#: The tables at head. A test holds them equal to those of the models.
OWN_TABLES = frozenset(
    {
        "certificates",
        "messages",
        "package_messages",
        "packages",
        "rejected",
        "sync_events",
        "topics",
        "user_messages",
        "users",
    }
)
# The upgrade of a classic database sets its tables aside under names with this prefix.
_KNOWN_TABLES = OWN_TABLES | _CLASSIC_TABLES | {f"classic_{name}" for name in _CLASSIC_TABLES}
# Columns of the table `messages`: the classic one has the first, ours the others.
_CLASSIC_COLUMN = "_msg"
_OWN_COLUMNS = {"msg", "extra", "certificate_id"}

_REVISIONS = "ARRAY(SELECT version_num::text FROM alembic_version)"
_TABLES = """
    ARRAY(SELECT name FROM unnest(:names) name WHERE to_regclass(quote_ident(name)) IS NOT NULL),
    ARRAY(
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = to_regclass('messages') AND attnum > 0 AND NOT attisdropped
    )
"""
_RESTORE = (
    "Restore the database from a backup. If nothing in it matters, make an empty database, and run "
    "datanommer-create-db there."
)


class Inventory(NamedTuple):
    """What is in a database.

    Attributes:
        revisions: those in `alembic_version`; none if that is missing.
        tables: the names of the tables that datanommer knows, in this version or the classic one.
        columns: those of the table `messages`.
    """

    revisions: frozenset[str]
    tables: frozenset[str]
    columns: frozenset[str]

    def fault(self) -> str | None:
        """Why the tables are not those of the revision, and what to do; after the database's name.

        None where they are, or where nobody can tell.
        """
        if self.revisions == {HEAD} and (missing := OWN_TABLES - self.tables):
            names = ", ".join(sorted(missing))
            return (
                f"is at head by its alembic_version, but these tables are gone: {names}. {_RESTORE}"
            )
        if self.revisions and not self.tables:
            (revision, *_) = self.revisions
            return f"is at revision {revision} by its alembic_version, but has no table. {_RESTORE}"
        if not self.revisions and self.columns >= _OWN_COLUMNS:
            return (
                "has tables of this line of datanommer, but no alembic_version that says of which "
                f"revision. If it was fully upgraded, type: alembic stamp {HEAD}; `alembic check` "
                "then says whether that is right. Otherwise restore it from a backup."
            )
        return None

    def foreign(self) -> frozenset[str]:
        """The tables of another program, if there are any that datanommer needs the names of."""
        is_known = self.revisions or _CLASSIC_COLUMN in self.columns
        return frozenset() if is_known else self.tables


def take(connection: sa.Connection) -> Inventory:
    """What is in a database. If it has an `alembic_version`, that takes one query.

    Raises:
        DatanommerError: the role may not see it.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    try:
        return _take(connection, _REVISIONS)
    except sa.exc.ProgrammingError as error:
        connection.rollback()
        if isinstance(error.orig, psycopg2.errors.UndefinedTable):
            return take_at(connection, ())
        if isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
            raise DatanommerError(
                f"The role may not see how far the database is: {engines.sentence(error)} As the "
                "owner of the tables, GRANT SELECT ON alembic_version to it."
            ) from error
        raise


def take_at(connection: sa.Connection, revisions: Iterable[str]) -> Inventory:
    """What is in a database that is at these revisions.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    return _take(connection, "ARRAY[]::text[]")._replace(revisions=frozenset(revisions))


def _take(connection: sa.Connection, revisions: str) -> Inventory:
    query = sa.text(f"SELECT {revisions}, {_TABLES}")
    row = connection.execute(query, {"names": sorted(_KNOWN_TABLES)}).one()
    return Inventory(frozenset(row[0]), frozenset(row[1]), frozenset(row[2]))


def advice_for_unknown(revision: str) -> str:
    """What to do with a database at a revision that is not among the migrations."""
    at = f"The database is at revision {revision}"
    by_file = (
        "dump it with the datanommer-dump that belongs to it, and load the file into an empty "
        "database with datanommer-create-db and datanommer-load"
    )
    if revision in _OLDER_CLASSIC:
        return (
            f"{at} of an older datanommer; an upgrade starts from {_LAST_CLASSIC}. Bring "
            f"it to that revision with the last release of its own line, or {by_file}."
        )
    if revision in _FEDORA_MESSAGING:
        return (
            f"{at} of the fedora-messaging line of datanommer, which does not lead here. To move "
            f"its messages, {by_file}."
        )
    return (
        f"{at}, which this version of datanommer does not know: a newer version has been at work, "
        "or it is the database of another program. Upgrade datanommer, or name another database."
    )
