"""A message as one JSON object: what the commands print, and what they load again.

A record has the twelve keys of the classic line, `topic` and `msg` first; then `users`,
`packages` and, where the message has one, `extra`. An absent key of the body is null.
`timestamp` is epoch seconds, in the form that the sender gave (int or float).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from datanommer.models import extraction, fedora_messaging, message
from datanommer.models.database import bound_engine
from datanommer.models.errors import NotStorable
from datanommer.models.message import Row
from datanommer.models.store import Reject, prepare, reject


def _text(column: str) -> str:
    return f"coalesce(to_json({column})::text, 'null')"


def _names(table: str) -> str:
    return (
        f"coalesce((SELECT json_agg(a.name ORDER BY a.name) FROM {table} a "
        "WHERE a.msg = m.id)::text, '[]')"
    )


# The form of a timestamp that its column does not tell stands first in `extra`: message.py writes
# it there. It is read as text, because the JSON operators fail on a document that holds \u0000.
_SENT_TIMESTAMP = r"""substring(m.extra::text FROM '^\{"set": \{"timestamp": (-?[0-9.e+-]+)[,}]')"""
_EPOCH = "trim_scale(extract(epoch FROM m.timestamp))::text"

#: A record as SQL, a text made of a row of `messages m` and `certificates c`. Concatenation is the
#: fastest way to JSON that PostgreSQL has, and passes the sender's text through untouched.
SQL = f"""
    '{{"topic": ' || {_text("m.topic")}
    || ', "msg": ' || m.msg::text
    || ', "msg_id": ' || {_text("m.msg_id")}
    || ', "i": ' || m.i
    || ', "timestamp": ' || coalesce({_SENT_TIMESTAMP}, {_EPOCH})
    || ', "username": ' || {_text("m.username")}
    || ', "crypto": ' || {_text("m.crypto")}
    || ', "certificate": ' || {_text("c.body")}
    || ', "signature": ' || {_text("m.signature")}
    || ', "source_name": ' || {_text("m.source_name")}
    || ', "source_version": ' || {_text("m.source_version")}
    || ', "headers": ' || coalesce(m.headers::text, 'null')
    || ', "users": ' || {_names("user_messages")}
    || ', "packages": ' || {_names("package_messages")}
    || coalesce(', "extra": ' || m.extra::text, '') || '}}'
"""
#: The columns of a `Row`. The JSON as text: PostgreSQL passes it through, and Python reads it once.
ROW = """
    m.msg_id, m.i, m.topic, m.category, m.timestamp AT TIME ZONE 'UTC' AS timestamp, m.username,
    m.crypto, c.body AS certificate, m.signature, m.source_name, m.source_version,
    m.msg::text AS msg, m.headers::text AS headers, m.extra::text AS extra
"""
#: What `SQL` and `ROW` read.
FROM = "FROM messages m LEFT JOIN certificates c ON c.id = m.certificate_id"


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
    conditions = {
        "m.timestamp >= %s": since and message.as_utc(since),
        "m.timestamp <= %s": before and message.as_utc(before),
        "m.topic = %s": topic,
        "m.category = %s": category,
    }
    asked = {sql: value for sql, value in conditions.items() if value is not None}
    where = f"WHERE {' AND '.join(asked)}" if asked else ""
    lines = _ListLines(output) if as_list else output
    with bound_engine().connect() as connection:
        cursor = connection.connection.cursor()
        query = f"SELECT {SQL} {FROM} {where} ORDER BY m.timestamp, m.id"
        select = cursor.mogrify(query, list(asked.values())).decode()
        # A quote and a delimiter that JSON cannot hold: CSV then passes it through untouched,
        # where COPY's own text format would double each backslash.
        copy = rf"COPY ({select}) TO STDOUT (FORMAT csv, QUOTE e'\x01', DELIMITER e'\x02')"
        cursor.copy_expert(copy, lines)
    if isinstance(lines, _ListLines):
        lines.end()


class _ListLines:
    """Turns lines into the elements of a JSON list, a line each."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._before = b"[\n"

    def write(self, line: bytes) -> None:
        self._output.write(self._before + line.removesuffix(b"\n"))
        self._before = b",\n"

    def end(self) -> None:
        opening = self._before if self._before.startswith(b"[") else b"\n"
        self._output.write(opening + b"]\n")


def parse(value: Any) -> Row | Reject:
    """What is to be stored of a record, or of another form of a message.

    Args:
        value: a record; an envelope (``topic`` and ``body``); a line of ``fedora-messaging
            publish`` or ``record`` (``topic``, ``body`` and ``id``); a line that
            `datanommer.models.rejected.export` wrote. Anything else is rejected.
    """
    if isinstance(value, dict) and value.keys() == {"rejected", "raw"}:
        value = value["raw"]
    if not isinstance(value, dict) or "body" in value or "msg" not in value:
        is_line = isinstance(value, dict) and fedora_messaging.is_line(value)
        return fedora_messaging.prepare(value) if is_line else prepare(value)
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
