"""The migrations: which revision a database is at, and the steps from there to head."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import sqlalchemy as sa

from datanommer.models.database import engine as engines
from datanommer.models.database import inventory as inventories
from datanommer.models.database import refusal
from datanommer.models.database.deadline import Deadline, within
from datanommer.models.database.inventory import HEAD
from datanommer.models.errors import (
    BehindHead,
    DatabaseUnavailable,
    DatanommerError,
    NotAtHead,
    OnStandby,
)

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_LOCKED = (
    "Another session holds a lock that this step needs, and did not release it in time. "
    "This step has left nothing behind: let that session end, and run it again. "
    "SELECT pid, query FROM pg_stat_activity shows the session."
)
_PACKAGED_INI = Path(__file__).parents[1] / "alembic.ini"


class State(NamedTuple):
    """How far a database is migrated.

    Attributes:
        revision: the revision that it is at; None if no migration has run.
        steps: how many steps it is behind head; 0 at head.
        is_empty: whether it has no table of datanommer at all.
    """

    revision: str | None
    steps: int
    is_empty: bool


def upgrade(
    engine: sa.Engine, revision: str = "head", alembic_ini: str | Path | None = None
) -> None:
    """Run the migrations up to a revision. Long steps show their progress on standard error.

    Args:
        engine: of the database to migrate.
        revision: the last revision, in the form that ``alembic upgrade`` takes.
        alembic_ini: the alembic.ini of migrations other than this package's.

    Raises:
        DatabaseUnavailable: the database does not answer.
        NotAtHead: a step refuses to run; the message says why. The steps before it are kept.
        DatanommerError: PostgreSQL stopped a step. The steps before it are kept.
    """
    # Not at the top: most commands migrate nothing, and alembic takes 0.12 s to import.
    from alembic import command
    from alembic.util import CommandError

    config = _config(alembic_ini)
    with connect(engine) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise NotAtHead(str(error)) from error
        except (sa.exc.DBAPIError, psycopg2.Error) as error:
            raise failed(error) from error


def examine(
    engine: sa.Engine, deadline: Deadline | None = None, *, for_writing: bool = False
) -> State:
    """How far a database is migrated. For one at head, that takes one query.

    Args:
        engine: of the database.
        deadline: for the look. When it is over, the database counts as failed.
        for_writing: whether the caller is going to change something.

    Raises:
        DatabaseUnavailable: the database does not answer.
        OnStandby: it takes no changes, and the caller has some.
        NotAtHead: it is at a revision that is not among the migrations, or its tables are not those
            of its revision; says what to do.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with connect(engine) as connection, within(deadline, connection):
        inventory = inventories.take(connection)
    if for_writing and inventory.is_standby:
        raise OnStandby(
            f"The database {engines.describe(engine)} is a standby, which takes no changes. "
            "Name its primary instead, or promote it."
        )
    script = None
    if inventory.revisions != {HEAD}:
        script = _script()
        require_known(inventory.revisions, script)
    if fault := inventory.fault(_admin_folder()):
        raise NotAtHead(f"The database {engines.describe(engine)} {fault}")
    if foreign := inventory.foreign():
        raise NotAtHead(
            f"The database {engines.describe(engine)} has tables of another program where those of "
            f"datanommer would be: {', '.join(sorted(foreign))}. Name another database."
        )
    if script is None:
        return State(HEAD, steps=0, is_empty=False)
    revision = next(iter(inventory.revisions), None)
    missing = script.iterate_revisions("head", revision or "base")
    return State(revision, sum(1 for _ in missing), is_empty=not inventory.tables)


def require_head(
    engine: sa.Engine, deadline: Deadline | None = None, *, for_writing: bool = False
) -> None:
    """Make sure that the database is at head. If it is, that takes one query.

    Args:
        engine: of the database.
        deadline: for that query. When it is over, the database counts as failed.
        for_writing: whether the caller is going to change something.

    Raises:
        DatabaseUnavailable: the database does not answer.
        OnStandby: it takes no changes, and the caller has some.
        BehindHead: it has to be upgraded; says what to type.
        NotAtHead: it is not at head for any other reason; says what to do.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    state = examine(engine, deadline, for_writing=for_writing)
    if state.is_empty:
        raise NotAtHead(
            f"The database {engines.describe(engine)} is empty. "
            "Make the tables with datanommer-create-db and the same URL."
        )
    if state.steps:
        command = f"cd {_admin_folder()} && alembic upgrade +1"
        raise BehindHead(engines.describe(engine), state.steps, command)


def require_tables(connection: sa.Connection, revisions: Iterable[str]) -> bool:
    """Make sure that the tables are those of the revision, before a step is run.

    Args:
        connection: in the transaction of the step.
        revisions: those that the database is at.

    Returns:
        Whether there are any.

    Raises:
        NotAtHead: they are not; says what to do.
    """
    inventory = inventories.take_at(connection, revisions)
    if fault := inventory.fault(_admin_folder()):
        raise NotAtHead(f"The database {fault}")
    return bool(inventory.tables)


def require_known(revisions: Iterable[str], script: ScriptDirectory) -> None:
    """Make sure that the migrations know the revisions that a database is at.

    Raises:
        NotAtHead: they do not know one; says what to do.
    """
    known = {step.revision for step in script.walk_revisions()}
    for revision in revisions:
        if revision not in known:
            raise NotAtHead(inventories.advice_for_unknown(revision))


def connect(engine: sa.Engine) -> sa.Connection:
    """A connection to the database.

    Raises:
        DatabaseUnavailable: the database does not answer, or refuses the connection; says why, in
            the server's words.
        sqlalchemy.exc.OperationalError: it answers, but it ended a statement.
    """
    try:
        return engine.connect()
    except sa.exc.OperationalError as error:
        if isinstance(error.orig, psycopg2.errors.QueryCanceled):
            raise
        raise DatabaseUnavailable(refusal.explain(engine, error)) from error


def failed(error: Exception) -> DatanommerError:
    """The error to raise when PostgreSQL stopped a step of a migration."""
    if isinstance(getattr(error, "orig", error), psycopg2.errors.LockNotAvailable):
        return DatanommerError(_LOCKED)
    return DatanommerError(
        f"PostgreSQL stopped the step: {engines.sentence(error)} This step has left nothing "
        "behind: remove the cause, and run it again."
    )


def _admin_folder() -> Path:
    """The folder of the alembic.ini that an admin runs: in share/, or else in the package."""
    for prefix in (sys.prefix, "/usr"):
        folder = Path(prefix, "share", "datanommer.models")
        if (folder / "alembic.ini").is_file():
            return folder
    return _PACKAGED_INI.parent


def _config(alembic_ini: str | Path | None = None) -> Config:
    from alembic.config import Config

    return Config(str(alembic_ini or _PACKAGED_INI))


def _script() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())
