"""A message of fedora-messaging as an envelope of the bus, and back.

Such a message is one JSON object on a line: ``fedora-messaging publish`` reads it and ``record``
writes it. It has ``topic`` and ``body``, and maybe ``id``, ``headers``, ``queue`` and ``priority``
(source: fedora_messaging.message.SERIALIZED_MESSAGE_SCHEMA, fedora-messaging 3.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from datanommer.models import times
from datanommer.models.envelopes import fields, identity
from datanommer.models.preparing import preparation

_INFO = 20  # the severity of a message that tells none, as in Python's logging
_OWN_KEYS = {"id", "queue", "priority"}
_OWN_HEADERS = {"sent-at", "fedora_messaging_schema", "fedora_messaging_severity"}
_KEYS_OF_FEDMSG = {"msg", "msg_id", "topic", "timestamp", "i", "username"}


def is_line(value: Mapping[str, Any]) -> bool:
    """Whether this is such an object, and not an envelope of fedmsg or STOMP."""
    if "topic" not in value or "body" not in value:
        return False
    if not _OWN_KEYS.isdisjoint(value):
        return True
    body, headers = value["body"], value.get("headers")
    if isinstance(body, dict) and "topic" in body and "msg" in body:
        return False  # a body of fedmsg; over STOMP, headers of any kind come beside it
    return (isinstance(headers, dict) and not _OWN_HEADERS.isdisjoint(headers)) or (
        isinstance(body, dict) and _KEYS_OF_FEDMSG.isdisjoint(body)
    )


def prepare(line: Mapping[str, Any]) -> preparation.Item:
    """The row or the reject of such an object; nothing is raised.

    Args:
        line: its body as `datanommer.models.envelopes.json_text.read` gave it.
    """
    envelope = to_envelope(line)
    sent_id = _untold_id(line, envelope["body"])
    return preparation.prepare(envelope, from_amqp=True, sent_id=sent_id, is_read=True)


def sent_id(msg_id: str, headers: Mapping[str, Any], extra: Mapping[str, Any] | None) -> str:
    """The id that a message was sent with, which others know it by.

    The archive puts a year in front of an id of AMQP. An `extra` holds the original id if taking
    away the year does not give it back.

    Args:
        msg_id, headers, extra: of the message.
    """
    known = (extra or {}).get("id")
    if isinstance(known, str):
        return known
    # A bridge from fedmsg counts its messages, and their ids have a year of their own.
    is_counted = "i" not in (extra or {}).get("unset", ())
    return msg_id if is_counted else _bare_id(msg_id, headers)


def to_envelope(line: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope that a bridge to fedmsg would send, with the headers kept.

    An id without a year gets the year of ``sent-at`` in front. What a bridge *from* fedmsg sent
    has the body that fedmsg sent: that body is kept as it is.
    """
    sent_headers = line.get("headers")
    headers = sent_headers if isinstance(sent_headers, dict) else {}
    if _is_from_fedmsg(line):
        return {"topic": line["topic"], "body": line["body"], "headers": headers}
    sent_at = _parse(headers.get("sent-at"))
    body: dict[str, Any] = {"topic": line["topic"], "msg": line["body"]}
    if sent_at is not None:
        body["timestamp"] = times.to_epoch(sent_at)
    msg_id = line.get("id")
    if isinstance(msg_id, str) and msg_id:
        body["msg_id"] = identity.with_year(msg_id, (sent_at or datetime.now(UTC)).year)
    if sent_headers is not None:
        body["headers"] = sent_headers
    return {"topic": line["topic"], "body": body}


def from_message(
    *, topic: str, msg: Any, msg_id: str, headers: Mapping[str, Any], timestamp: datetime
) -> dict[str, Any]:
    """Such an object for a message, with the headers that receivers expect filled in.

    Args:
        timestamp: when it was sent (naive, in UTC).
    """
    expected = {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": _INFO,
        "sent-at": timestamp.replace(tzinfo=UTC).isoformat(),
    }
    return {
        "id": msg_id,
        "topic": topic,
        "headers": {**expected, **headers},
        "body": msg,
        "queue": None,
        "priority": headers.get("priority"),
    }


def _bare_id(msg_id: str, headers: Mapping[str, Any]) -> str:
    bare = identity.without_year(msg_id) if _OWN_HEADERS & headers.keys() else None
    return bare or msg_id


def _untold_id(line: Mapping[str, Any], body: Any) -> str | None:
    """The id of a line, if `sent_id` could not work it out."""
    msg_id = line.get("id")
    if not isinstance(msg_id, str) or not msg_id or _is_from_fedmsg(line):
        return None
    headers = fields.first_dict(body.get("headers")) or {}
    return None if _bare_id(body["msg_id"], headers) == msg_id else msg_id


def _is_from_fedmsg(line: Mapping[str, Any]) -> bool:
    """Whether its body is a whole body of fedmsg (source: zmq_to_amqp, fedmsg-migration-tools)."""
    body, msg_id = line["body"], line.get("id")
    return bool(
        msg_id
        and isinstance(body, dict)
        and (body.get("msg_id"), body.get("topic")) == (msg_id, line["topic"])
        and body.keys() >= {"msg", "timestamp", "i"}
    )


def _parse(text: Any) -> datetime | None:
    """The naive datetime in UTC of an ISO 8601 text; None for anything else."""
    try:
        return times.from_text(text)
    except (TypeError, ValueError, OverflowError):
        return None
