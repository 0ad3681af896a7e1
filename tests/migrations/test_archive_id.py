"""The id of an archive, by which a data set knows it."""

from __future__ import annotations

import psycopg2
import pytest

from classic import execute

ID = "SELECT id::text FROM archive"


def test_there_is_one_and_never_a_second(database: str) -> None:
    assert len(execute(database, ID)) == 1
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(database, "INSERT INTO archive DEFAULT VALUES")


def test_each_archive_has_its_own(alembic, database: str, empty_database: str) -> None:
    assert alembic("upgrade", "head").returncode == 0
    assert execute(database, ID) != execute(empty_database, ID)


def test_it_may_be_read_by_whoever_may_read_the_counts(alembic, empty_database: str) -> None:
    assert alembic("upgrade", "b7f3e50c1a64").returncode == 0
    execute(empty_database, "GRANT SELECT ON topics TO PUBLIC")
    assert alembic("upgrade", "head").returncode == 0
    granted = (
        "SELECT grantee::text, privilege_type::text FROM information_schema.role_table_grants "
        "WHERE table_name = 'archive' AND grantee = 'PUBLIC'"
    )
    assert execute(empty_database, granted) == [("PUBLIC", "SELECT")]
