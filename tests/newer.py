"""Databases of the newer line, as Fedora runs one since 2021; on plain tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from psycopg2.extras import Json

from classic import execute

_SCHEMA = """
    CREATE TABLE messages (
        id serial NOT NULL,
        msg_id varchar,
        i integer NOT NULL,
        topic varchar NOT NULL,
        timestamp timestamp without time zone NOT NULL,
        certificate text,
        signature text,
        category varchar NOT NULL,
        agent_name varchar,
        crypto text,
        source_name varchar,
        source_version varchar,
        msg {json} NOT NULL,
        headers jsonb,
        PRIMARY KEY (id, timestamp),
        UNIQUE (msg_id, timestamp)
    );
    CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
    CREATE TABLE packages (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
    CREATE TABLE users_messages (
        user_id integer NOT NULL REFERENCES users (id),
        msg_id integer NOT NULL,
        msg_timestamp timestamp without time zone NOT NULL
    );
    CREATE TABLE packages_messages (
        package_id integer NOT NULL REFERENCES packages (id),
        msg_id integer NOT NULL,
        msg_timestamp timestamp without time zone NOT NULL
    );
    CREATE TABLE alembic_version (version_num varchar(32) NOT NULL);
    INSERT INTO alembic_version VALUES ('f6918385051f');
"""
_MESSAGE = """
    INSERT INTO messages (
        msg_id, i, topic, timestamp, certificate, signature, category, agent_name, crypto,
        source_name, source_version, msg, headers
    ) VALUES (
        %(msg_id)s, %(i)s, %(topic)s, to_timestamp(%(timestamp)s), %(certificate)s, %(signature)s,
        %(category)s, %(agent_name)s, %(crypto)s, 'datanommer', '1.5.0', %(msg)s, %(headers)s
    ) RETURNING id, timestamp
"""
_NAME = """
    WITH known AS (
        INSERT INTO {what}s (name) VALUES (%(name)s)
        ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
    )
    INSERT INTO {what}s_messages SELECT id, %(msg)s, %(timestamp)s FROM known
"""


def make(url: str, json_type: Literal["text", "jsonb"] = "text") -> None:
    """Make the schema of the newer line in an empty database; both types of `msg` are found."""
    execute(url, _SCHEMA.format(json=json_type))


def add(url: str, messages: Iterable[Mapping[str, Any]]) -> None:
    """Add messages: the keys of a datagrepper's answer, and maybe `users` and `packages`."""
    for message in messages:
        columns = {
            "category": "test",
            "agent_name": message.get("username"),
            **message,
            "msg": json.dumps(message["msg"]),
            "headers": Json(message["headers"]),
        }
        ((row_id, timestamp),) = execute(url, _MESSAGE, columns)
        for what in ("user", "package"):
            for name in message.get(f"{what}s", ()):
                named = {"name": name, "msg": row_id, "timestamp": timestamp}
                execute(url, _NAME.format(what=what), named)
