"""Behind a real pgbouncer in transaction mode, all works, and no client sees another's settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import classic
from bus import Archive, Bus
from datanommer import models
from datanommer.models import Message
from datanommer.models.database.binding import bound_engine
from datanommer.models.database.engine import CONSUMER_TIMEOUTS, create_engine
from datanommer.models.database.inventory import HEAD
from envelopes import envelope
from pgbouncer import PgBouncer
from shell import Run

pytestmark = pytest.mark.needs_program("pgbouncer")

INI = Path(models.__file__).with_name("alembic.ini")
STEPS = len(list((INI.parent / "alembic" / "versions").glob("*.py")))
#: What a client sees that sets nothing itself.
SETTINGS = (
    "SELECT current_setting('timezone'), current_setting('lock_timeout'), "
    "current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'), "
    "current_setting('search_path')"
)
#: What is left in sessions: locks, tables, cursors and prepared statements.
LEFT = """
    SELECT 'lock' FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'
    UNION ALL SELECT name FROM pg_cursors UNION ALL SELECT name FROM pg_prepared_statements
"""


@pytest.fixture
def pgbouncer(server: sa.URL) -> Iterator[PgBouncer]:
    """A pgbouncer with the defaults of its makers, but for the mode."""
    pgbouncer = PgBouncer(server)
    yield pgbouncer
    pgbouncer.close()


@pytest.fixture
def narrow(server: sa.URL) -> Iterator[PgBouncer]:
    """A pgbouncer with one connection to the server, which all clients share."""
    pgbouncer = PgBouncer(server, default_pool_size=1)
    yield pgbouncer
    pgbouncer.close()


def seen(url: str) -> tuple[Any, ...]:
    """The settings that another client gets, which sets nothing."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg2"))
    with engine.connect() as connection:
        settings = tuple(connection.execute(sa.text(SETTINGS)).one())
        assert connection.scalars(sa.text(LEFT)).all() == []
    engine.dispose()
    return settings


def test_create_db_by_two_at_once_makes_the_tables_once(
    pgbouncer: PgBouncer, empty_database: str, run: Run
) -> None:
    url = pgbouncer.url(empty_database)
    with ThreadPoolExecutor() as pool:
        for result in pool.map(lambda _: run("datanommer-create-db", "--url", url), range(2)):
            assert result.returncode == 0, result.stderr
    assert classic.execute(empty_database, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert run("alembic", "-c", str(INI), "-x", f"url={url}", "check").returncode == 0


def test_steps_of_alembic_by_two_at_once_are_each_run_once(
    pgbouncer: PgBouncer, empty_database: str, run: Run
) -> None:
    classic.make(empty_database)
    classic.add(empty_database, [{"msg_id": f"2013-{n}", "users": ["ralph"]} for n in range(20)])
    where = ("-c", str(INI), "-x", f"url={pgbouncer.url(empty_database)}")

    def upgrade(_: int) -> list[str]:
        said = []
        while (step := run("alembic", *where, "upgrade", "+1")).returncode == 0:
            said += [line for line in step.stderr.splitlines() if "Running upgrade" in line]
        assert "The database is fully upgraded" in step.stderr, step.stderr
        return said

    with ThreadPoolExecutor() as pool:
        steps = [line for lines in pool.map(upgrade, range(2)) for line in lines]
    assert len(steps) == len(set(steps)) == STEPS - 1
    assert classic.execute(empty_database, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert classic.execute(empty_database, "SELECT count(*) FROM messages") == [(20,)]


def test_a_hub_stores(pgbouncer: PgBouncer, database: str, tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    bus.config["datanommer.sqlalchemy.url"] = pgbouncer.url(database)
    archive = Archive(database)
    try:
        hub = bus.start_hub()
        sent = [envelope() for _ in range(100)]
        bus.publisher.publish(*sent)
        archive.wait_for(sent[-1])
        assert [message.body for message in archive.messages()] == [each["body"] for each in sent]
        assert "does not answer" not in hub.log
    finally:
        archive.close()
        bus.close()


def test_what_the_commands_read_and_write_is_what_they_do_without_it(
    pgbouncer: PgBouncer, database: str, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "messages.json"
    file.write_text("".join(f"{json.dumps(envelope())}\n" for _ in range(200)) + "{}\n")
    url = pgbouncer.url(database)
    loaded = run("datanommer-load", "--url", url, str(file))
    assert loaded.stdout == "stored 200, duplicates 0, rejected 1\n"
    for command in (
        "datanommer-dump",
        "datanommer-latest",
        "datanommer-stats",
        "datanommer-reindex",
        "datanommer-runs",
        "datanommer-validate",
        "datanommer-rejected list",
        "datanommer-rejected export",
        "datanommer-rejected retry --all",
    ):
        name, *arguments = command.split()
        behind, direct = (run(name, *arguments, "--url", each) for each in (url, database))
        assert behind.returncode == 0, behind.stderr
        assert behind.stdout == direct.stdout


def test_the_api_stores_and_finds(pgbouncer: PgBouncer, database: str) -> None:
    models.init(pgbouncer.url(database))
    try:
        sent = envelope(timestamp=1_361_166_918)
        assert models.add(sent).stored == 1
        total, _, (message,) = Message.grep(topics=[sent["topic"]])
        assert (total, message.msg) == (1, sent["body"]["msg"])
        assert message.timestamp.isoformat() == "2013-02-18T05:55:18"
        for by in ("time", "id"):
            assert [each.id for each in Message.page(by=by, rows_per_page=1).messages] == [1]
    finally:
        models.session.remove()
        bound_engine().dispose()


def test_the_timeouts_hold_in_each_transaction_and_no_other_client_sees_them(
    narrow: PgBouncer, database: str
) -> None:
    classic.execute(
        database,
        f"ALTER DATABASE {sa.make_url(database).database} SET timezone = 'America/New_York'",
    )
    url = narrow.url(database)
    before = seen(url)
    assert before[0] == "America/New_York"
    engine = create_engine(f"{url}?options=-c statement_timeout=7s", settings=CONSUMER_TIMEOUTS)
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.execute(sa.text(SETTINGS)).one()[:4] == ("UTC", "3s", "7s", "1min")
        assert seen(url) == before
    engine.dispose()


def test_an_export_leaves_nothing_to_the_next_client(
    server: sa.URL, database: str, run: Run, tmp_path: Path
) -> None:
    pgbouncer = PgBouncer(server, default_pool_size=2)
    try:
        url = pgbouncer.url(database)
        run("datanommer-load", "--url", url, input=json.dumps(envelope()))
        before = seen(url)
        for number in (1, 0):
            result = run("datanommer-export", "--url", url, str(tmp_path))
            assert result.stdout.startswith(f"messages {number}, "), result.stderr
        assert seen(url) == before
    finally:
        pgbouncer.close()


@pytest.mark.parametrize("command", ["create-db", "load", "report"])
def test_a_command_leaves_nothing_to_the_next_client(
    narrow: PgBouncer, empty_database: str, database: str, run: Run, command: str
) -> None:
    url = narrow.url(empty_database if command == "create-db" else database)
    before = seen(url)
    messages = "".join(json.dumps(envelope()) for _ in range(200))
    arguments = [] if command == "create-db" else ["-"]
    result = run(f"datanommer-{command}", "--url", url, *arguments, input=messages)
    assert result.returncode == 0, result.stderr
    assert seen(url) == before
