"""The id of a message, and what makes two messages the same.

The id is that of the body, else that of the headers. A message with a time but without an id gets
one that is made of its content, so that a retry or a second hub finds the same. A message without
both gets an id and a time of its own, once (`Fallback`).

Over AMQP an id has no year. Who carries the message on puts one in front (`with_year`).
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

#: The year in front of an id.
YEAR = re.compile(r"([0-9]{4})-")

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/fedora-infra/datanommer/")


class Fallback(NamedTuple):
    """The time and the id for a message that comes without, the same however often it is tried.

    Attributes:
        moment: when it was first looked at, or put into the spool, in epoch seconds.
        unique: what makes an id of it, if it has none either.
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
        body = envelope["body"]
        headers = fields.first_dict(body.get("headers"), envelope.get("headers"))
        year = fields.read_timestamp(self.moment).year
        known = known_id(body, headers or {})
        return {"timestamp": self.moment, "msg_id": known or f"{year}-{self.unique}"}


def lacks_time(envelope: Mapping[str, Any]) -> bool:
    """Whether the body of an envelope does not say when it was sent."""
    return envelope["body"].get("timestamp") is None


def known_id(body: Mapping[str, Any], headers: Mapping[str, Any]) -> str | None:
    """The id that the sender, or the broker, gave to a message."""
    return fields.first_text(
        body.get("msg_id"), headers.get("amqp-message-id"), headers.get("message-id")
    )


def identify(body: Mapping[str, Any], headers: Mapping[str, Any], timestamp: datetime) -> str:
    """The id of a message; see this module's docstring.

    Args:
        body: the body.
        headers: the headers of body or envelope.
        timestamp: when it was sent (naive, in UTC).
    """
    known = known_id(body, headers)
    if known:
        return known
    if body.get("timestamp") is None:
        return f"{timestamp.year}-{uuid.uuid4()}"
    return f"{timestamp.year}-{uuid.uuid5(_NAMESPACE, fields.to_canonical_json(body))}"


def with_year(msg_id: str, year: int) -> str:
    """The id of a message that came over AMQP, with a year in front if it has none."""
    return msg_id if YEAR.match(msg_id) else f"{year:04}-{msg_id}"


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
