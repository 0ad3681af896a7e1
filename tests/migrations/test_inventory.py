"""Tables and revision of a database are looked at together, and what does not fit is told."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from classic import add, execute, make
from datanommer import models
from datanommer.models import tables
from datanommer.models.database import migrations
from datanommer.models.database.inventory import HEAD, OWN_TABLES
from datanommer.models.errors import NotAtHead

FOLDER = Path(models.__file__).parent
REVISIONS = [
    step.revision
    for step in ScriptDirectory.from_config(Config(str(FOLDER / "alembic.ini"))).walk_revisions()
][::-1]
CLASSIC = REVISIONS[0]
LOSSES = {"dropped": "DROP TABLE alembic_version", "emptied": "DELETE FROM alembic_version"}


def fill(url: str) -> None:
    """Make a classic archive: two messages that are carried over, and one that is rejected."""
    make(url)
    add(url, [{"msg_id": "2013-a", "users": ["ralph"], "packages": ["vim"]}, {"msg_id": "2013-b"}])
    add(url, [{"msg_id": "2013-no-json", "_msg": "{"}])


def require_all(url: str) -> None:
    """Find at head what `fill` made."""
    assert execute(url, "SELECT msg_id FROM messages ORDER BY id") == [("2013-a",), ("2013-b",)]
    assert execute(url, "SELECT msg_id FROM rejected") == [("2013-no-json",)]
    for table, name in (("user_messages", "ralph"), ("package_messages", "vim")):
        assert execute(url, f"SELECT name, msg FROM {table}") == [(name, 1)]
    assert execute(url, "SELECT sum(messages) FROM topics") == [(2,)]


def contents(url: str) -> dict[str, Any]:
    """Every table, with where each of its rows is."""
    names = execute(
        url, "SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public'"
    )
    return {
        name: execute(url, f"SELECT ctid, xmin, t::text FROM {name} t ORDER BY ctid")
        for (name,) in names
    }


def refusals(run, alembic, url: str) -> list[str]:
    """What they say who must not work on that database, and leave it as it is."""
    before = contents(url)
    results = [
        run("datanommer-create-db", "--url", url),
        run("datanommer-latest", "--url", url),
        alembic("upgrade", "+1"),
    ]
    assert contents(url) == before
    for result in results:
        assert result.returncode != 0
        assert "Traceback" not in result.stderr
    return [result.stderr for result in results]


def follow(run, advice: str, url: str) -> None:
    """Type what the advice says, which begins with a ``cd``."""
    found = re.search("ype: (.*) \\(add -x", advice)
    assert found, advice
    (cd, folder), *commands = (shlex.split(command) for command in found[1].split(" && "))
    assert cd == "cd"
    for command, *arguments in commands:
        result = run(command, "-x", f"url={url}", *arguments, cwd=folder)
        assert result.returncode == 0, result.stderr


def test_the_tables_that_are_looked_for_are_those_of_the_models():
    assert {table.name for table in tables.metadata.tables.values()} == OWN_TABLES


@pytest.mark.parametrize("table", ["topics", "messages"])
def test_a_table_that_is_gone_is_told(alembic, run, engine, empty_database, table):
    migrations.upgrade(engine)
    execute(empty_database, f"DROP TABLE {table} CASCADE")
    for refusal in refusals(run, alembic, empty_database):
        assert f"these tables are gone: {table}. Restore the database" in refusal


@pytest.mark.parametrize("revision", [HEAD, CLASSIC])
def test_a_revision_without_any_table_is_told(alembic, run, engine, empty_database, revision):
    migrations.upgrade(engine, revision)
    execute(empty_database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    execute(empty_database, "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
    execute(empty_database, f"INSERT INTO alembic_version VALUES ('{revision}')")
    for refusal in refusals(run, alembic, empty_database):
        assert f"is at revision {revision} by its alembic_version, but has none of" in refusal
        assert "Restore the database from a backup" in refusal


@pytest.mark.parametrize(
    ("revision", "loss"), [*((each, "dropped") for each in REVISIONS[1:]), (HEAD, "emptied")]
)
def test_tables_that_lost_their_revision_are_told_it_and_go_on_to_head(
    alembic, run, engine, empty_database, revision, loss
):
    fill(empty_database)
    migrations.upgrade(engine, revision)
    execute(empty_database, LOSSES[loss])
    told = refusals(run, alembic, empty_database)
    for refusal in told:
        assert "has datanommer's tables, but no alembic_version to say which revision" in refusal
    follow(run, told[-1], empty_database)
    migrations.upgrade(engine)
    migrations.require_head(engine)
    assert alembic("check").returncode == 0
    require_all(empty_database)


def test_the_rights_are_handed_on_after_the_revision_was_lost(engine, alembic, run, empty_database):
    fill(empty_database)
    execute(empty_database, "GRANT SELECT ON messages TO pg_monitor")
    migrations.upgrade(engine, "4e92b7d1c05f")
    execute(empty_database, LOSSES["dropped"])
    follow(run, refusals(run, alembic, empty_database)[-1], empty_database)
    migrations.upgrade(engine)
    assert execute(
        empty_database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relname IN ('messages', 'alembic_version') "
        "AND has_table_privilege('pg_monitor', oid, 'SELECT') ORDER BY 1",
    ) == [("alembic_version",), ("messages",)]


@pytest.mark.parametrize(
    ("revision", "damage"),
    [
        (CLASSIC, "DROP TABLE messages CASCADE"),
        ("8c1d0f6a2b37", "DROP TABLE classic_user_messages"),
        ("8c1d0f6a2b37", "CREATE TABLE messages (id int, _msg text)"),
        ("1f7c58e2a96d", "DROP TABLE topics"),
        (HEAD, "DROP TABLE messages CASCADE"),
        (HEAD, "ALTER TABLE messages DROP CONSTRAINT messages_msg_id_key"),
    ],
)
def test_tables_of_no_revision_are_to_be_restored(
    alembic, run, engine, empty_database, revision, damage
):
    fill(empty_database)
    migrations.upgrade(engine, revision)
    execute(empty_database, f"{LOSSES['dropped']}; {damage}")
    for refusal in refusals(run, alembic, empty_database):
        assert "They are those of no revision. Restore the database from a backup" in refusal


def test_tables_of_another_program_are_not_taken_for_an_old_archive(run, engine, empty_database):
    execute(empty_database, "CREATE TABLE messages (id int, body text)")
    execute(empty_database, "CREATE TABLE user_messages (id int)")
    with pytest.raises(NotAtHead, match=r"tables of another program .*: messages"):
        migrations.require_head(engine)
    assert run("datanommer-create-db", "--url", empty_database).returncode == 1


def test_a_classic_database_without_a_revision_is_behind_and_not_empty(engine, empty_database):
    make(empty_database, "created")
    assert migrations.examine(engine) == (None, len(REVISIONS), False)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_classic_database_that_lost_its_revision_is_upgraded(engine, empty_database, loss):
    fill(empty_database)
    execute(empty_database, LOSSES[loss])
    migrations.upgrade(engine)
    require_all(empty_database)
