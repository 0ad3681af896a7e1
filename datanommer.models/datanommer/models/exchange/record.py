"""A message as one JSON object: what the commands print, and what they load again.

A record has the twelve keys of the classic line, `topic` and `msg` first; then `users`,
`packages`, `agent` and, where the message has one, `extra`. An absent key of the body is null.
`timestamp` is epoch seconds, in the form that the sender gave (int or float).
"""

from __future__ import annotations

from typing import Any

from datanommer.models.envelopes import extra, fields
from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.envelopes.signature_bytes import ONE_LINE
from datanommer.models.errors import NotStorable
from datanommer.models.preparing import concerned, fedora_messaging
from datanommer.models.preparing.preparation import Item, prepare


def _text(column: str) -> str:
    return f"coalesce(to_json({column})::text, 'null')"


def _signature_text() -> str:
    """SQL for the text of a signature as a JSON string, as `signature_bytes.unpack` gives it."""
    # PostgreSQL breaks the lines at 76 characters, too, but writes no newline at the end.
    lines = "rtrim(encode(m.signature, 'base64'), chr(10))"
    return (
        f"""CASE m.crypto WHEN '{ONE_LINE}' THEN '"' || replace({lines}, chr(10), '') || '"' """
        rf"""ELSE '"' || replace({lines}, chr(10), '\n') || '\n"' END"""
    )


# What their columns cannot give back of these two, `extra` holds.
_SENT_TIMESTAMP = f"substring(m.extra::text FROM '{extra.SENT_TIMESTAMP}')"
_SENT_SIGNATURE = f"substring(m.extra::text FROM '{extra.SENT_SIGNATURE}')"
_SIGNATURE = f"coalesce({_signature_text()}, {_SENT_SIGNATURE}, 'null')"
# PostgreSQL writes a float as Python does: as short as can be, and the same when it is read.
_EPOCH = "date_part('epoch', m.timestamp)::text"

#: The fields of a record as SQL, each the text of its JSON, made of a row of `messages m` and of
#: what `JOINS` finds for it. What the sender wrote passes through untouched.
FIELDS = {
    "topic": _text("m.topic"),
    "msg": "m.msg::text",
    "msg_id": _text("m.msg_id"),
    "i": "m.i::text",
    "timestamp": f"coalesce({_SENT_TIMESTAMP}, {_EPOCH})",
    "username": _text("m.username"),
    "crypto": _text("m.crypto"),
    "certificate": "coalesce(c.json, 'null')",
    "signature": _SIGNATURE,
    "source_name": _text("m.source_name"),
    "source_version": _text("m.source_version"),
    "headers": "coalesce(m.headers::text, 'null')",
    "users": "coalesce(u.names::text, '[]')",
    "packages": "coalesce(p.names::text, '[]')",
    "agent": _text("m.agent"),
}
_FIELDS = ", ', ', ".join(f"""'"{name}": ', {sql}""" for name, sql in FIELDS.items())
#: A record as SQL, a text. `concat` is the fastest way to JSON that PostgreSQL has (a chain of ||
#: copies the text again and again).
SQL = f"""concat('{{', {_FIELDS}, ', "extra": ' || m.extra::text, '}}')"""
#: The certificate of a message. PostgreSQL remembers the result of a subquery, and a host sends the
#: same certificate with each message.
CERTIFICATE = """
    LEFT JOIN LATERAL (
        SELECT to_json(body)::text AS json FROM certificates WHERE id = m.certificate_id OFFSET 0
    ) c ON true
"""
#: What the fields need besides `messages m`, looked up for each row: for a few rows.
JOINS = {
    "certificate": CERTIFICATE,
    "users": """
        CROSS JOIN LATERAL (
            SELECT json_agg(name ORDER BY name) AS names FROM user_messages WHERE msg = m.id
        ) u
    """,
    "packages": """
        CROSS JOIN LATERAL (
            SELECT json_agg(name ORDER BY name) AS names FROM package_messages WHERE msg = m.id
        ) p
    """,
}

# What an export of rejects has.
_OF_REJECT = {"rejected", "raw"}


def is_message(value: Any) -> bool:
    """Whether a value has the form of a message, be it one that can be stored or not."""
    return isinstance(value, dict) and bool(
        {"body", "msg"} & value.keys() or value.keys() == _OF_REJECT
    )


def parse(value: Any) -> Item:
    """The row or the reject of a record, or of another form of a message.

    Args:
        value: a record; an envelope (``topic`` and ``body``); a line of ``fedora-messaging
            publish`` or ``record`` (``topic``, ``body`` and ``id``); a line that
            `datanommer.models.rejecting.listing.export` wrote. Anything else is rejected.
    """
    if isinstance(value, dict) and value.keys() == _OF_REJECT:
        return parse_reject(value["raw"])
    if isinstance(value, dict) and fedora_messaging.is_line(value):
        return fedora_messaging.prepare(value)
    return parse_reject(value)


def parse_reject(value: Any) -> Item:
    """The same for what was rejected: a record or an envelope, whatever keys it has."""
    if not isinstance(value, dict) or "body" in value or "msg" not in value:
        return prepare(value)
    try:
        envelope, assigned = _envelope_of(value)
        row = Row.from_envelope(envelope, assigned, sent_id=_sent_id(value))
    except NotStorable as error:
        return Reject.of_received(value, error)
    if "users" in value or "packages" in value:
        row.users = fields.storable_names(value.get("users"))
        row.packages = fields.storable_names(value.get("packages"))
        if "agent" not in value:
            row.agent = concerned.find_agent(envelope["body"])
    else:
        concerned.tell(row, envelope["body"])
    if "agent" in value:
        row.agent = fields.storable_name(value["agent"])
    return row


def _sent_id(record: dict[str, Any]) -> str | None:
    kept = fields.first_dict(record.get("extra")) or {}
    return fields.first_text(kept.get("id"))


def _envelope_of(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The envelope of a record, and the id and the time that the message has in the archive."""
    own = {"users", "packages", "agent", "extra"}
    columns = {
        "topic": None,
        "headers": None,
        **{key: value for key, value in record.items() if key not in own},
    }
    assigned = {key: record[key] for key in ("msg_id", "timestamp") if record.get(key) is not None}
    try:
        return extra.restore_envelope(columns, record.get("extra")), assigned
    except (AttributeError, TypeError, ValueError):
        raise NotStorable("invalid", "the extra of the record is not what a dump writes") from None
