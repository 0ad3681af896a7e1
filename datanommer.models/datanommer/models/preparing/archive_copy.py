"""A message as another archive gives it: the columns of its table, and not what was sent.

That is how a datagrepper (the HTTP interface of an archive) and a table written as CSV give it.
`restored` undoes that, as far as the columns tell; docs/what-is-stored.rst says what stays
different.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from datanommer.models.envelopes import fields, identity
from datanommer.models.errors import NotStorable

# The columns that an archive gives as null, or as an empty object, where a message has no such key.
_OPTIONAL_KEYS = ("certificate", "crypto", "headers", "signature", "username")
# What an archive adds (source: fedmsg.crypto.utils, fedmsg 1.1.7; datagrepper 1.1.0; `as_dict`).
_MARKS = ("source_name", "source_version")
_NAMES = ("users", "packages", "agent")
# The newer line's key for `username`. For a message from AMQP, it names who did it.
_AGENT = "agent_name"
_ADDED_KEYS = (*_MARKS, *_NAMES, _AGENT, "category", "id")


def to_record(message: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a message, for `datanommer.models.exchange.parser.parse`.

    Args:
        message: its columns by their names, such as one of a datagrepper's ``raw_messages``. The
            names of users and packages, and of the agent, are taken as they are.
    """
    body = restored({**dict.fromkeys(_MARKS), **message})
    names = {name: message[name] for name in _NAMES if name in message}
    agent = message.get(_AGENT) or message.get("username")
    if agent and agent != body.get("username"):
        names.setdefault("agent", agent)
    return {**body, **names}


def restored(message: dict[str, Any]) -> dict[str, Any]:
    """The body of a message as it was sent, as far as the columns of an archive tell.

    Args:
        message: its columns by their names. One without those that an archive adds is returned
            as it is.
    """
    if any(mark not in message for mark in _MARKS):
        return message
    columns = {"username": message.get(_AGENT), **message}
    body = {key: value for key, value in columns.items() if key not in _ADDED_KEYS}
    if _came_over_amqp(body):
        _restore_amqp(body)
    for key in _OPTIONAL_KEYS:
        if body.get(key) in (None, {}):
            body.pop(key, None)
    # fedmsg sends whole seconds, and an archive gives them as a float.
    sent = body.get("timestamp")
    if isinstance(sent, float) and sent.is_integer():
        body["timestamp"] = int(sent)
    return body


def _came_over_amqp(body: Mapping[str, Any]) -> bool:
    headers = body.get("headers")
    return isinstance(headers, dict) and "sent-at" in headers


def _restore_amqp(body: dict[str, Any]) -> None:
    """Undo what is of AMQP alone: there, an id has no year, and nobody counts messages."""
    if body.get("i") == 0:
        del body["i"]
        # This holds the agent. Only fedmsg, and a bridge from it, sends such a key.
        body["username"] = None
    if isinstance(body.get("msg_id"), str):
        with contextlib.suppress(NotStorable):
            year = fields.read_timestamp(body.get("timestamp")).year
            body["msg_id"] = identity.with_year(body["msg_id"], year)
