"""The migrations: from nothing, and from the databases of the classic line, to head."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from bus import eventually
from classic import add, execute, make
from datanommer import models
from datanommer.models import embedded, tables
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from datanommer.models.database.inventory import HEAD
from datanommer.models.errors import DatabaseUnavailable, NotAtHead

INI = Path(models.__file__).with_name("alembic.ini")
SCRIPT = ScriptDirectory.from_config(Config(str(INI)))
STEPS = len(list(SCRIPT.walk_revisions()))
REWRITING = "1f7c58e2a96d"
LOCK = 0x646174616E6F6D6D  # of alembic/env.py

MESSAGE = {"user": "ralph", "title": "café \u2603", "n": [1, 2.5, 1e22, -0.0, None, True]}


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


#: What is carried over, by msg_id.
CARRIED: dict[str, dict[str, Any]] = {
    "2013-plain": {
        "_msg": json.dumps(MESSAGE),
        "users": ["ralph", "bowl"],
        "packages": ["nethack"],
    },
    "2013-signed": {"certificate": "LS0t\nCRT", "signature": "c2ln\n", "crypto": "x509"},
    "2013-signed-by-the-same": {"certificate": "LS0t\nCRT", "username": "apache"},
    "2013-signed-in-one-line": {"signature": "c2ln", "crypto": "gpg"},
    "2013-strange-signature": {"signature": "c2ln", "_headers": "[1]", "crypto": "x509"},
    "2013-fraction": {"timestamp": "2013-02-18 05:55:18.123457"},
    "1970-first": {"timestamp": "1970-01-01 00:00:00"},
    "9999-last": {"timestamp": "9999-12-31 23:59:59.999999"},
    "2013-escapes": {"topic": "a\tb\\N.c\nd\\.é", "category": "\\N", "username": "\r\\t'\"%s"},
    "2013-nul": {"_msg": r'{"a": "\u0000 \ud800"}'},
    "2013-text": {"_msg": '"text"'},
    "2013-null": {"_msg": "null"},
    "2013-spaces": {"_msg": ' {"b":1 , "a":2}\n'},
    "2013-as-deep-as-may-be": {"_msg": deep(500)},
    "2013-many-brackets": {"_msg": json.dumps([{}] * 600)},
    "2013-headers": {"_headers": '{"x": "é\\u0000"}'},
    "2013-no-headers": {"_headers": ""},
    "2013-null-headers": {"_headers": "null"},
    "2013-strange-headers": {"_headers": "[1]"},
    "2013-other-category": {"topic": "a.b.c.d", "category": "elsewhere"},
    "m" * 1024: {"topic": "t" * 1024, "i": -(2**31)},
    "2013-long-name": {"users": ["u" * 1025, "kept"]},
}
#: What is not, with a word of the reason.
REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "2013-no-json": ({"_msg": "{'a': 1}", "users": ["ralph"], "packages": ["vim"]}, "not JSON"),
    "2013-empty": ({"_msg": ""}, "not JSON"),
    "2013-nan": ({"_msg": '{"a": NaN}'}, "NaN"),
    "2013-infinite": ({"_msg": "[1e400]"}, "not JSON"),
    "2013-too-deep": ({"_msg": deep(501)}, "500 levels"),
    "2013-far-too-deep": ({"_msg": deep(100_000)}, "500 levels"),
    "2013-cut-off": ({"_msg": '{"a": "'}, "not JSON"),
    "2013-bad-headers": ({"_headers": "{"}, "_headers is not JSON"),
    "2013-infinity": ({"timestamp": "infinity"}, "years 1970 to 9999"),
    "2013-early": ({"timestamp": "1969-12-31 23:59:59"}, "years 1970 to 9999"),
    "2013-bc": ({"timestamp": "0044-03-15 12:00:00 BC"}, "years 1970 to 9999"),
    "2013-milliseconds": ({"timestamp": "52671-01-01 00:00:00"}, "years 1970 to 9999"),
    "2013-long-topic": ({"topic": "é" * 513}, "1026 bytes"),
    "2013-no-topic": ({"topic": ""}, "no topic"),
    "x" * 1025: ({}, "1025 bytes"),
}


def fill(url):
    add(url, [{"msg_id": msg_id, **row} for msg_id, row in CARRIED.items()])
    add(url, [{"msg_id": msg_id, **row} for msg_id, (row, _) in REJECTED.items()])


def revision(url):
    return [row for (row,) in execute(url, "SELECT version_num FROM alembic_version")]


def test_there_is_one_head_and_the_models_name_it():
    assert SCRIPT.get_heads() == [HEAD]


def test_an_empty_database_walks_to_head_one_step_at_a_time(alembic, empty_database, tmp_path):
    first = alembic("upgrade", "+1", cwd=tmp_path)
    assert first.returncode == 0
    assert revision(empty_database) == ["57be773be52b"]
    assert execute(empty_database, "SELECT _msg, _headers FROM messages") == []
    for _ in range(STEPS - 1):
        step = alembic("upgrade", "+1", cwd=tmp_path)
        assert step.returncode == 0
        assert "Running upgrade" in step.stderr
    assert revision(empty_database) == [HEAD]
    beyond = alembic("upgrade", "+1")
    assert beyond.returncode != 0
    assert "The database is fully upgraded" in beyond.stderr
    assert "FAILED" not in beyond.stdout + beyond.stderr
    assert "Traceback" not in beyond.stderr
    assert alembic("upgrade", "head").returncode == 0


def test_an_empty_database_gets_all_tables_or_none(run, empty_database):
    in_the_way = "datanommer_draw_ids(number integer)"  # of the last step
    execute(empty_database, f"CREATE FUNCTION {in_the_way} RETURNS integer RETURN 1")
    made = run("datanommer-create-db", "--url", empty_database)
    assert (made.returncode, made.stdout) == (1, "")
    assert "PostgreSQL stopped the step" in made.stderr
    assert "Traceback" not in made.stderr
    assert execute(empty_database, "SELECT to_regclass('alembic_version')::text") == [(None,)]
    execute(empty_database, f"DROP FUNCTION {in_the_way}")
    assert run("datanommer-create-db", "--url", empty_database).returncode == 0
    assert revision(empty_database) == [HEAD]


@pytest.fixture(params=["migrated", "created"])
def upgraded(request, engine, empty_database):
    """A classic database with messages of all kinds, walked to head one step at a time."""
    make(empty_database, request.param)
    fill(empty_database)
    while migrations.examine(engine).steps:
        migrations.upgrade(engine, "+1")
    return empty_database


def test_every_classic_message_is_carried_over_or_kept_among_the_rejected(upgraded):
    stored = {msg_id for (msg_id,) in execute(upgraded, "SELECT msg_id FROM messages")}
    rejected = execute(upgraded, "SELECT msg_id, reason, kind, seen FROM rejected")
    assert stored == set(CARRIED)
    of_messages = [row for row in rejected if row[0] in REJECTED]
    assert {row[0] for row in of_messages} == set(REJECTED)
    for msg_id, reason, kind, seen in of_messages:
        assert REJECTED[msg_id][1] in reason
        assert (kind, seen) == ("classic", 1)


def test_classic_messages_are_carried_over_as_they_were(upgraded):
    rows = execute(
        upgraded,
        "SELECT msg_id, topic, i, category, m.timestamp AT TIME ZONE 'UTC', username, crypto, "
        "convert_from(signature, 'UTF8'), body, source_name, source_version, msg::text, "
        "headers::text, extra::text, stored_at "
        "FROM messages m LEFT JOIN certificates c ON c.id = certificate_id ORDER BY m.id",
    )
    assert [row[0] for row in rows] == list(CARRIED)
    for row in rows:
        classic: dict[str, Any] = {
            "topic": "org.fedoraproject.prod.bodhi.update.request.testing",
            "i": 1,
            "category": "bodhi",
            "timestamp": "2013-02-18 05:55:18",
            "_msg": "{}",
            **CARRIED[row[0]],
        }
        msg = json.dumps(json.loads(classic["_msg"]))
        assert row[1:4] == (classic["topic"], classic["i"], classic["category"])
        assert row[4] == datetime.fromisoformat(classic["timestamp"])
        assert row[5:7] == (classic.get("username"), classic.get("crypto"))
        is_packed = row[0] in ("2013-signed", "2013-signed-in-one-line")
        assert row[7:9] == ("sig" if is_packed else None, classic.get("certificate"))
        assert row[9:12] == ("datanommer", "0.9.1", msg)
        assert row[14] is None
    headers = {row[0]: row[12:14] for row in rows if row[12:14] != (None, None)}
    assert headers == {
        "2013-headers": ('{"x": "\\u00e9\\u0000"}', None),
        "2013-strange-headers": (None, '{"set": {"headers": [1]}}'),
        "2013-strange-signature": (None, '{"set": {"signature": "c2ln", "headers": [1]}}'),
    }
    assert execute(upgraded, "SELECT count(*) FROM certificates") == [(1,)]


def test_users_and_packages_come_along(upgraded):
    for table in ("user_messages", "package_messages"):
        found = execute(
            upgraded,
            f"SELECT msg_id, array_agg(name ORDER BY name) FROM {table} AS a JOIN messages AS m "
            "ON m.id = a.msg AND m.timestamp = a.timestamp GROUP BY msg_id",
        )
        expected = {
            "user_messages": {"2013-plain": ["bowl", "ralph"], "2013-long-name": ["kept"]},
            "package_messages": {"2013-plain": ["nethack"]},
        }
        assert dict(found) == expected[table]
    names = execute(upgraded, "SELECT name FROM users ORDER BY name")
    assert names == [("bowl",), ("kept",), ("ralph",)]
    assert execute(upgraded, "SELECT name FROM packages ORDER BY 1") == [("nethack",), ("vim",)]


def test_a_rejected_row_is_kept_whole(upgraded):
    ((raw,),) = execute(upgraded, "SELECT raw FROM rejected WHERE msg_id = '2013-no-json'")
    row = json.loads(bytes(raw))
    assert row.pop("id") > 0
    assert row == {
        "msg_id": "2013-no-json",
        "i": 1,
        "topic": "org.fedoraproject.prod.bodhi.update.request.testing",
        "timestamp": "2013-02-18 05:55:18",
        "certificate": None,
        "signature": None,
        "category": "bodhi",
        "username": None,
        "crypto": None,
        "source_name": "datanommer",
        "source_version": "0.9.1",
        "_msg": "{'a': 1}",
        "_headers": None,
        "users": ["ralph"],
        "packages": ["vim"],
    }


def test_a_name_that_is_too_long_is_rejected_and_its_message_is_not(upgraded):
    rows = execute(
        upgraded, "SELECT raw FROM rejected WHERE msg_id IS NULL OR msg_id = '2013-long-name'"
    )
    kept = [json.loads(bytes(raw)) for (raw,) in rows]
    assert {"table": "users", "name": "u" * 1025} in kept
    assert [row["msg_id"] for row in kept if row["table"] == "user_messages"] == ["2013-long-name"]


def test_new_ids_follow_the_classic_ones(upgraded):
    ((number,),) = execute(upgraded, "SELECT nextval(pg_get_serial_sequence('messages', 'id'))")
    assert number == len(CARRIED) + len(REJECTED) + 1


def test_topics_and_days_are_counted_by_the_upgrade(upgraded):
    assert counters(upgraded) == counted(upgraded) != ([], [])


def test_classic_tables_are_gone_at_head(upgraded):
    tables = execute(upgraded, "SELECT relname FROM pg_class WHERE relname LIKE '%classic%'")
    assert tables == []


def test_the_rewriting_says_what_disk_it_needs_and_how_far_it_is(engine, empty_database, capfd):
    make(empty_database)
    fill(empty_database)
    migrations.upgrade(engine)
    said = capfd.readouterr()
    assert "of free disk" in said.err
    assert f"rewritten: {len(CARRIED)} messages; rejected: {len(REJECTED)}" in said.err
    assert said.out == ""


def test_rows_that_broke_the_rules_are_put_right(engine, empty_database, capfd):
    """Old databases lost constraints, and hold what the classic schema forbids."""
    make(empty_database)
    execute(
        empty_database,
        "ALTER TABLE messages DROP CONSTRAINT messages_msg_id_key;"
        "ALTER TABLE messages ALTER i DROP NOT NULL, ALTER category DROP NOT NULL;"
        "ALTER TABLE user_messages DROP CONSTRAINT user_messages_msg_fkey",
    )
    add(
        empty_database,
        [
            {"msg_id": "2013-twice", "_msg": "1", "users": ["ralph", "ralph"]},
            {"msg_id": "2013-twice", "_msg": "2"},
            {"msg_id": None, "i": None, "category": None, "topic": "a.b.c.git.receive"},
            {"msg_id": "", "category": None, "topic": "/topic/VirtualTopic.eng.brew.build"},
            {"msg_id": "2013-classic-3", "category": None, "topic": "short"},
        ],
    )
    execute(
        empty_database,
        "INSERT INTO user_messages VALUES ('ralph', 999), ('ralph', NULL), (NULL, 1)",
    )
    migrations.upgrade(engine)
    assert execute(empty_database, "SELECT id, msg_id, i, category, msg::text FROM messages") == [
        (1, "2013-twice", 1, "bodhi", "1"),
        (4, "2013-classic-4", 1, "brew", "{}"),
        (5, "2013-classic-3", 1, "Unclassified", "{}"),
    ]
    rejected = execute(empty_database, "SELECT msg_id, reason FROM rejected ORDER BY id")
    assert rejected == [
        ("2013-twice", "the id 2013-twice belongs to another message"),
        (None, "the id 2013-classic-3 belongs to another message"),
    ]
    assert execute(empty_database, "SELECT name, msg FROM user_messages") == [("ralph", 1)]
    assert "left out 3 rows of classic_user_messages" in capfd.readouterr().err


def test_a_fresh_id_is_made_for_a_message_without_one(engine, empty_database):
    make(empty_database)
    add(empty_database, [{"msg_id": None, "timestamp": "2014-12-31 23:59:59.9"}])
    migrations.upgrade(engine)
    assert execute(empty_database, "SELECT msg_id FROM messages") == [("2014-classic-1",)]


def test_ranges_do_not_lose_a_message_between_them(engine, empty_database):
    make(empty_database)
    execute(
        empty_database,
        "INSERT INTO messages (id, msg_id, i, topic, timestamp, category, _msg) "
        "SELECT g * 3, 'm' || g, 0, 't', '2013-01-01', 'c', '{}' FROM generate_series(1, 10001) g;"
        "INSERT INTO \"user\" VALUES ('ralph');"
        "INSERT INTO user_messages SELECT 'ralph', id FROM messages",
    )
    migrations.upgrade(engine)
    for table in ("messages", "user_messages"):
        assert execute(empty_database, f"SELECT count(*) FROM {table}") == [(10001,)]


@pytest.mark.parametrize("versions", ["none", "empty"])
def test_classic_tables_without_a_revision_are_adopted_as_they_are(
    alembic, empty_database, versions
):
    make(empty_database, "created")
    add(empty_database, [{"msg_id": "2013-a"}])
    if versions == "empty":
        execute(empty_database, "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
    before = execute(empty_database, "SELECT xmin, ctid, * FROM messages")
    assert alembic("upgrade", "+1").returncode == 0
    assert revision(empty_database) == ["57be773be52b"]
    assert execute(empty_database, "SELECT xmin, ctid, * FROM messages") == before


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ("CREATE TABLE messages (id int, body text)", "no column msg_id"),
        ('CREATE TABLE "user" (name text PRIMARY KEY)', "there is no messages"),
        ("CREATE TABLE topics (id int)", "in the way"),
        ("CREATE VIEW package AS SELECT 1 AS name", "is integer, not text"),
    ],
)
def test_tables_of_another_program_are_refused_in_words(alembic, empty_database, tables, reason):
    execute(empty_database, tables)
    result = alembic("upgrade", "head")
    assert result.returncode != 0
    assert reason in result.stderr
    assert "name another database" in result.stderr
    assert "Traceback" not in result.stderr
    ((count,),) = execute(
        empty_database,
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'v') AND relname <> 'alembic_version'",
    )
    assert count == 1


@pytest.mark.parametrize(
    "added",
    [
        "CREATE VIEW mine AS SELECT topic FROM messages",
        "ALTER TABLE messages ADD mine text",
        "CREATE TABLE mine (message int REFERENCES messages (id))",
    ],
)
def test_what_others_added_to_the_classic_tables_is_not_dropped(engine, empty_database, added):
    make(empty_database)
    execute(empty_database, added)
    with pytest.raises(NotAtHead, match="mine"):
        migrations.upgrade(engine)
    assert revision(empty_database) == ["57be773be52b"]


@pytest.mark.parametrize(
    ("stamp", "advice"),
    [
        ("a356c9a10463", "Bring it to that revision with the last release of its own line"),
        ("f4fdb5442d05", "fedora-messaging line"),
        ("feedfacecafe", "Upgrade datanommer"),
    ],
)
def test_a_revision_that_is_not_of_the_chain_gets_told_what_to_do(
    alembic, engine, empty_database, stamp, advice
):
    make(empty_database)
    execute(empty_database, "UPDATE alembic_version SET version_num = %s", (stamp,))
    for command in (("upgrade", "+1"), ("current",)):
        result = alembic(*command)
        assert result.returncode != 0
        assert advice in result.stderr
        assert "Traceback" not in result.stderr
    with pytest.raises(NotAtHead, match=advice):
        migrations.require_head(engine)


CATALOGUE = {
    "columns": """
        SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), collname,
            attnotnull, attidentity, pg_get_expr(adbin, adrelid)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            LEFT JOIN pg_collation ON pg_collation.oid = attcollation
            LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
            AND NOT attisdropped AND relname <> 'alembic_version'
        ORDER BY relname, attnum
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2
    """,
    "indexes": """
        SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index
            JOIN pg_class ON pg_class.oid = indrelid
        WHERE relnamespace = 'public'::regnamespace AND relname <> 'alembic_version' ORDER BY 1
    """,
    "sequences": """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' ORDER BY 1
    """,
}


@pytest.mark.parametrize("start", ["empty", "migrated", "created"])
def test_head_is_the_schema_of_the_models(engine, empty_database, databases_of_server, start):
    if start != "empty":
        make(empty_database, start)
    migrations.upgrade(engine)
    name = databases_of_server.create()
    try:
        of_models = create_engine(databases_of_server.url(name))
        tables.metadata.create_all(of_models)
        of_models.dispose()
        for query in CATALOGUE.values():
            made = execute(empty_database, query)
            assert made == execute(databases_of_server.url(name), query) != []
    finally:
        databases_of_server.drop(name)


def test_alembic_finds_no_difference_between_head_and_the_models(alembic):
    assert alembic("upgrade", "head").returncode == 0
    checked = alembic("check")
    assert checked.returncode == 0, checked.stdout
    assert alembic("current").stdout.split() == [HEAD, "(head)"]


def test_every_table_and_column_says_what_it_holds(database):
    silent = [
        (table.name, part.name)
        for table in tables.metadata.tables.values()
        for part in (table, *table.columns)
        if not part.comment or not part.comment.endswith(".")
    ]
    assert silent == []
    said = execute(
        database, "SELECT count(*) FROM pg_description WHERE objoid = 'messages'::regclass"
    )
    assert said == [(1 + len(tables.messages.columns),)]


def test_a_comment_that_differs_from_the_models_is_found(alembic):
    assert alembic("upgrade", "head").returncode == 0
    assert alembic("downgrade", "e16b58d0a92f").returncode == 0
    assert alembic("stamp", "head").returncode == 0
    assert "comment" in alembic("check").stderr


def test_alembic_looks_for_the_database_in_the_order_that_is_documented(
    alembic, empty_database, tmp_path, monkeypatch
):
    def reached():
        """Where it went, told by the port that refuses."""
        return alembic("current", url=url, cwd=tmp_path)

    url = None
    nothing = reached()
    assert nothing.returncode != 0
    assert "No database is named" in nothing.stderr
    (tmp_path / "fedmsg.d").mkdir()
    (tmp_path / "fedmsg.d" / "base.py").write_text(
        'config = {"datanommer.sqlalchemy.url": "postgresql://u:secret@127.0.0.1:2/configured"}'
    )
    assert "/configured does not answer" in reached().stderr
    monkeypatch.setenv("DATANOMMER_SQLALCHEMY_URL", "postgres://u:secret@127.0.0.1:2/environment")
    refused = reached()
    assert "/environment does not answer" in refused.stderr
    assert "secret" not in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    url = empty_database
    assert reached().returncode == 0


def test_the_embedded_default_is_named_where_it_is_used(alembic, tmp_path):
    folder = tmp_path / "datanommer"
    folder.mkdir()
    try:
        result = alembic(
            "upgrade", "+1", url=None, env={**os.environ, "XDG_DATA_HOME": str(tmp_path)}
        )
    finally:
        embedded.stop(folder)
    assert result.returncode == 0
    assert f"The database is embedded://{folder}, the embedded default." in result.stderr


def test_alembic_runs_from_the_folder_without_naming_its_configuration(run, empty_database):
    where = ["-x", f"url={empty_database}"]
    assert run("alembic", *where, "upgrade", "+1", cwd=INI.parent).returncode == 0
    assert revision(empty_database) == ["57be773be52b"]


def test_an_empty_database_is_told_from_one_that_is_behind(engine):
    assert migrations.examine(engine) == (None, STEPS, True)
    with pytest.raises(NotAtHead, match=r"is empty\. Make the tables with datanommer-create-db"):
        migrations.require_head(engine)
    migrations.upgrade(engine, "57be773be52b")
    assert migrations.examine(engine) == ("57be773be52b", STEPS - 1, False)
    with pytest.raises(
        NotAtHead,
        match=rf"is {STEPS - 1} steps behind.* {STEPS - 1} times: cd .*alembic upgrade \+1",
    ):
        migrations.require_head(engine)
    migrations.upgrade(engine)
    assert migrations.examine(engine) == (HEAD, 0, False)
    migrations.require_head(engine)


def test_a_server_that_is_away_is_told_in_its_words_and_without_the_password():
    engine = create_engine("postgresql://u:secret@127.0.0.1:2/away")
    with pytest.raises(
        DatabaseUnavailable, match=r"127\.0\.0\.1:2/away.*Connection refused"
    ) as told:
        migrations.require_head(engine)
    assert "secret" not in str(told.value)


def test_head_is_checked_without_loading_alembic(database):
    program = (
        "import sys; from datanommer.models.database import engine, migrations;"
        f"migrations.require_head(engine.create_engine({database!r}));"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_two_who_upgrade_at_once_take_turns(empty_database):
    make(empty_database)
    fill(empty_database)
    script = Path(sys.executable).with_name("alembic")
    command = [str(script), "-c", str(INI), "-x", f"url={empty_database}", "upgrade", "head"]
    before = revision(empty_database)
    with contextlib.closing(psycopg2.connect(empty_database)) as first:
        first.cursor().execute("SELECT pg_advisory_lock(%s)", [LOCK])
        both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        for one in both:
            assert one.stderr is not None
            assert any("waiting until that is done" in line for line in one.stderr)
        assert revision(empty_database) == before
    for one in both:
        _, said = one.communicate(timeout=60)
        assert one.returncode == 0, said
    assert revision(empty_database) == [HEAD]


def test_who_is_taken_off_the_way_between_two_steps_says_so_and_keeps_the_first(
    engine, empty_database
):
    migrations.upgrade(engine, "e4816ad3072c")
    waiting = (
        "SELECT 1 FROM pg_locks WHERE locktype = %s AND NOT granted AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with (
        contextlib.closing(psycopg2.connect(empty_database)) as writer,
        contextlib.closing(psycopg2.connect(empty_database)) as other,
        ThreadPoolExecutor() as pool,
    ):
        writer.cursor().execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        upgrade = pool.submit(migrations.upgrade, engine, "+2")
        eventually(lambda: execute(empty_database, waiting, ["relation"]), "the first step")
        cursor = other.cursor()
        queued = pool.submit(cursor.execute, "SELECT pg_advisory_xact_lock(%s)", [LOCK])
        eventually(lambda: execute(empty_database, waiting, ["advisory"]), "the other one")
        writer.rollback()
        queued.result()
        cursor.execute("SELECT version_num FROM alembic_version")
        assert cursor.fetchall() == [("7b90d2f5c61a",)]
        cursor.execute("UPDATE alembic_version SET version_num = 'e4816ad3072c'")
        other.commit()
        with pytest.raises(NotAtHead, match="at revision e4816ad3072c now, which is not on the"):
            upgrade.result()
    assert revision(empty_database) == ["e4816ad3072c"]


@pytest.mark.parametrize(
    ("direction", "asked", "seconds"),
    [("upgrade", "", 10), ("downgrade", "", 10), ("upgrade", "-c lock_timeout=500ms", 0.5)],
)
def test_a_step_waits_no_longer_for_a_lock_than_it_may_and_is_kept_whole_or_not_at_all(
    engine, alembic, empty_database, direction, asked, seconds
):
    migrations.upgrade(engine, "7b90d2f5c61a" if direction == "downgrade" else "e4816ad3072c")
    before = {name: execute(empty_database, query) for name, query in CATALOGUE.items()}
    at = revision(empty_database)
    url = sa.make_url(empty_database).update_query_dict({"options": asked} if asked else {})
    with engine.begin() as writer:
        writer.exec_driver_sql("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        begun = time.monotonic()
        step = "+1" if direction == "upgrade" else "-1"
        stopped = alembic(direction, step, url=url.render_as_string(hide_password=False))
        took = time.monotonic() - begun
    assert stopped.returncode != 0
    said = stopped.stdout + stopped.stderr
    assert "Another session holds a lock" in said
    assert "This step has left nothing behind" in said
    assert "Traceback" not in said
    assert revision(empty_database) == at
    assert {name: execute(empty_database, query) for name, query in CATALOGUE.items()} == before
    begun = time.monotonic()
    assert alembic(direction, step).returncode == 0
    # A busy machine takes its time for both.
    took_without_a_lock = time.monotonic() - begun
    assert seconds <= took < seconds + took_without_a_lock + 8


def test_the_way_back_from_head_is_refused_before_its_first_step(alembic, empty_database):
    alembic("upgrade", "head")
    for target in ("57be773be52b", "base", f"-{STEPS - 1}"):
        refused = alembic("downgrade", target)
        assert refused.returncode != 0
        assert "restore the backup" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert revision(empty_database) == [HEAD]


def test_indexes_and_counts_can_be_taken_back_and_made_anew(alembic, empty_database):
    alembic("upgrade", "head")
    execute(empty_database, INSERT, (["a", "b", "a"],))
    before = {name: execute(empty_database, query) for name, query in CATALOGUE.items()}
    assert alembic("downgrade", "d05b3e817f42").returncode == 0
    assert alembic("upgrade", "head").returncode == 0
    assert {name: execute(empty_database, query) for name, query in CATALOGUE.items()} == before
    assert counters(empty_database) == counted(empty_database) != ([], [])


@pytest.mark.parametrize("form", ["migrated", "created"])
def test_a_classic_database_comes_back_unchanged_before_its_tables_are_dropped(
    engine, alembic, empty_database, form
):
    make(empty_database, form)
    fill(empty_database)
    contents = "SELECT * FROM messages ORDER BY id"
    before = {name: execute(empty_database, query) for name, query in CATALOGUE.items()}
    rows = execute(empty_database, contents.replace("*", "id, _msg, timestamp::text"))
    migrations.upgrade(engine, REWRITING)
    assert alembic("downgrade", "57be773be52b").returncode == 0
    assert {name: execute(empty_database, query) for name, query in CATALOGUE.items()} == before
    assert execute(empty_database, contents.replace("*", "id, _msg, timestamp::text")) == rows
    refused = alembic("downgrade", "base")
    assert refused.returncode != 0
    assert "is not empty" in refused.stderr
    migrations.upgrade(engine)
    assert execute(empty_database, "SELECT count(*) FROM messages") == [(len(CARRIED),)]


def test_who_reads_the_classic_tables_does_not_stop_the_rewriting(engine, empty_database):
    make(empty_database)
    fill(empty_database)
    migrations.upgrade(engine, "b36a9e0d74c1")
    with engine.connect() as reader:
        for table in ("messages", "user_messages", "package_messages"):
            reader.exec_driver_sql(f"SELECT 1 FROM classic_{table}").all()
        migrations.upgrade(engine, REWRITING)
    assert revision(empty_database) == [REWRITING]


@pytest.mark.parametrize(
    "later",
    [
        "UPDATE messages SET stored_at = now() WHERE msg_id = '2013-a'",
        "INSERT INTO rejected (kind, reason, raw, sha256) VALUES ('invalid', 'x', 'x', 'x')",
    ],
)
def test_what_came_after_the_rewriting_is_not_dropped_on_the_way_back(
    engine, alembic, empty_database, later
):
    make(empty_database)
    add(empty_database, [{"msg_id": "2013-a"}])
    migrations.upgrade(engine, REWRITING)
    execute(empty_database, later)
    refused = alembic("downgrade", "-1")
    assert refused.returncode != 0
    assert "Take them along with datanommer-dump" in refused.stderr
    assert execute(empty_database, "SELECT msg_id FROM messages") == [("2013-a",)]


def test_an_empty_classic_database_can_be_taken_back_to_nothing(engine, alembic):
    migrations.upgrade(engine, REWRITING)
    assert alembic("downgrade", "base").returncode == 0
    assert migrations.examine(engine) == (None, STEPS, True)


@pytest.fixture
def role(server, empty_database):
    """A role that may log in, with what it is given in the database."""
    name = f"reader_{uuid.uuid4().hex}"
    admin = sa.create_engine(
        server.set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
        yield name
        execute(empty_database, f"DROP OWNED BY {name}")
        connection.exec_driver_sql(f"DROP ROLE {name}")
    admin.dispose()


def test_roles_keep_their_rights_and_need_none_on_the_counts(engine, empty_database, role):
    make(empty_database, "created")
    execute(empty_database, f"GRANT SELECT, INSERT ON messages TO {role}")
    migrations.upgrade(engine)
    execute(
        empty_database,
        f"REVOKE INSERT, UPDATE ON topics, topic_days FROM {role}; SET ROLE {role};"
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
        "VALUES ('1', 0, 't', 'c', now(), '1');"
        "SELECT * FROM topics, users, certificates, alembic_version;",
    )
    assert counters(empty_database) == counted(empty_database) != ([], [])


def test_the_owner_of_the_classic_tables_owns_the_new_ones(engine, empty_database, role):
    make(empty_database)
    for table in ("messages", "user", "package", "user_messages", "package_messages"):
        execute(empty_database, f'ALTER TABLE "{table}" OWNER TO {role}')
    execute(empty_database, f"GRANT ALL ON SCHEMA public TO {role}")
    migrations.upgrade(engine)
    owners = execute(
        empty_database,
        "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relkind IN ('r', 'S') AND "
        "relnamespace = 'public'::regnamespace UNION SELECT proowner::regrole::text FROM pg_proc "
        "WHERE pronamespace = 'public'::regnamespace",
    )
    assert owners == [(role,)]


INSERT = """
    INSERT INTO messages (msg_id, i, topic, category, timestamp, msg)
    SELECT gen_random_uuid()::text, 0, topic, 'c', to_timestamp(1500000000 + 10000 * place), '1'
    FROM unnest(%s) WITH ORDINALITY AS given (topic, place)
"""


REPEAT = """
    INSERT INTO messages (msg_id, i, topic, category, timestamp, msg)
    SELECT msg_id, 0, 'z', 'c', now(), '1' FROM messages
"""


def counters(url):
    return (
        execute(
            url,
            "SELECT category, topic, messages, first_seen, last_seen FROM topics "
            "ORDER BY category, topic",
        ),
        execute(url, "SELECT * FROM topic_days ORDER BY category, topic, day"),
    )


def counted(url):
    return (
        execute(
            url,
            "SELECT category, topic, count(*), min(timestamp), max(timestamp) FROM messages "
            "GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        execute(
            url,
            "SELECT category, topic, (timestamp AT TIME ZONE 'UTC')::date, count(*) FROM messages "
            "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        ),
    )


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM messages WHERE id = 1",
        "DELETE FROM messages WHERE id = 3",
        "DELETE FROM messages WHERE id IN (1, 2, 5)",
        "DELETE FROM messages WHERE topic = 'a'",
        "DELETE FROM messages",
        "DELETE FROM messages WHERE false",
        "TRUNCATE messages CASCADE",
        "UPDATE messages SET topic = 'b'",
        "UPDATE messages SET topic = 'new' WHERE id = 5",
        "UPDATE messages SET category = 'd' WHERE id % 2 = 0",
        "UPDATE messages SET timestamp = timestamp + '1 d'::interval WHERE id IN (1, 4)",
        "UPDATE messages SET timestamp = timestamp - '1 d'::interval",
        "UPDATE messages SET topic = CASE topic WHEN 'a' THEN 'b' ELSE 'a' END",
        "UPDATE messages SET id = id + 100",
        f"{REPEAT} ON CONFLICT DO NOTHING",
        f"{REPEAT} ON CONFLICT (msg_id) DO UPDATE SET topic = 'z'",
        "SELECT datanommer_recount_topics()",
    ],
)
def test_counters_follow_every_change_of_the_messages(database, change):
    execute(database, INSERT, (["a", "b", "a", "b", "b", "a", "c"],))
    assert counters(database) == counted(database) != ([], [])
    execute(database, change)
    assert counters(database) == counted(database)
    execute(database, INSERT, (["a", "d"],))
    assert counters(database) == counted(database)


LAST_STORED = "SELECT topic, last_stored FROM topics ORDER BY topic"
NEWEST = "SELECT topic, max(stored_at) FROM messages GROUP BY topic ORDER BY topic"


def test_topics_know_when_the_last_message_was_stored_however_old_it_is(database):
    execute(database, INSERT, (["a", "b"],))
    before = dict(execute(database, LAST_STORED))
    execute(database, INSERT, (["a"],))
    after = dict(execute(database, LAST_STORED))
    assert after == dict(execute(database, NEWEST))
    assert after["b"] == before["b"] < after["a"]
    assert before["a"] < after["a"]


def test_what_is_taken_away_leaves_when_the_topic_was_stored_last(database):
    execute(database, INSERT, (["a", "b", "a", "c"],))
    before = execute(database, LAST_STORED)
    execute(database, "DELETE FROM messages WHERE id = 3; UPDATE messages SET topic = topic")
    assert execute(database, LAST_STORED) == before
    execute(database, "UPDATE messages SET topic = 'd' WHERE topic = 'c'")
    assert dict(execute(database, LAST_STORED))["d"] == dict(before)["c"]
    execute(database, "SELECT datanommer_recount_topics()")
    assert execute(database, LAST_STORED) == execute(database, NEWEST) != []


def test_an_upgrade_looks_up_when_each_topic_was_stored_last(engine, empty_database):
    migrations.upgrade(engine, "d84c1e6f9a03")
    execute(
        empty_database,
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg, stored_at) "
        "SELECT n::text, 0, 't' || n % 3, 'c', to_timestamp(1500000000 - n), '1', "
        "CASE n % 3 WHEN 0 THEN NULL ELSE to_timestamp(1600000000 + n) END "
        "FROM generate_series(1, 250000) AS n",
    )
    migrations.upgrade(engine)
    assert execute(empty_database, LAST_STORED) == execute(empty_database, NEWEST)
    assert execute(empty_database, LAST_STORED)[0] == ("t0", None)


def test_the_way_back_takes_the_time_and_leaves_the_counts(engine, alembic, empty_database):
    migrations.upgrade(engine)
    execute(empty_database, INSERT, (["a", "b", "a"],))
    assert alembic("downgrade", "d84c1e6f9a03").returncode == 0
    execute(empty_database, INSERT, (["a", "c"],))
    execute(empty_database, "UPDATE messages SET topic = 'd' WHERE id = 1")
    assert counters(empty_database) == counted(empty_database) != ([], [])
    migrations.upgrade(engine)
    stored = dict(execute(empty_database, LAST_STORED))
    assert stored == dict(execute(empty_database, NEWEST))


def test_an_update_that_moves_nothing_leaves_the_counts_alone(database):
    execute(database, INSERT, (["a", "b"],))
    rows = "SELECT xmin, ctid, topic FROM {} ORDER BY topic"
    before = [execute(database, rows.format(table)) for table in ("topics", "topic_days")]
    execute(database, "UPDATE messages SET username = 'ralph', topic = topic")
    after = [execute(database, rows.format(table)) for table in ("topics", "topic_days")]
    assert after == before


def test_counts_that_went_wrong_can_be_made_anew(database):
    execute(database, INSERT, (["a", "b"],))
    execute(
        database,
        "UPDATE topics SET messages = 7; INSERT INTO topics SELECT 'x', 'y', 1, now(), now();"
        "UPDATE topic_days SET messages = 7; INSERT INTO topic_days SELECT 'x', 'y', now(), 1",
    )
    assert execute(database, "SELECT datanommer_recount_topics()") == [(2,)]
    assert counters(database) == counted(database)


def test_a_day_is_one_of_utc_whatever_the_time_zone_of_the_writer_is(database):
    execute(
        database,
        "SET TIME ZONE 'Asia/Tokyo'; "
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
        "VALUES ('x', 0, 't', 'c', '2013-02-18 23:30:00+00', '1')",
    )
    assert execute(database, "SELECT day::text FROM topic_days") == [("2013-02-18",)]


def test_an_upgrade_counts_the_days_of_what_is_stored(engine, empty_database):
    migrations.upgrade(engine, "5d0c93be174a")
    execute(
        empty_database,
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
        "SELECT n::text, 0, 't' || n % 3, 'c', to_timestamp(1500000000 + n), '1' "
        "FROM generate_series(1, 250000) AS n",
    )
    execute(empty_database, "DELETE FROM messages WHERE id BETWEEN 90000 AND 120000")
    migrations.upgrade(engine)
    assert counters(empty_database) == counted(empty_database) != ([], [])


def test_writers_of_the_same_topics_neither_deadlock_nor_miscount(database):
    errors = []

    def write(turn):
        names = [f"t{number}" for number in range(20)]
        for _ in range(15):
            names = names[turn:] + names[:turn] if turn % 2 else list(reversed(names))
            try:
                execute(database, INSERT, (names,))
                execute(
                    database,
                    "DELETE FROM messages WHERE id IN (SELECT id FROM messages "
                    "ORDER BY random() LIMIT 7 FOR UPDATE SKIP LOCKED)",
                )
                execute(
                    database,
                    "UPDATE messages SET topic = 't' || (id % 23) WHERE id IN (SELECT id "
                    "FROM messages ORDER BY random() LIMIT 5 FOR UPDATE SKIP LOCKED)",
                )
            except psycopg2.Error as error:
                errors.append(error)

    writers = [threading.Thread(target=write, args=(turn,)) for turn in range(1, 4)]
    for writer in writers:
        writer.start()
    execute(database, "SELECT datanommer_recount_topics()")
    for writer in writers:
        writer.join()
    assert errors == []
    assert counters(database) == counted(database) != ([], [])


GRANTS = """
    SELECT grantee::regrole::text, privilege_type FROM pg_class, aclexplode(relacl)
    WHERE oid = %s::regclass ORDER BY 1, 2
"""


def test_the_table_of_syncs_gets_the_rights_that_messages_have(engine, empty_database, capfd):
    migrations.upgrade(engine, "7b90d2f5c61a")
    execute(empty_database, "GRANT SELECT, INSERT ON messages TO pg_monitor, pg_read_all_data")
    migrations.upgrade(engine)
    rights = [execute(empty_database, GRANTS, [table]) for table in ("messages", "sync_events")]
    assert rights[0] == rights[1]
    assert ("pg_monitor", "INSERT") in rights[1]
    assert "datanommer-reindex" not in capfd.readouterr().err


def test_who_may_read_the_counters_of_topics_may_read_those_of_days(engine, empty_database):
    migrations.upgrade(engine, "5d0c93be174a")
    execute(empty_database, "GRANT SELECT ON topics TO pg_monitor WITH GRANT OPTION")
    migrations.upgrade(engine)
    rights = [execute(empty_database, GRANTS, [table]) for table in ("topics", "topic_days")]
    assert rights[0] == rights[1]
    assert ("pg_monitor", "SELECT") in rights[1]


def test_messages_about_syncs_that_are_there_already_are_spoken_of(engine, empty_database, capfd):
    migrations.upgrade(engine, "7b90d2f5c61a")
    execute(empty_database, INSERT, (["org.fedoraproject.prod.logging.stats.sync.start"],))
    migrations.upgrade(engine)
    assert "run datanommer-reindex" in capfd.readouterr().err
    assert execute(empty_database, "SELECT count(*) FROM sync_events") == [(0,)]
