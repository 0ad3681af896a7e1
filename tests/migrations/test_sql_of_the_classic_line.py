"""SQL that was written for the classic line finds in the views what it found in the tables."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

from backups import restore, save
from classic import add, execute, make
from datanommer.models import add_all
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from datanommer.models.errors import NotAtHead
from envelopes import envelope

BEFORE = "8be41d7c3f06"
VIEWS = ("messages", "user", "package", "user_messages", "package_messages")

BODHI = "org.fedoraproject.prod.bodhi.update.comment"
GIT = "org.fedoraproject.prod.git.receive"
LONG_SIGNATURE = f"{'c2ln' * 19}\nc2ln\n"
#: In the order of time; texts as `json.dumps` writes them.
ROWS: list[dict[str, Any]] = [
    {
        "msg_id": "2013-first",
        "topic": BODHI,
        "timestamp": "2013-02-17 23:59:59.999999",
        "_msg": '{"user": "ralph", "title": "caf\\u00e9"}',
        "users": ["ralph", "lmacken"],
        "packages": ["nethack"],
    },
    {
        "msg_id": "2013-signed",
        "topic": BODHI,
        "timestamp": "2013-02-18 00:00:00",
        "i": 7,
        "certificate": "LS0t\nCRT\n",
        "signature": LONG_SIGNATURE,
        "crypto": "x509",
        "username": "apache",
        "_headers": '{"x": "y"}',
        "users": ["ralph"],
        "packages": ["nethack", "bash"],
    },
    {
        "msg_id": "2013-full-lines",
        "topic": GIT,
        "category": "git",
        "timestamp": "2013-02-18 12:00:00.5",
        "signature": f"{'c2ln' * 19}\n",
        "crypto": "x509",
        "certificate": "LS0t\nCRT\n",
    },
    {
        "msg_id": "2013-one-line",
        "topic": GIT,
        "category": "git",
        "timestamp": "2013-02-18 23:59:59",
        "signature": "c2ln" * 30,
        "crypto": "gpg",
        "users": ["ralph"],
    },
    {
        "msg_id": "2013-strange",
        "topic": GIT,
        "category": "git",
        "timestamp": "2013-03-31 02:30:00",
        "signature": 'not "base64" \\ é\n\t\\u0000',
        "crypto": "x509",
        "_headers": "{}",
        "packages": ["bash"],
    },
    {"msg_id": "2014-last", "timestamp": "2014-01-01 00:00:00", "_msg": '["a", 1.0, null]'},
]

#: As clients wrote it; the last statement is what SQLAlchemy made of `Message.grep`.
OLD_SQL = """
    SELECT count(*) FROM messages;
    SELECT * FROM messages ORDER BY timestamp;
    SELECT _msg FROM messages WHERE msg_id = '2013-first';
    SELECT msg_id FROM messages WHERE topic = 'org.fedoraproject.prod.git.receive' ORDER BY id;
    SELECT msg_id, i FROM messages WHERE topic LIKE '%.bodhi.%' ORDER BY timestamp DESC;
    SELECT count(*) FROM messages WHERE category = 'git'
        AND timestamp >= '2013-02-18' AND timestamp < '2013-02-19';
    SELECT msg_id FROM messages
        WHERE timestamp BETWEEN '2013-02-18' AND '2013-02-18 12:00:00.5' ORDER BY timestamp;
    SELECT msg_id FROM messages WHERE timestamp > timestamp '2013-12-31' + interval '5 hours';
    SELECT category, count(*) AS n FROM messages GROUP BY category ORDER BY n DESC, category;
    SELECT date_trunc('day', timestamp) AS day, count(*) FROM messages GROUP BY day ORDER BY day;
    SELECT msg_id, extract(epoch FROM timestamp)::float FROM messages ORDER BY id;
    SELECT max(timestamp), min(timestamp) FROM messages WHERE category = 'git';
    SELECT msg_id, crypto, signature, certificate FROM messages
        WHERE signature IS NOT NULL ORDER BY msg_id;
    SELECT msg_id FROM messages WHERE _headers IS NULL ORDER BY id;
    SELECT _msg::json ->> 'user' FROM messages WHERE _msg LIKE '%ralph%';
    SELECT name FROM "user" ORDER BY name;
    SELECT name FROM package WHERE name LIKE 'net%';
    SELECT username, msg FROM user_messages ORDER BY msg, username;
    SELECT m.topic, count(*) FROM messages m JOIN user_messages um ON um.msg = m.id
        WHERE um.username = 'ralph' GROUP BY m.topic ORDER BY m.topic;
    SELECT u.name, count(um.msg) FROM "user" u LEFT JOIN user_messages um ON um.username = u.name
        GROUP BY u.name ORDER BY u.name;
    SELECT p.name, m.msg_id FROM package p JOIN package_messages pm ON pm.package = p.name
        JOIN messages m ON m.id = pm.msg ORDER BY p.name, m.timestamp;
    SELECT messages.id AS messages_id, messages.msg_id AS messages_msg_id,
        messages.timestamp AS messages_timestamp, messages._msg AS messages__msg,
        messages._headers AS messages__headers
    FROM messages
    WHERE messages.timestamp >= '2013-02-18T00:00:00'::timestamp
        AND messages.timestamp <= '2013-04-01T00:00:00'::timestamp
        AND (EXISTS (SELECT 1 FROM user_messages, "user" WHERE messages.id = user_messages.msg
            AND "user".name = user_messages.username AND "user".name = 'ralph'))
    ORDER BY messages.timestamp DESC LIMIT 25 OFFSET 0
"""


def ask(url: str, sql: str, zone: str = "UTC") -> list[tuple[Any, ...]]:
    """What a client of the classic line is answered, whose search_path leads to the views."""
    return execute(url, f"SET search_path = classic, public; SET TimeZone = '{zone}'; {sql}")


def schemas(url: str) -> list[str]:
    return [name for (name,) in execute(url, "SELECT nspname FROM pg_namespace")]


@pytest.mark.parametrize("form", ["migrated", "created"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_old_statements_are_answered_as_before_the_upgrade(engine, empty_database, form, zone):
    make(empty_database, form)
    add(empty_database, ROWS)
    before = {sql: ask(empty_database, sql, zone) for sql in OLD_SQL.split(";")}
    migrations.upgrade(engine)
    for sql, answer in before.items():
        assert answer != [], sql
        assert ask(empty_database, sql, zone) == answer, sql


def test_the_columns_have_the_names_and_the_types_of_the_classic_line(engine, empty_database):
    columns = (
        "SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod) "
        "FROM pg_attribute WHERE attrelid = ANY(%s::regclass[]) AND attnum > 0 ORDER BY 1, attnum"
    )
    make(empty_database)
    before = execute(empty_database, columns, [[f'"{name}"' for name in VIEWS]])
    migrations.upgrade(engine)
    after = execute(
        empty_database,
        f"SET search_path = classic, public; {columns}",
        [[f'classic."{name}"' for name in VIEWS]],
    )
    # Numbers are larger than they could be.
    wider = {"integer": "bigint"}
    assert after == [(table, name, wider.get(kind, kind)) for table, name, kind in before]


def test_json_is_the_same_and_written_in_one_way(engine, empty_database):
    make(empty_database)
    add(empty_database, [{"msg_id": "2013-a", "_msg": '{"b":[1,2.0],"a":"w\\u00f6"}'}])
    migrations.upgrade(engine)
    ((text,),) = ask(empty_database, "SELECT _msg FROM messages")
    assert text == '{"b": [1, 2.0], "a": "w\\u00f6"}'


@pytest.mark.parametrize("timestamp", [1361166918, 1361166918.5, 1e9])
def test_a_signature_is_shown_as_it_was_sent(bound, timestamp):
    texts = [LONG_SIGNATURE, "no base64", "", r"\u0000", 'quoted "\\, }', "\U0001f600", None]
    keys = {"timestamp": timestamp, "crypto": "x509", "other": "\0 \ud83d"}
    assert add_all([envelope(signature=text, **keys) for text in texts]).stored == len(texts)
    shown = ask(bound, "SELECT signature FROM messages ORDER BY id")
    assert [text for (text,) in shown] == texts


@pytest.mark.parametrize("text", [r"\u0000", r"\ud83d", r"\uD83D", r"\ude00\ud83d", r"\ud83d\n"])
def test_who_stores_what_no_text_can_hold_does_not_make_the_view_fail(database, text):
    execute(
        database,
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg, extra) "
        "VALUES ('x', 0, 't', 'c', now(), '1', %s)",
        [f'{{"set": {{"signature": "{text}"}}}}'],
    )
    assert ask(database, "SELECT msg_id, signature FROM messages") == [("x", None)]


def test_nobody_writes_through_the_view_of_messages(database):
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="cannot delete from"):
        ask(database, "DELETE FROM messages")


def test_a_span_of_time_is_found_through_an_index(database):
    execute(
        database,
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) SELECT n::text, 0, 't', "
        "'c', timestamptz '2013-02-18 00:00+00' + n * interval '1 s', to_json(repeat('x', 1000)) "
        "FROM generate_series(1, 50000) AS n; ANALYZE messages",
    )
    sql = "SELECT msg_id FROM messages WHERE timestamp BETWEEN '2013-02-18 01:00' AND '{}'"
    plan = ask(database, f"EXPLAIN {sql.format('2013-02-18 01:01')}", "America/New_York")
    assert any("messages_timestamp_utc_idx" in line for (line,) in plan)
    found = ask(database, sql.format("2013-02-18 01:00:02"), "America/New_York")
    assert found == [("3600",), ("3601",), ("3602",)]


def test_tables_in_a_schema_of_their_own_are_the_ones_that_are_shown(empty_database):
    execute(
        empty_database,
        "CREATE SCHEMA archive; CREATE TABLE messages (other int); INSERT INTO messages VALUES (1)",
    )
    url = sa.make_url(empty_database).update_query_dict({"options": "-c search_path=archive"})
    engine = create_engine(url.render_as_string(hide_password=False))
    migrations.upgrade(engine)
    engine.dispose()
    assert ask(empty_database, "SELECT msg_id FROM messages") == []
    execute(
        empty_database,
        "INSERT INTO archive.messages (msg_id, i, topic, category, timestamp, msg) "
        "VALUES ('x', 0, 't', 'c', now(), '1')",
    )
    assert ask(empty_database, "SELECT msg_id FROM messages") == [("x",)]
    assert execute(empty_database, "SELECT * FROM messages") == [(1,)]


class TestTheSchema:
    def test_is_taken_if_it_is_empty_and_left_if_it_is_not(self, engine, alembic, empty_database):
        execute(empty_database, "CREATE SCHEMA classic")
        migrations.upgrade(engine)
        execute(empty_database, "CREATE TABLE classic.mine (); ")
        assert alembic("downgrade", BEFORE).returncode == 0
        assert execute(empty_database, "SELECT * FROM classic.mine") == []
        execute(empty_database, "DROP TABLE classic.mine")
        migrations.upgrade(engine)
        assert alembic("downgrade", BEFORE).returncode == 0
        assert "classic" not in schemas(empty_database)

    def test_of_somebody_else_is_left_alone_and_named(self, engine, alembic, empty_database):
        execute(empty_database, "CREATE SCHEMA classic; CREATE TABLE classic.messages (id int)")
        migrations.upgrade(engine, BEFORE)
        refused = alembic("upgrade", "+1")
        assert refused.returncode != 0
        assert "already has one. It belongs to" in refused.stderr
        assert "ALTER SCHEMA classic RENAME TO" in refused.stderr
        assert "Traceback" not in refused.stderr
        execute(empty_database, "ALTER SCHEMA classic RENAME TO theirs")
        assert alembic("upgrade", "+1").returncode == 0
        assert execute(empty_database, "SELECT * FROM theirs.messages") == []

    def test_that_is_taken_lets_create_db_make_nothing(self, run, empty_database):
        execute(empty_database, "CREATE SCHEMA classic; CREATE TABLE classic.mine ()")
        made = run("datanommer-create-db", "--url", empty_database)
        assert made.returncode == 1
        assert "ALTER SCHEMA classic RENAME TO" in made.stderr
        with pytest.raises(NotAtHead, match="is empty"):
            migrations.require_head(create_engine(empty_database))


def test_a_backup_brings_the_views_back(engine, empty_database, databases_of_server, tmp_path):
    make(empty_database)
    add(empty_database, ROWS)
    migrations.upgrade(engine)
    sql = "SELECT * FROM messages ORDER BY id"
    before = ask(empty_database, sql)
    name = databases_of_server.create()
    try:
        url = databases_of_server.url(name)
        save(empty_database, tmp_path / "dump")
        restore(tmp_path / "dump", url)
        assert ask(url, sql) == before != []
        migrations.require_head(create_engine(url))
    finally:
        databases_of_server.drop(name)
