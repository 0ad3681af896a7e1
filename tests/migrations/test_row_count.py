"""approximate_row_count, as datagrepper asks it of TimescaleDB."""

from __future__ import annotations

from classic import execute
from datanommer.models.database import migrations

INSERT = (
    "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
    "SELECT n::text, 0, 't' || n % 3, 'c', now(), '1' FROM generate_series(1, 1000) AS n"
)


def count(url: str, relation: str = "messages", path: str = "public") -> int:
    sql = f"SET search_path = {path}; SELECT approximate_row_count('{relation}')"
    ((number,),) = execute(url, sql)
    return int(number)


def test_the_number_of_messages_is_exact_before_the_table_is_analyzed(database):
    assert count(database) == 0
    execute(database, INSERT)
    execute(database, "DELETE FROM messages WHERE topic = 't0'")
    assert count(database) == 667
    assert count(database, path="classic, public") == 667


def test_other_tables_have_what_postgresql_estimates_and_never_less_than_nothing(database):
    execute(database, 'CREATE TABLE "Mine" AS SELECT generate_series(1, 100)')
    assert count(database, '"Mine"') == 0
    execute(database, 'ANALYZE "Mine"')
    assert count(database, '"Mine"') == 100


def test_it_is_stable_and_gives_a_bigint(database):
    assert execute(
        database,
        "SELECT provolatile::text, prorettype::regtype::text, oid::regprocedure::text "
        "FROM pg_proc WHERE proname = 'approximate_row_count'",
    ) == [("s", "bigint", "approximate_row_count(regclass)")]


def test_one_that_is_there_already_is_left_alone_and_named(engine, alembic, empty_database):
    migrations.upgrade(engine, "40d7a2c95be6")
    execute(
        empty_database,
        "CREATE FUNCTION approximate_row_count(relation regclass) RETURNS bigint "
        "LANGUAGE sql AS 'SELECT 7::bigint'",
    )
    refused = alembic("upgrade", "+1")
    assert refused.returncode != 0
    assert "DROP EXTENSION timescaledb" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert count(empty_database) == 7
