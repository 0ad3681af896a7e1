"""What is in a database: the revision that it says it is at, and the tables that it has."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import psycopg2
import sqlalchemy as sa

from datanommer.models.database import engine as engines
from datanommer.models.errors import DatanommerError

#: The revision of this version's schema. A test compares it with the migrations.
HEAD = "c81d0a4f92e7"
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
#: The tables at head. A test compares them with those of the models.
OWN_TABLES = frozenset(
    {
        "archive",
        "certificates",
        "messages",
        "package_messages",
        "packages",
        "rejected",
        "sync_events",
        "topic_days",
        "topics",
        "user_messages",
        "users",
    }
)
# The upgrade of a classic database sets its tables aside under these names.
_SET_ASIDE = frozenset(f"classic_{name}" for name in _CLASSIC_TABLES)
_KNOWN_TABLES = OWN_TABLES | _CLASSIC_TABLES | _SET_ASIDE
# No other program has these, in all likelihood.
_UNMISTAKABLE = _SET_ASIDE | {"package_messages"}
# Columns of the table `messages` that tell the lines apart.
_CLASSIC_COLUMN = "_msg"
_NEWER_COLUMN = "agent_name"
_OWN_COLUMNS = {"msg", "extra", "certificate_id"}

# The revisions on the way from the classic tables to head.
_ONLY_SET_ASIDE = "8c1d0f6a2b37"
_NEW_TABLES = "4e92b7d1c05f"
_REWRITTEN = "1f7c58e2a96d"
_CLASSIC_DROPPED = "d05b3e817f42"
# What each step after that adds: a table, a view, an index, a constraint, a trigger, a function or
# a column of topics. The step that only sets comments is left out: it may run twice.
_ADDED = {
    "69af24c8130e": "messages_msg_id_key",
    "a28e6d15f9b7": "messages_timestamp_id_idx",
    "35c7f0b94ed8": "user_messages_pkey",
    "e4816ad3072c": "messages_certificate_id_fkey",
    "7b90d2f5c61a": "datanommer_topics_on_insert",
    "c2f4816b9d05": "sync_events",
    "5d0c93be174a": "datanommer_draw_ids",
    "f2a90b6c37d4": "topic_days",
    "8be41d7c3f06": "messages_agent_timestamp_id_idx",
    "9c4e7f10b3d8": "classic.messages",
    "e16b58d0a92f": "messages_timestamp_utc_idx",
    "b7f3e50c1a64": "approximate_row_count",
    "c6d13a7e2f58": "archive",
    "d84c1e6f9a03": "messages_certificate_id_idx",
    HEAD: "topics.last_stored",
}
_TABLES_OF_STEPS = OWN_TABLES & set(_ADDED.values())

_REVISIONS = "ARRAY(SELECT version_num::text FROM alembic_version)"
_PARTS = """
    ARRAY(SELECT name FROM unnest(:names) name WHERE to_regclass(quote_ident(name)) IS NOT NULL),
    ARRAY(
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = to_regclass('messages') AND attnum > 0 AND NOT attisdropped
    ),
    ARRAY(
        SELECT name FROM unnest(:added) name WHERE to_regclass(name) IS NOT NULL
            OR to_regproc(name) IS NOT NULL
            OR name IN (SELECT conname FROM pg_constraint WHERE conrelid = to_regclass('messages'))
            OR name IN (SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass('messages'))
            OR name IN (
                SELECT 'topics.' || attname FROM pg_attribute
                WHERE attrelid = to_regclass('topics') AND attnum > 0 AND NOT attisdropped
            )
    )
"""
_RESTORE = (
    "Restore the database from a backup. If nothing in it matters, make an empty database, and run "
    "datanommer-create-db there."
)
_MOVE = (
    "To move its messages while both are in use, make an empty database with datanommer-create-db, "
    "and fetch them there: datanommer-load --from URL --follow"
)
_WITH_URL = "(add -x url=... after each `alembic` where the database was named with --url)"


class Line(Enum):
    """The lines of datanommer, each with its own tables."""

    OWN = "this one"
    CLASSIC = "the classic line"
    NEWER = "the fedora-messaging line"


class Inventory(NamedTuple):
    """What is in a database.

    Attributes:
        revisions: those in `alembic_version`; none if that is missing or empty.
        tables: the names of the tables that datanommer knows, in this version or the classic one.
        columns: those of the table `messages`.
        added: those names in `_ADDED` that are there.
        is_standby: whether its server is a standby, which takes no changes.
    """

    revisions: frozenset[str]
    tables: frozenset[str]
    columns: frozenset[str]
    added: frozenset[str]
    is_standby: bool

    def fault(self, folder: Path) -> str | None:
        """Why the tables do not fit the revision, and what to do; follows the database's name.

        None if they fit, or if nobody can tell.

        Args:
            folder: where to run alembic.
        """
        if self.revisions and not self.tables:
            (revision, *_) = self.revisions
            return (
                f"is at revision {revision} by its alembic_version, but has none of datanommer's "
                f"tables. {_RESTORE}"
            )
        if self.revisions == {HEAD} and (missing := OWN_TABLES - self.tables):
            names = ", ".join(sorted(missing))
            return (
                f"is at head by its alembic_version, but these tables are gone: {names}. {_RESTORE}"
            )
        if self.line is Line.NEWER and not self.revisions:
            return f"has the tables of {Line.NEWER.value} of datanommer. {_MOVE}"
        if self._has_lost_its_revision():
            return (
                "has datanommer's tables, but no alembic_version to say which revision they are "
                f"at. {self._way_to_a_revision(folder)}"
            )
        return None

    def _has_lost_its_revision(self) -> bool:
        """Whether there are tables of datanommer without a revision; classic ones need none."""
        is_own = self.columns >= _OWN_COLUMNS or self.tables & _UNMISTAKABLE
        is_classic = _CLASSIC_COLUMN in self.columns and not self.tables & _SET_ASIDE
        return bool(is_own and not is_classic and not self.revisions)

    def _way_to_a_revision(self, folder: Path) -> str:
        """What to do with tables of datanommer that have lost their revision."""
        revision = self._revision()
        if revision is None:
            return f"They are those of no revision. {_RESTORE}"
        stamp = f"cd {folder} && alembic stamp {revision}"
        if revision == HEAD:
            return (
                f"They look like those of head. Type: {stamp} && alembic check {_WITH_URL}. "
                "If that finds a difference, restore the database from a backup."
            )
        if revision == _REWRITTEN:
            # The catalogue looks the same at the two before, where the new tables are empty.
            return (
                "The upgrade has set the classic tables aside, and they still hold every message. "
                f"Make a backup, and type: {stamp} && alembic downgrade {_NEW_TABLES} {_WITH_URL}. "
                "That empties the new tables. `alembic upgrade +1` then fills them again."
            )
        return (
            f"They look like those of revision {revision}. Make a backup, and type: {stamp} "
            f"{_WITH_URL}. Then go on with `alembic upgrade +1`. At head, `alembic check` says "
            "whether that was right."
        )

    def _revision(self) -> str | None:
        """The last revision that the tables can be at; None if they fit none."""
        own = self.tables & OWN_TABLES
        set_aside = self.tables & _SET_ASIDE
        steps = [revision for revision, name in _ADDED.items() if name in self.added]
        if set_aside == _SET_ASIDE and not own:
            return _ONLY_SET_ASIDE
        if own | _TABLES_OF_STEPS != OWN_TABLES or steps != list(_ADDED)[: len(steps)]:
            return None
        if set_aside == _SET_ASIDE and not steps:
            return _REWRITTEN
        return None if set_aside else [_CLASSIC_DROPPED, *steps][-1]

    @property
    def line(self) -> Line | None:
        """The line of datanommer that the table `messages` belongs to, if any."""
        if self.columns >= _OWN_COLUMNS:
            return Line.OWN
        if _CLASSIC_COLUMN in self.columns:
            return Line.CLASSIC
        return Line.NEWER if _NEWER_COLUMN in self.columns else None

    def foreign(self) -> frozenset[str]:
        """The tables of another program whose names datanommer needs itself."""
        is_known = self.revisions or self.line is Line.CLASSIC
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
                f"This role cannot read the revision of the database: {engines.sentence(error)} "
                "As the "
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
    query = sa.text(f"SELECT {revisions}, {_PARTS}, pg_is_in_recovery()")
    names = {"names": sorted(_KNOWN_TABLES), "added": list(_ADDED.values())}
    row = connection.execute(query, names).one()
    known, tables, columns, added = map(frozenset, row[:4])
    return Inventory(known, tables, columns, added, is_standby=row[4])


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
        return f"{at} of {Line.NEWER.value} of datanommer, which does not lead here. {_MOVE}"
    return (
        f"{at}, which this version of datanommer does not know: a newer version has been at work, "
        "or it is the database of another program. Upgrade datanommer, or name another database."
    )
