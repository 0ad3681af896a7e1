"""A message as one JSON object: what the commands print, and what they load again.

A record has the twelve keys of the classic line, `topic` and `msg` first; then `users`,
`packages` and, where the message has one, `extra`. An absent key of the body is null.
`timestamp` is epoch seconds, in the form that the sender gave (int or float).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from datanommer.models import extraction, fedora_messaging, message, packing
from datanommer.models.database import bound_engine
from datanommer.models.errors import NotStorable
from datanommer.models.message import Row
from datanommer.models.store import Reject, prepare, reject


def _text(column: str) -> str:
    return f"coalesce(to_json({column})::text, 'null')"


# What their columns do not tell of a timestamp and a signature stands first in `extra`: message.py
# writes it there. It is read as text, because the JSON operators fail on a document that holds
# \u0000.
_SENT_TIMESTAMP = r"""substring(m.extra::text FROM '^\{"set": \{"timestamp": (-?[0-9.e+-]+)[,}]')"""
_SENT_SIGNATURE = (
    r"""substring(m.extra::text FROM """
    r"""'^\{"set": \{(?:"timestamp": [^,}]+, )?"signature": ("(?:[^"\\]|\\.)*")[,}]')"""
)
_SIGNATURE = f"""coalesce({packing.sql("m.signature", "m.crypto")}, {_SENT_SIGNATURE}, 'null')"""
# PostgreSQL writes a float as Python does: as short as can be, and the same when it is read.
_EPOCH = "date_part('epoch', m.timestamp)::text"

#: A record as SQL, a text made of a row of `messages m` and of what `JOINS` finds for it. `concat`
#: is the fastest way to JSON that PostgreSQL has (a chain of || copies the text again and again),
#: and passes what the sender wrote through untouched.
SQL = f"""
    concat(
        '{{"topic": ', {_text("m.topic")},
        ', "msg": ', m.msg,
        ', "msg_id": ', {_text("m.msg_id")},
        ', "i": ', m.i,
        ', "timestamp": ', coalesce({_SENT_TIMESTAMP}, {_EPOCH}),
        ', "username": ', {_text("m.username")},
        ', "crypto": ', {_text("m.crypto")},
        ', "certificate": ', coalesce(c.json, 'null'),
        ', "signature": ', {_SIGNATURE},
        ', "source_name": ', {_text("m.source_name")},
        ', "source_version": ', {_text("m.source_version")},
        ', "headers": ', coalesce(m.headers::text, 'null'),
        ', "users": ', coalesce(u.names::text, '[]'),
        ', "packages": ', coalesce(p.names::text, '[]'),
        ', "extra": ' || m.extra::text,
        '}}'
    )
"""
#: The columns of a `Row`. The JSON as text: PostgreSQL passes it through, and Python reads it once.
ROW = """
    m.msg_id, m.i, m.topic, m.category, m.timestamp AT TIME ZONE 'UTC' AS timestamp, m.username,
    m.crypto, c.body AS certificate, m.signature, m.source_name, m.source_version,
    m.msg::text AS msg, m.headers::text AS headers, m.extra::text AS extra
"""
#: What `ROW` reads.
FROM = "FROM messages m LEFT JOIN certificates c ON c.id = m.certificate_id"
# As a subquery, PostgreSQL remembers its result: a host has the same certificate in each message.
_CERTIFICATE = """
    LEFT JOIN LATERAL (
        SELECT to_json(body)::text AS json FROM certificates WHERE id = m.certificate_id OFFSET 0
    ) c ON true
"""
#: What `SQL` needs besides `messages m`, looked up for each row: for a few rows.
JOINS = f"""
    {_CERTIFICATE}
    CROSS JOIN LATERAL (
        SELECT json_agg(name ORDER BY name) AS names FROM user_messages WHERE msg = m.id
    ) u
    CROSS JOIN LATERAL (
        SELECT json_agg(name ORDER BY name) AS names FROM package_messages WHERE msg = m.id
    ) p
"""


# PostgreSQL writes the commas of a list: Python would have to touch each line.
_COMMA = """
    || CASE WHEN m.id = (
        SELECT m.id FROM messages m {where} ORDER BY m.timestamp DESC, m.id DESC LIMIT 1
    ) THEN '' ELSE ',' END
"""


def _dump(where: str, *, as_list: bool) -> str:
    """The query of a dump: names are sorted as the messages are, and merged with them."""

    def names(table: str) -> str:
        # Rows here have the timestamp of their message.
        source = (
            f"FROM {table} a JOIN messages m ON m.id = a.msg {where}"
            if where
            else f"FROM {table} a"
        )
        return f"""(
            SELECT timestamp, msg, json_agg(name) AS names FROM (
                SELECT a.timestamp, a.msg, a.name {source} ORDER BY timestamp, msg, name
            ) sorted GROUP BY timestamp, msg
        )"""

    line = SQL + _COMMA.format(where=where) if as_list else SQL
    return f"""
        SELECT {line} FROM messages m {_CERTIFICATE}
        LEFT JOIN {names("user_messages")} u ON u.timestamp = m.timestamp AND u.msg = m.id
        LEFT JOIN {names("package_messages")} p ON p.timestamp = m.timestamp AND p.msg = m.id
        {where} ORDER BY m.timestamp, m.id
    """


class Output(Protocol):
    """A binary stream to write to."""

    def write(self, data: bytes, /) -> object: ...


def dump(
    output: Output,
    *,
    since: datetime | None = None,
    before: datetime | None = None,
    topic: str | None = None,
    category: str | None = None,
    as_list: bool = False,
) -> None:
    """Write the records of all messages in order of (timestamp, id), one a line, in UTF-8.

    The memory that this takes does not depend on how many there are.

    Args:
        output: where to write.
        since: no message older than this (naive is UTC).
        before: no message newer than this (naive is UTC).
        topic: only this topic.
        category: only this category.
        as_list: make the lines one JSON list.

    Raises:
        OSError: `output` cannot be written.
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed.
    """
    asked = {
        "m.timestamp >= %(since)s": since and message.as_utc(since),
        "m.timestamp <= %(before)s": before and message.as_utc(before),
        "m.topic = %(topic)s": topic,
        "m.category = %(category)s": category,
    }
    conditions = " AND ".join(sql for sql, value in asked.items() if value is not None)
    values = dict(zip(("since", "before", "topic", "category"), asked.values(), strict=True))
    with bound_engine().connect() as connection:
        cursor = connection.connection.cursor()
        query = _dump(f"WHERE {conditions}" if conditions else "", as_list=as_list)
        select = cursor.mogrify(query, values).decode()
        # It compiles for longer than it then saves.
        cursor.execute("SET LOCAL jit = off")
        # A quote and a delimiter that JSON cannot hold: CSV then passes it through untouched,
        # where COPY's own text format would double each backslash.
        copy = rf"COPY ({select}) TO STDOUT (FORMAT csv, QUOTE e'\x01', DELIMITER e'\x02')"
        output.write(b"[\n" if as_list else b"")
        cursor.copy_expert(copy, output)
        output.write(b"]\n" if as_list else b"")


def parse(value: Any) -> Row | Reject:
    """What is to be stored of a record, or of another form of a message.

    Args:
        value: a record; an envelope (``topic`` and ``body``); a line of ``fedora-messaging
            publish`` or ``record`` (``topic``, ``body`` and ``id``); a line that
            `datanommer.models.rejected.export` wrote. Anything else is rejected.
    """
    if isinstance(value, dict) and value.keys() == {"rejected", "raw"}:
        return parse_reject(value["raw"])
    if isinstance(value, dict) and fedora_messaging.is_line(value):
        return fedora_messaging.prepare(value)
    return parse_reject(value)


def parse_reject(value: Any) -> Row | Reject:
    """The same of what was rejected: a record or an envelope, whatever its keys and headers are."""
    if not isinstance(value, dict) or "body" in value or "msg" not in value:
        return prepare(value)
    try:
        envelope, given = _envelope_of(value)
        row = message.from_envelope(envelope, given)
    except NotStorable as error:
        return reject(value, error)
    if "users" in value or "packages" in value:
        row.users = message.storable_names(value.get("users"))
        row.packages = message.storable_names(value.get("packages"))
    else:
        row.users, row.packages = extraction.extract(envelope["body"])
    return row


def _envelope_of(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The envelope that a record was made of, and what the archive gave to it."""
    own = {"users", "packages", "extra"}
    columns = {
        "topic": None,
        "headers": None,
        **{key: value for key, value in record.items() if key not in own},
    }
    given = {key: record[key] for key in ("msg_id", "timestamp") if record.get(key) is not None}
    try:
        return message.restore_envelope(columns, record.get("extra")), given
    except (AttributeError, TypeError, ValueError):
        raise NotStorable("invalid", "the extra of the record is not what a dump writes") from None
