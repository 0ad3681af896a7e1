"""The migrations: which revision a database is at, and the steps from there to head."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import sqlalchemy as sa

from datanommer.models.database import engine as engines
from datanommer.models.database import location
from datanommer.models.database.deadline import Deadline, within
from datanommer.models.errors import DatabaseUnavailable, DatanommerError, NotAtHead

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

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
_CLASSIC_TABLES = ("messages", "user", "package", "user_messages", "package_messages")
_LOCKED = (
    "Another session holds a lock that this step needs, and did not release it in time. "
    "Nothing of this step is kept: let that session end, and run the step again. "
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
        alembic_ini: the alembic.ini of other migrations than those of this package.

    Raises:
        DatabaseUnavailable: the database does not answer.
        NotAtHead: a step refuses to run; the message says why. The steps before it are kept.
        DatanommerError: PostgreSQL stopped a step. The steps before it are kept.
    """
    # Here, because most commands migrate nothing, and alembic takes 0.12 s to import.
    from alembic import command
    from alembic.util import CommandError

    config = _config(alembic_ini)
    with connect(engine) as connection:
        # So that it is closed afterwards, and does not return to the pool with a lock and settings.
        connection.detach()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise NotAtHead(str(error)) from error
        except (sa.exc.DBAPIError, psycopg2.Error) as error:
            raise failed(error) from error


def examine(engine: sa.Engine) -> State:
    """How far a database is migrated.

    Raises:
        DatabaseUnavailable: the database does not answer.
        NotAtHead: it is at a revision that is not among the migrations.
    """
    with connect(engine) as connection:
        revisions, has_tables = _revisions(connection), _has_tables(connection)
    if revisions == {HEAD}:
        return State(HEAD, steps=0, is_empty=False)
    script = _script()
    require_known(revisions, script)
    revision = next(iter(revisions), None)
    missing = script.iterate_revisions("head", revision or "base")
    return State(revision, sum(1 for _ in missing), is_empty=not (revision or has_tables))


def require_head(engine: sa.Engine, deadline: Deadline | None = None) -> None:
    """Make sure that the database is at head. If it is, that takes one query.

    Args:
        engine: of the database.
        deadline: for that query. When it is over, the database counts as failed.

    Raises:
        DatabaseUnavailable: the database does not answer.
        NotAtHead: it is not; says what to type.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with connect(engine) as connection, within(deadline, connection):
        if _revisions(connection) == {HEAD}:
            return
    state = examine(engine)
    if state.is_empty:
        raise NotAtHead(
            f"The database {_describe(engine)} is empty. "
            "Run datanommer-create-db to make the tables."
        )
    raise NotAtHead(f"The database {_describe(engine)} {_how_to_upgrade(state)}")


def require_known(revisions: Iterable[str], script: ScriptDirectory) -> None:
    """Make sure that the migrations know the revisions that a database is at.

    Raises:
        NotAtHead: they do not know one; says what to do.
    """
    known = {step.revision for step in script.walk_revisions()}
    for revision in revisions:
        if revision not in known:
            raise NotAtHead(_advice_for_unknown(revision))


def connect(engine: sa.Engine) -> sa.Connection:
    """A connection to the database.

    Raises:
        DatabaseUnavailable: the database does not answer; says why, in the server's words.
        sqlalchemy.exc.OperationalError: it answers, but it ended a statement.
    """
    try:
        return engine.connect()
    except sa.exc.OperationalError as error:
        if isinstance(error.orig, psycopg2.errors.QueryCanceled):
            raise
        raise DatabaseUnavailable(
            f"The database {_describe(engine)} does not answer: {_sentence(error)} "
            "Check its URL, and that the server runs."
        ) from error


def failed(error: Exception) -> DatanommerError:
    """The error to raise when PostgreSQL stopped a step of a migration."""
    if isinstance(getattr(error, "orig", error), psycopg2.errors.LockNotAvailable):
        return DatanommerError(_LOCKED)
    return DatanommerError(
        f"PostgreSQL stopped the step: {_sentence(error)} Nothing of this step is kept: "
        "remove the cause, and run it again."
    )


def _how_to_upgrade(state: State) -> str:
    """How far a database is behind, and what to type; continues a sentence after its name."""
    steps = "1 step" if state.steps == 1 else f"{state.steps} steps"
    repeat = "once" if state.steps == 1 else f"{state.steps} times"
    return (
        f"is {steps} behind this version of datanommer. Stop fedmsg-hub, make a backup, and type "
        f"{repeat}: cd {_admin_folder()} && alembic upgrade +1 "
        "(add -x url=... before `upgrade` where the database was named with --url)."
    )


def _has_tables(connection: sa.Connection) -> bool:
    return any(
        connection.scalar(sa.select(sa.func.to_regclass(f'"{table}"'))) is not None
        for table in _CLASSIC_TABLES
    )


def _revisions(connection: sa.Connection) -> set[str]:
    try:
        return set(connection.scalars(sa.text("SELECT version_num FROM alembic_version")))
    except sa.exc.ProgrammingError as error:
        connection.rollback()
        if isinstance(error.orig, psycopg2.errors.UndefinedTable):
            return set()
        if isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
            raise DatanommerError(
                f"The role may not see how far the database is: {_sentence(error)} As the owner "
                "of the tables, GRANT SELECT ON alembic_version to it."
            ) from error
        raise


def _advice_for_unknown(revision: str) -> str:
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


def _sentence(error: BaseException) -> str:
    text = engines.reason(error, detailed=True)
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _describe(engine: sa.Engine) -> str:
    return location.describe(engine.url.render_as_string(hide_password=False))


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
