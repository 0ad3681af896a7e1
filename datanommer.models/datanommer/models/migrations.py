"""The migrations: how far a database is, and the way to head."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import sqlalchemy as sa

from datanommer.models import database
from datanommer.models.deadline import Deadline, within
from datanommer.models.errors import DatabaseUnavailable, DatanommerError, NotAtHead

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

#: The revision that the schema of this version is; a test holds it equal to the migrations.
HEAD = "c2f4816b9d05"
#: The last revision of the fedmsg-era line, which the chain starts at.
LAST_CLASSIC = "57be773be52b"
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
    "Another session holds a lock on what this step needs, and did not let go of it in time. "
    "Nothing of this step is kept: let that session end, and run it again. "
    "SELECT pid, query FROM pg_stat_activity shows who it is."
)
_PACKAGED_INI = Path(__file__).with_name("alembic.ini")


class State(NamedTuple):
    """How far a database is.

    Attributes:
        revision: the revision that it is at; None where no migration has run.
        steps: the number of steps that are missing to head; 0 at head.
        is_empty: whether it has no table of datanommer at all.
    """

    revision: str | None
    steps: int
    is_empty: bool


def upgrade(
    engine: sa.Engine, revision: str = "head", alembic_ini: str | Path | None = None
) -> None:
    """Run the migrations up to a revision; long steps say on stderr how far they are.

    Args:
        engine: of the database to migrate.
        revision: where to stop, as ``alembic upgrade`` takes it.
        alembic_ini: of other migrations than the ones that come with this package.

    Raises:
        DatabaseUnavailable: the database does not answer.
        NotAtHead: a step refuses; the message says why. The steps before it are kept.
        DatanommerError: PostgreSQL stopped a step. The steps before it are kept.
    """
    from alembic import command
    from alembic.util import CommandError

    config = _config(alembic_ini)
    with connect(engine) as connection:
        # Closed for good afterwards, and not given back to the pool with its lock and settings.
        connection.detach()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise NotAtHead(str(error)) from error
        except (sa.exc.DBAPIError, psycopg2.Error) as error:
            raise failed(error) from error


def examine(engine: sa.Engine) -> State:
    """How far the database is.

    Raises:
        DatabaseUnavailable: the database does not answer.
        NotAtHead: it is at a revision that these migrations do not know.
    """
    revisions, has_tables = _look(engine)
    if revisions == {HEAD}:
        return State(HEAD, steps=0, is_empty=False)
    script = _script()
    require_known(revisions, script)
    revision = next(iter(revisions), None)
    missing = script.iterate_revisions("head", revision or "base")
    return State(revision, sum(1 for _ in missing), is_empty=not (revision or has_tables))


def require_head(engine: sa.Engine, deadline: Deadline | None = None) -> None:
    """Make sure that the database has the schema of this version: one query where it has.

    Args:
        engine: of the database.
        deadline: of that query; when it is over, the database counts as failed.

    Raises:
        DatabaseUnavailable: the database does not answer.
        NotAtHead: it has another one; says what to type.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with connect(engine) as connection, within(deadline, connection):
        if _revisions(connection) == {HEAD}:
            return
    state = examine(engine)
    if state.is_empty:
        raise NotAtHead(
            f"The database {_name(engine)} is empty. Run datanommer-create-db to make the tables."
        )
    raise NotAtHead(f"The database {_name(engine)} {how_to_upgrade(state)}")


def how_to_upgrade(state: State) -> str:
    """What a database that is behind lacks, and what to type; reads on after its name."""
    steps = "1 step" if state.steps == 1 else f"{state.steps} steps"
    times = "once" if state.steps == 1 else f"{state.steps} times"
    return (
        f"is {steps} behind this version of datanommer. Stop fedmsg-hub, make a backup, and type "
        f"{times}: cd {_folder()} && alembic upgrade +1 "
        "(add -x url=... before `upgrade` where the database was named with --url)."
    )


def require_known(revisions: Iterable[str], script: ScriptDirectory) -> None:
    """Make sure that the migrations know the revisions that a database is at.

    Raises:
        NotAtHead: they do not; says what to do instead.
    """
    known = {step.revision for step in script.walk_revisions()}
    for revision in revisions:
        if revision not in known:
            raise NotAtHead(_stranger(revision))


def connect(engine: sa.Engine) -> sa.Connection:
    """A connection to the database.

    Raises:
        DatabaseUnavailable: the database does not answer; says why, in the server's words.
        sqlalchemy.exc.OperationalError: it does, but it ended a statement.
    """
    try:
        return engine.connect()
    except sa.exc.OperationalError as error:
        if isinstance(error.orig, psycopg2.errors.QueryCanceled):
            raise
        raise DatabaseUnavailable(
            f"The database {_name(engine)} does not answer: {_reason(error)} "
            "Check its URL, and that the server runs."
        ) from error


def failed(error: Exception) -> DatanommerError:
    """What to tell people when PostgreSQL stopped a step."""
    if isinstance(getattr(error, "orig", error), psycopg2.errors.LockNotAvailable):
        return DatanommerError(_LOCKED)
    return DatanommerError(
        f"PostgreSQL stopped the step: {_reason(error)} Nothing of this step is kept: "
        "remove the cause, and run it again."
    )


def _look(engine: sa.Engine) -> tuple[set[str], bool]:
    """The revisions that the database is at, and whether it has any table of a classic one."""
    with connect(engine) as connection:
        return _revisions(connection), any(
            connection.scalar(sa.select(sa.func.to_regclass(f'"{table}"'))) is not None
            for table in _CLASSIC_TABLES
        )


def _revisions(connection: sa.Connection) -> set[str]:
    with _words_for_what_is_forbidden():
        try:
            return set(connection.scalars(sa.text("SELECT version_num FROM alembic_version")))
        except sa.exc.ProgrammingError as error:
            connection.rollback()
            if not isinstance(error.orig, psycopg2.errors.UndefinedTable):
                raise
            return set()


@contextmanager
def _words_for_what_is_forbidden() -> Iterator[None]:
    try:
        yield
    except sa.exc.ProgrammingError as error:
        if not isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
            raise
        raise DatanommerError(
            f"The role may not see how far the database is: {_reason(error)} As the owner of the "
            "tables, GRANT SELECT ON alembic_version to it."
        ) from error


def _stranger(revision: str) -> str:
    at = f"The database is at revision {revision}"
    by_file = (
        "dump it with the datanommer-dump that belongs to it, and load the file into an empty "
        "database with datanommer-create-db and datanommer-load"
    )
    if revision in _OLDER_CLASSIC:
        return (
            f"{at} of an older datanommer; the way up from there starts at {LAST_CLASSIC}. Bring "
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


def _reason(error: BaseException) -> str:
    text = database.reason(error, detailed=True)
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _name(engine: sa.Engine) -> str:
    return database.describe(engine.url.render_as_string(hide_password=False))


def _folder() -> Path:
    """Where the alembic.ini is that an admin runs: in share/, or for want of it, in the package."""
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
