"""The id of a message, and what makes two messages the same.

The id is that of the body, or else of the headers. A message with a time but without an id gets
one made from its content, so that a retry or a second hub makes the same. So does a message from
STOMP, which may be delivered again. Any other message that lacks both gets a new id and the
current time, once (`Fallback`).

Over AMQP an id has no year. Whoever passes the message on puts one in front (`with_year`).
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Self

from datanommer.models.envelopes import fields
from datanommer.models.errors import NotStorable

#: The year in front of an id.
YEAR = re.compile(r"([0-9]{4})-")
#: The year of the oldest message that the archive can hold.
_FIRST_YEAR = 1970
_MILLISECONDS = re.compile("[0-9]{1,15}")

# RabbitMQ's ids over STOMP belong to a delivery; the next one has another id (source:
# rabbit_stomp_util, RabbitMQ 3.10).
_OF_DELIVERY = re.compile(r".*@@session-[^@]*@@[0-9]+", re.DOTALL)
# Headers of STOMP and of RabbitMQ's quorum queues that may differ with each delivery, or that say
# nothing about the message.
_OF_TRANSPORT = {
    *("ack", "content-length", "delivery-count", "message-id", "receipt", "redelivered"),
    *("redelivery-count", "subscription", "transaction", "x-delivery-count", "JMSXDeliveryCount"),
}

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/fedora-infra/datanommer/")


class Fallback(NamedTuple):
    """The time and the id for a message that has none; they stay the same with each retry.

    Attributes:
        moment: when it was first looked at, or put into the spool, in epoch seconds.
        unique: what its id is made of, if it has none either.
    """

    moment: float
    unique: str

    @classmethod
    def draw(cls) -> Self:
        """One for a message that comes now."""
        return cls(time.time(), str(uuid.uuid4()))

    def assign(self, envelope: Mapping[str, Any]) -> dict[str, Any]:
        """The `timestamp` and `msg_id` that the message of an envelope gets.

        Args:
            envelope: its body is an object without a timestamp.
        """
        sent = stomp_timestamp(envelope)
        moment = self.moment if sent is None else sent
        year = fields.read_timestamp(moment).year
        return {
            "timestamp": moment,
            "msg_id": known_id(envelope) or _id_of_content(envelope) or f"{year}-{self.unique}",
        }


def lacks_time(envelope: Mapping[str, Any]) -> bool:
    """Whether the body of an envelope does not say when it was sent."""
    return envelope["body"].get("timestamp") is None


def stomp_timestamp(envelope: Mapping[str, Any]) -> float | None:
    """When the broker got a message from STOMP, in epoch seconds; None if it does not say so.

    ActiveMQ puts it into the header `timestamp`, in milliseconds.
    """
    told = (_stomp_headers(envelope) or {}).get("timestamp")
    if not isinstance(told, str) or not _MILLISECONDS.fullmatch(told):
        return None
    seconds = int(told) / 1000
    try:
        fields.read_timestamp(seconds)
    except NotStorable:
        return None
    return seconds


def headers_of(envelope: Mapping[str, Any]) -> dict[str, Any] | None:
    """The headers of an envelope: beside its body, or in it."""
    return fields.first_dict(envelope["body"].get("headers"), envelope.get("headers"))


def own_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that are the same with every delivery of a message."""
    return {name: value for name, value in headers.items() if name not in _OF_TRANSPORT}


def known_id(envelope: Mapping[str, Any]) -> str | None:
    """The id that the sender, or the broker, gave to a message."""
    if of_sender := fields.first_text(envelope["body"].get("msg_id")):
        return of_sender
    headers = headers_of(envelope) or {}
    of_broker = headers.get("message-id")
    if isinstance(of_broker, str) and _OF_DELIVERY.fullmatch(of_broker):
        of_broker = None
    return fields.first_text(headers.get("amqp-message-id"), of_broker)


def identify(envelope: Mapping[str, Any], timestamp: datetime) -> str:
    """The id of a message; see this module's docstring.

    Args:
        envelope: its body is an object.
        timestamp: when it was sent (naive, in UTC).
    """
    return known_id(envelope) or _id_of_content(envelope) or f"{timestamp.year}-{uuid.uuid4()}"


def _id_of_content(envelope: Mapping[str, Any]) -> str | None:
    """An id made from the content of a message; None if two messages can have the same content."""
    body = envelope["body"]
    if not lacks_time(envelope):
        year = fields.read_timestamp(body["timestamp"]).year
        return f"{year}-{_uuid(body)}"
    headers = _stomp_headers(envelope)
    if headers is None:
        return None
    sent = stomp_timestamp(envelope)
    # Without a time, the year would be that of the delivery.
    prefix = "" if sent is None else f"{fields.read_timestamp(sent).year}-"
    return f"{prefix}{_uuid({'body': body, 'headers': own_headers(headers)})}"


def _uuid(content: Any) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, fields.to_canonical_json(content))


def _stomp_headers(envelope: Mapping[str, Any]) -> dict[str, Any] | None:
    """The headers of what came over STOMP, which are beside the body; None for anything else."""
    return fields.first_dict(envelope.get("headers"))


def with_year(msg_id: str, year: int) -> str:
    """The id of a message that came over AMQP, with a year in front if it has none."""
    return msg_id if YEAR.match(msg_id) else f"{year:04}-{msg_id}"


def known_as(msg_id: str) -> list[str]:
    """The ids that the archive may have for a message, the likeliest first.

    Args:
        msg_id: the id by which somebody knows it. If that has no year, the archive may have put
            one in front.
    """
    if YEAR.match(msg_id):
        return [msg_id]
    next_year = time.gmtime().tm_year + 1
    return [msg_id, *(f"{year}-{msg_id}" for year in range(_FIRST_YEAR, next_year + 1))]


def without_year(msg_id: str) -> str | None:
    """The UUID behind the year of an id; None if there is none."""
    year = YEAR.match(msg_id)
    bare = msg_id[year.end() :] if year else ""
    try:
        uuid.UUID(bare)
    except ValueError:
        return None
    return bare


def content(topic: str, msg: str) -> tuple[str, str]:
    """What makes two messages of one id the same: the topic, and `msg` in canonical JSON.

    Args:
        topic: the topic.
        msg: JSON text.
    """
    return topic, fields.to_canonical_json(json.loads(msg))


def describe(msg_id: Any, topic: Any) -> str:
    """Which message it is, for people: on one line, and never its content."""
    return f"msg_id {_quoted(msg_id)}, topic {_quoted(topic)}"


def _quoted(value: Any) -> str:
    # The sender of a message that is refused may have put anything there.
    if value is None:
        return "none"
    return repr(value[:200]) if isinstance(value, str) else type(value).__name__
