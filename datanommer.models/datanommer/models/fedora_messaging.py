"""A message of fedora-messaging as an envelope of the bus, and back.

It comes as one JSON object, which ``fedora-messaging publish`` reads and ``record`` writes, a line
each: ``topic`` and ``body``, and maybe ``id``, ``headers``, ``queue`` and ``priority`` (source:
fedora_messaging.message.SERIALIZED_MESSAGE_SCHEMA, fedora-messaging 3.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from datanommer.models import store
from datanommer.models.message import Row, naive_utc, to_epoch
from datanommer.models.years import with_year

_INFO = 20  # the severity of a message that tells none, as in Python's logging
_OWN_KEYS = {"id", "queue", "priority"}
_OWN_HEADERS = {"sent-at", "fedora_messaging_schema", "fedora_messaging_severity"}
_KEYS_OF_FEDMSG = {"msg", "msg_id", "topic", "timestamp", "i", "username"}


def is_line(value: Mapping[str, Any]) -> bool:
    """Whether this is such an object, and not an envelope of fedmsg or STOMP."""
    if "topic" not in value or "body" not in value:
        return False
    if _OWN_KEYS & value.keys():
        return True
    body, headers = value["body"], value.get("headers")
    keys = body.keys() if isinstance(body, dict) else set()
    if keys >= {"topic", "msg"}:
        return False  # a body of fedmsg; over STOMP, headers of any kind come beside it
    return bool(
        (isinstance(headers, dict) and _OWN_HEADERS & headers.keys())
        or (isinstance(body, dict) and not _KEYS_OF_FEDMSG & keys)
    )


def prepare(line: Mapping[str, Any]) -> store.Item:
    """What is to be stored of such an object; as `datanommer.models.store.prepare`."""
    item = store.prepare(to_envelope(line))
    if isinstance(item, Row):
        item.from_amqp = True
    return item


def to_envelope(line: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope that a bridge to fedmsg would send, with the headers kept.

    An id without a year gets that of ``sent-at`` in front. What a bridge from fedmsg has sent is
    the body that fedmsg sent, and is taken as that.
    """
    given = line.get("headers")
    headers = given if isinstance(given, dict) else {}
    if _is_from_fedmsg(line):
        return {"topic": line["topic"], "body": line["body"], "headers": headers}
    sent_at = _moment(headers.get("sent-at"))
    body: dict[str, Any] = {"topic": line["topic"], "msg": line["body"]}
    if sent_at is not None:
        body["timestamp"] = to_epoch(sent_at)
    msg_id = line.get("id")
    if isinstance(msg_id, str) and msg_id:
        body["msg_id"] = with_year(msg_id, (sent_at or datetime.now(UTC)).year)
    if given is not None:
        body["headers"] = given
    return {"topic": line["topic"], "body": body}


def from_message(
    *, topic: str, msg: Any, msg_id: str, headers: Mapping[str, Any], timestamp: datetime
) -> dict[str, Any]:
    """Such an object of a message, with the headers that a receiver expects where it has none.

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


def _is_from_fedmsg(line: Mapping[str, Any]) -> bool:
    """Whether its body is a whole body of fedmsg (source: zmq_to_amqp, fedmsg-migration-tools)."""
    body, msg_id = line["body"], line.get("id")
    return bool(
        msg_id
        and isinstance(body, dict)
        and (body.get("msg_id"), body.get("topic")) == (msg_id, line["topic"])
        and body.keys() >= {"msg", "timestamp", "i"}
    )


def _moment(text: Any) -> datetime | None:
    """The naive datetime in UTC of an ISO 8601 text; one without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return naive_utc(moment) if moment.tzinfo else moment
    except (TypeError, ValueError, OverflowError):
        return None
