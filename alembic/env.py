"""How alembic finds the database, and runs the migrations on it.

Looks for the database where the rest of datanommer does: ``-x url=...``, the environment variable
``DATANOMMER_SQLALCHEMY_URL``, ``datanommer.sqlalchemy.url`` in the fedmsg configuration, the
embedded default.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from logging.config import fileConfig

import psycopg2
import sqlalchemy as sa
from alembic import context
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from datanommer.models import tables
from datanommer.models.database import engine as engines
from datanommer.models.database import location, migrations
from datanommer.models.errors import DatanommerError

#: The key of the advisory lock that each step holds ("datanomm" in ASCII).
LOCK = 0x646174616E6F6D6D
#: How long a step waits for a lock on a table, where neither the server nor the URL says.
LOCK_TIMEOUT = "10s"


class FullyUpgraded(CommandError):
    """There is no step left, which is no failure."""


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _is_ours(
    _: object, name: str | None, kind: str, is_in_database: bool, counterpart: object
) -> bool:
    # Other people's tables in the same database are none of alembic check's business, nor is the
    # index that who wants it makes with contains.sql.
    is_extra = kind == "table" or name == "messages_msg_trgm_idx"
    return not (is_extra and is_in_database and counterpart is None)


def _run(connection: sa.Connection) -> None:
    """Run the command that alembic was called with, on that connection."""
    # The transactions are those of this module: alembic begins none.
    context.configure(
        connection=connection, target_metadata=tables.metadata, include_object=_is_ours
    )
    destination = context.get_context().opts.get("destination_rev")
    if isinstance(destination, str):
        _migrate(connection, destination)
        return
    with connection.begin():
        if destination is not None:  # of alembic stamp; the others change nothing
            _lock(connection)
            _require_primary(connection)
        _revisions()
        context.run_migrations()


def _migrate(connection: sa.Connection, destination: str) -> None:
    """Upgrade or downgrade. Each step has a transaction of its own, which begins with the lock.

    A lock of the session would be shared with others behind a pooler such as pgbouncer. So somebody
    else may come between two steps, and what is left is looked up with the lock. On an empty
    database, all steps have one transaction: nobody who makes the tables too finds some of them.
    """
    migration = context.get_context()
    plan = migration.opts["fn"]
    steps: Sequence[RevisionStep] | None = None
    at_once = 1
    # To configure it anew would show twice what alembic says of itself.
    migration._migrations_fn = lambda *_: (steps or ())[:at_once]  # noqa: SLF001
    while steps is None or steps:
        with connection.begin():
            _lock(connection)
            revisions = _revisions()
            if steps is None:
                _require_utf8(connection)
                has_tables = migrations.require_tables(connection, revisions)
                _require_a_step_left(destination, revisions, context.script)
                _require_a_way_back(destination, revisions, context.script)
                steps = list(plan(revisions, migration))
                # On a standby, a program may make sure that the database is at head.
                if steps:
                    _require_primary(connection)
                at_once = 1 if has_tables else len(steps)
            steps = _left(steps, revisions)
            context.run_migrations()
        steps = steps[at_once:]


def _revisions() -> tuple[str, ...]:
    """Those that the database is at."""
    revisions = context.get_context().get_current_heads()
    migrations.require_known(revisions, context.script)
    return revisions


def _left(steps: Sequence[RevisionStep], revisions: tuple[str, ...]) -> Sequence[RevisionStep]:
    """The steps that are left to run, where somebody else may have run some."""
    for number, step in enumerate(steps):
        if step.from_revisions == revisions:
            return steps[number:]
    if not steps or steps[-1].to_revisions == revisions:
        return ()
    at = ", ".join(revisions) or "base"
    raise CommandError(
        f"Somebody else migrates this database too: it is at revision {at} now, which is not on "
        "the way. The steps so far are kept. Run the command again if you still need to."
    )


def _require_utf8(connection: sa.Connection) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise CommandError(
            f"The database is in the encoding {encoding}, which cannot hold every message. Dump "
            "it with pg_dump, and restore it into one made with CREATE DATABASE ... "
            "ENCODING 'UTF8' TEMPLATE template0."
        )


def _lock(connection: sa.Connection) -> None:
    """Let nobody else migrate this database before the transaction ends."""
    # A long step is no runaway query, whatever limits the server sets for those.
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
    if not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(LOCK))):
        _say("Somebody else is migrating this database: waiting until that is done.")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    # Who waits for a lock lets nobody else have it meanwhile, not even to read.
    connection.exec_driver_sql(
        f"SELECT set_config('lock_timeout', '{LOCK_TIMEOUT}', true) "
        "WHERE current_setting('lock_timeout') = '0'"
    )


def _require_a_step_left(
    destination: str, revisions: tuple[str, ...], script: ScriptDirectory
) -> None:
    if destination.startswith("+") and set(revisions) == set(script.get_heads()):
        raise FullyUpgraded(
            f"The database is fully upgraded: it is at the head revision, {revisions[0]}."
        )


def _require_a_way_back(
    destination: str, revisions: tuple[str, ...], script: ScriptDirectory
) -> None:
    """Refuse a downgrade before its first step, where a later one would refuse."""
    if destination.startswith("+"):
        return
    try:
        steps = list(script.iterate_revisions(revisions, destination, select_for_downgrade=True))
    except (CommandError, RevisionError):
        return  # an upgrade, or nothing that alembic can find: it says so itself
    for step in steps:
        if refusal := getattr(step.module, "NO_WAY_BACK", None):
            raise CommandError(refusal)


def _require_primary(connection: sa.Connection) -> None:
    if connection.scalar(sa.select(sa.func.pg_is_in_recovery())):
        raise CommandError(
            "The database is a standby, which takes no changes. Migrate its primary instead: the "
            "standby follows."
        )


def _run_from_the_shell() -> None:
    if context.config.config_file_name:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    database = location.locate(context.get_x_argument(as_dictionary=True).get("url") or None)
    if database.is_default:
        _say(f"The database is {location.describe(database.url)}, {database.source}.")
    engine = engines.create_engine(database.url, create=True)
    with migrations.connect(engine) as connection:
        _run(connection)
    engine.dispose()


def main() -> None:
    """Run on the connection that a caller of `alembic.command` gave, or on a database found."""
    if context.is_offline_mode():
        raise CommandError(
            "The steps read what is in the database, so there is no SQL script of them: "
            "leave out --sql."
        )
    given = context.config.attributes.get("connection")
    if given is not None:
        _run(given)
        return
    try:
        _run_from_the_shell()
    except FullyUpgraded as error:
        # alembic would write FAILED before it. The exit code ends a loop over `upgrade +1`.
        _say(str(error))
        raise SystemExit(1) from None
    except DatanommerError as error:
        raise CommandError(str(error)) from error
    except (sa.exc.DBAPIError, psycopg2.Error) as error:
        raise CommandError(str(migrations.failed(error))) from error
    except KeyboardInterrupt:
        _say("\nInterrupted: nothing of the step that was running is kept.")
        raise SystemExit(130) from None


main()
