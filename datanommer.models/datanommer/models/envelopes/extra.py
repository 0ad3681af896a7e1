"""The column `extra`: what the other columns of a row cannot give back of an envelope.

The columns give back a body: a column that is NULL is an absent key. Where that body would differ
from the one received, `extra` holds the difference:

``{"set": {key: value}, "unset": [key], "envelope": {key: value}}``

`set` and `unset` turn the body that the columns give into the one received. `envelope` is where
the envelope differs from the columns. A body that is whole in its columns has no `extra`.

For a message from AMQP, `extra` may hold an `id` as well: the one that it was sent with, if its
`msg_id` does not show it (see `datanommer.models.preparing.fedora_messaging.sent_id`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Where the text of an `extra` holds the timestamp and the signature that were sent, as regular
#: expressions for PostgreSQL: its JSON operators fail on a document that holds \u0000 or half of a
#: surrogate pair anywhere. They rely on `difference`, which puts these two first.
SENT_TIMESTAMP = r'^\{"set": \{"timestamp": (-?[0-9.e+-]+)[,}]'
SENT_SIGNATURE = r'^\{"set": \{(?:"timestamp": [^,}]+, )?"signature": ("(?:[^"\\]|\\.)*")[,}]'
_FIRST = ("timestamp", "signature")

_ABSENT = object()


def difference(envelope: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """The `extra` of an envelope; empty where the columns give it back.

    Args:
        envelope: what was received; its body is an object.
        columns: those columns that are not NULL, and `msg`, under the body's keys.
    """
    body = envelope["body"]
    # The usual case, tested quickly. Only numbers can be equal and not the same: 1, 1.0 and true.
    if (
        columns == body
        and columns["i"] is body["i"]
        and columns["timestamp"] is body["timestamp"]
        and envelope == {"topic": columns["topic"], "body": body}
    ):
        return {}
    restored = restore_body(columns, None)
    changed = _changed(body, restored)
    first = {key: changed[key] for key in _FIRST if key in changed}
    of_columns = {"topic": columns["topic"], "headers": columns.get("headers"), "body": body}
    parts = {
        "set": {**first, **changed},
        "unset": [key for key in restored if key not in body],
        "envelope": _changed(envelope, of_columns),
    }
    return {name: part for name, part in parts.items() if part}


def _changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `new` that `old` lacks or has with another value (1 is not 1.0).

    They are sorted, so that a message which is dumped and loaded has the same difference.
    """
    changed = [
        (key, value)
        for key, value in new.items()
        if (kept := old.get(key, _ABSENT)) is not value
        and (type(kept) is not type(value) or kept != value)
    ]
    return dict(sorted(changed, key=lambda entry: str(entry[0]))) if changed else {}


def restore_body(columns: Mapping[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body that was received.

    Args:
        columns: the columns of a row under the body's keys, `timestamp` in epoch seconds.
        extra: the difference, as in this module's docstring.
    """
    body = {key: value for key, value in columns.items() if value is not None or key == "msg"}
    if extra:
        body.update(extra.get("set", {}))
        for key in extra.get("unset", ()):
            body.pop(key, None)
    return body


def restore_envelope(columns: Mapping[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The envelope that was received; the arguments are those of `restore_body`."""
    envelope = {"topic": columns["topic"], "body": restore_body(columns, extra)}
    if columns["headers"] not in (None, envelope["body"].get("headers")):
        envelope["headers"] = columns["headers"]
    return {**envelope, **(extra or {}).get("envelope", {})}
