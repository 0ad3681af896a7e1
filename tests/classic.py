"""Databases of the classic line, as they are found in production."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import psycopg2
from psycopg2.extras import execute_values

#: `migrated` by the classic migrations, or made at once by the classic `create_all`.
Form = Literal["migrated", "created"]

_TABLES = """
    CREATE TABLE messages (
        id serial PRIMARY KEY,
        msg_id text,
        i integer NOT NULL,
        topic text NOT NULL,
        timestamp timestamp without time zone NOT NULL,
        certificate text,
        signature text,
        category text NOT NULL,
        username text,
        crypto text,
        source_name text,
        source_version text,
        _msg text NOT NULL,
        _headers text
    );
    CREATE TABLE "user" (name text NOT NULL PRIMARY KEY);
    CREATE TABLE package (name text NOT NULL PRIMARY KEY);
"""
_MIGRATED = """
    ALTER TABLE messages ADD CONSTRAINT messages_msg_id_key UNIQUE (msg_id);
    CREATE INDEX index_msg_topic ON messages (topic);
    CREATE INDEX messages_topic_id ON messages (topic);
    CREATE INDEX index_msg_category ON messages (category);
    CREATE INDEX messages_category_id ON messages (category);
    CREATE TABLE user_messages (
        username text REFERENCES "user" (name), msg integer REFERENCES messages (id)
    );
    CREATE TABLE package_messages (
        package text REFERENCES package (name), msg integer REFERENCES messages (id)
    );
    CREATE TABLE alembic_version (version_num varchar(32) NOT NULL);
    INSERT INTO alembic_version VALUES ('57be773be52b');
"""
_CREATED = """
    CREATE UNIQUE INDEX ix_messages_msg_id ON messages (msg_id);
    CREATE INDEX ix_messages_topic ON messages (topic);
    CREATE INDEX ix_messages_category ON messages (category);
    CREATE INDEX ix_messages_timestamp ON messages (timestamp);
    CREATE TABLE user_messages (
        username text NOT NULL REFERENCES "user" (name),
        msg integer NOT NULL REFERENCES messages (id),
        PRIMARY KEY (username, msg)
    );
    CREATE TABLE package_messages (
        package text NOT NULL REFERENCES package (name),
        msg integer NOT NULL REFERENCES messages (id),
        PRIMARY KEY (package, msg)
    );
"""
_DEFAULTS: dict[str, Any] = {
    "msg_id": None,
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
    "_msg": "{}",
    "_headers": None,
}


def make(url: str, form: Form = "migrated") -> None:
    """Make the classic schema in an empty database."""
    execute(url, _TABLES + (_MIGRATED if form == "migrated" else _CREATED))


def add(url: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add messages: the columns of `messages`, and lists of `users` and `packages`."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for row in rows:
            values = {**_DEFAULTS, **row}
            users, packages = values.pop("users", []), values.pop("packages", [])
            cursor.execute(
                f"INSERT INTO messages ({', '.join(values)}) VALUES %s RETURNING id",
                [tuple(values.values())],
            )
            (number,) = cursor.fetchone()
            for table, names in (("user", users), ("package", packages)):
                execute_values(
                    cursor,
                    f'INSERT INTO "{table}" VALUES %s ON CONFLICT DO NOTHING',
                    [(name,) for name in names],
                )
                execute_values(
                    cursor,
                    f"INSERT INTO {table}_messages VALUES %s",
                    [(name, number) for name in names],
                )
    connection.close()


def execute(url: str, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run SQL on its own connection, in UTC, and give back the rows."""
    connection = psycopg2.connect(url, options="-c timezone=UTC")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()
