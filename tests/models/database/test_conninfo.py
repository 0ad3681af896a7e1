"""What another library is told, so that it connects as the engine does."""

from __future__ import annotations

import contextlib

import psycopg2
import psycopg2.extensions
import sqlalchemy as sa

from datanommer.models.database.engine import conninfo, create_engine

PASSWORD = "p w'\\@:"


def told(url: str) -> dict[str, str]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return dict(psycopg2.extensions.parse_dsn(conninfo(connection)))
    finally:
        engine.dispose()


def test_it_has_what_the_url_has_and_the_limits_of_datanommer(database: str) -> None:
    url = sa.make_url(database).set(password=PASSWORD)
    query = {"sslmode": "prefer", "keepalives_idle": "7", "options": "-c lock_timeout=1s"}
    found = told(url.update_query_dict(query).render_as_string(hide_password=False))
    expected = {
        "user": url.username,
        "password": PASSWORD,
        "dbname": url.database,
        "sslmode": "prefer",
        "keepalives_idle": "7",
        "keepalives_count": "4",
        "application_name": "datanommer",
        "connect_timeout": "10",
    }
    assert expected.items() <= found.items()
    # As the engine has it: a pooler refuses those in the startup packet.
    assert not found.get("options")


def test_of_several_hosts_it_has_the_one_that_answered(database: str) -> None:
    url = sa.make_url(database)
    arguments = url.set(drivername="postgresql+psycopg2").get_dialect()().create_connect_args(url)
    host, port = (str(arguments[1].get(name) or "") for name in ("host", "port"))
    several = url.set(host=None, port=None).update_query_dict(
        {"host": f"127.0.0.1,{host}", "port": f"1,{port or 5432}"}
    )
    found = told(several.render_as_string(hide_password=False))
    assert (found["host"], found["port"]) == (host, port or "5432")
    with contextlib.closing(psycopg2.connect(**found)) as connection:
        assert connection.info.dbname == url.database
