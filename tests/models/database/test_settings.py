"""PostgreSQL's settings are those of each transaction, from the caller and from the URL."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from datanommer.models.database import settings
from datanommer.models.database.engine import create_engine
from datanommer.models.errors import ConfigurationError
from shell import Run


@contextmanager
def engine_of(url: str, callers: dict[str, str] | None = None) -> Iterator[sa.Engine]:
    engine = create_engine(url, settings=callers)
    yield engine
    engine.dispose()


def with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


def current(connection: sa.Connection, name: str) -> object:
    return connection.scalar(sa.text("SELECT current_setting(:name)"), {"name": name})


def test_each_transaction_is_in_utc_also_where_rows_are_streamed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "America/New_York")
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=9s")
    with engine_of(with_query(database, "options=-c TimeZone=Asia/Tokyo")) as engine:
        for options in ({}, {"yield_per": 1}, {"stream_results": True}):
            with engine.connect().execution_options(**options) as connection:
                for _ in range(2):
                    assert current(connection, "timezone") == "UTC"
                    assert current(connection, "lock_timeout") == "0"
                    connection.rollback()


def test_the_url_takes_precedence_over_the_caller(database: str) -> None:
    url = with_query(database, "options=-c lock_timeout=1s --statement-timeout=2s")
    callers = {"lock_timeout": "3s", "idle_in_transaction_session_timeout": "4s"}
    with engine_of(url, callers) as engine, engine.connect() as connection:
        assert current(connection, "lock_timeout") == "1s"
        assert current(connection, "statement_timeout") == "2s"
        assert current(connection, "idle_in_transaction_session_timeout") == "4s"


def test_the_settings_take_one_statement_a_transaction(database: str) -> None:
    asked: list[str] = []
    with engine_of(database, {"lock_timeout": "1s"}) as engine:
        sa.event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            connection.execute(sa.text("SELECT 2"))
    assert [statement.partition("(")[0] for statement in asked] == [
        "SELECT set_config",
        "SELECT 1",
        "SELECT 2",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {}),
        ("  -c  lock_timeout=1s ", {"lock_timeout": "1s"}),
        ("-clock_timeout=1s --Work-Mem=2MB", {"lock_timeout": "1s", "work_mem": "2MB"}),
        ("-c a.b=1 -c a.b=2", {"a.b": "2"}),
        (r"-c search_path=a,\ b -c x.y=\\", {"search_path": "a, b", "x.y": "\\"}),
        ("-c x.y= -c x.z==-c", {"x.y": "", "x.z": "=-c"}),
    ],
)
def test_options_are_read_as_postgresql_reads_them(options: str, expected: dict[str, str]) -> None:
    assert settings.parse(options) == expected


@pytest.mark.parametrize(
    "options",
    [
        "s3cret",
        "-c",
        "-c s3cret",
        "-c =s3cret",
        "-S 64",
        "-c a.b=1 s3cret",
        "-c a.b=\\",
        "-c a.b=\0",
    ],
)
def test_other_options_are_refused_with_the_form_that_works(database: str, options: str) -> None:
    with pytest.raises(ConfigurationError, match="Write each setting as -c name=value") as told:
        create_engine(with_query(database, f"options={urllib.parse.quote(options)}"))
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    "name", ["default_transaction_read_only", "idle_session_timeout", "client_encoding"]
)
def test_what_only_a_session_can_have_is_refused_with_the_way_that_works(
    database: str, run: Run, name: str
) -> None:
    result = run("datanommer-stats", "--url", with_query(database, f"options=-c {name}=s3cret"))
    assert result.returncode == 2
    assert f"ALTER ROLE ... SET {name} = ..." in result.stderr
    assert "s3cret" not in result.stderr


def test_a_value_that_postgresql_refuses_is_told(database: str, run: Run) -> None:
    result = run("datanommer-stats", "--url", with_query(database, "options=-c lock_timeout=soon"))
    assert result.returncode == 1
    assert 'invalid value for parameter "lock_timeout": "soon"' in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("query", ["", "target_session_attrs=read-write"])
def test_the_second_host_is_used_where_the_first_is_down(
    database: str, run: Run, query: str
) -> None:
    url = sa.make_url(database)
    host = urllib.parse.quote(str(url.host or url.query["host"]), safe="")
    port = url.port or url.query["port"]
    several = f"postgresql://{url.username}@127.0.0.1:1,{host}:{port}/{url.database}?{query}"
    for command in ("create-db", "stats", "dump"):
        result = run(f"datanommer-{command}", "--url", several)
        assert result.returncode == 0, result.stderr
