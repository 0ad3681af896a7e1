"""A message as one JSON object: what the commands print, and what they load again.

A record has the twelve keys of the classic line, `topic` and `msg` first; then `users`,
`packages`, `agent` and, where the message has one, `extra`. An absent key of the body is null.
`timestamp` is epoch seconds, in the form that the sender gave (int or float).
"""

from __future__ import annotations

from datanommer.models.envelopes import extra
from datanommer.models.envelopes.signature_bytes import ONE_LINE


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


# `extra` holds what the columns of these two cannot give back.
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
#: What the fields need besides `messages m`, looked up row by row: good for a few rows.
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
