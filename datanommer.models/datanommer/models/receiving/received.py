"""A message as the bus handed it over.

It waits as the text that came, in memory and on disk alike. What is costly (reading it, checking
its signature, making its row) is done when its turn has come.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from datanommer.models.envelopes import fields, identity, json_text, lossless_json
from datanommer.models.envelopes.identity import Fallback, lacks_time
from datanommer.models.envelopes.reject import Reject
from datanommer.models.errors import NotStorable

#: The longest body that is kept whole, in characters. No row takes as much.
MAX_BODY_LENGTH = 200 * 1024**2

#: How a message comes to a hub: over a bus, from datagrepper, or out of the spool of the hub.
ZEROMQ, STOMP, DATAGREPPER, SPOOL = "zeromq", "stomp", "datagrepper", "spool"

# What the body of a message of fedmsg always has (source: fedmsg.core, fedmsg 1.1.7).
_KEYS_OF_FEDMSG = {"topic", "msg", "timestamp", "i"}


class Settlement(Protocol):
    """Tells the broker that brought a message what became of it; any thread may call."""

    def acknowledge(self) -> None:
        """The message is kept: the broker may forget it."""

    def refuse(self) -> None:
        """The message will never be kept."""


@dataclass(slots=True)
class Received:
    """A message as it came from the bus.

    Attributes:
        topic: of the envelope; None where that is not text.
        body: as it came: JSON, unless the sender wrote something else; as bytes where it is no
            text in UTF-8, or no message at all.
        headers: of the envelope, as JSON; None where it has none.
        fallback: for a message without a time; drawn when it is first needed.
        is_accepted: whether its signature is good, or none is required.
        settlement: for a broker that wants to know what becomes of it.
        road: how it came.
        received_at: when it came, in epoch seconds; out of the spool, when it was put there.
    """

    topic: str | None
    body: str | bytes
    headers: str | None = None
    fallback: Fallback | None = None
    is_accepted: bool = False
    settlement: Settlement | None = field(default=None, compare=False, repr=False)
    road: str = field(default=ZEROMQ, compare=False)
    received_at: float = field(default_factory=time.time, compare=False, repr=False)

    @classmethod
    def of(cls, handed_over: Any) -> Self:
        """What moksha handed over.

        Args:
            handed_over: an object with `topic` and the text of a `body` (ZeroMQ), an envelope
                whose body was read already (what is fetched from datagrepper), or what is
                received already.
        """
        if isinstance(handed_over, cls):
            return handed_over
        if not isinstance(handed_over, dict):
            return cls(handed_over.topic, handed_over.body[:MAX_BODY_LENGTH])
        topic, headers = handed_over.get("topic"), handed_over.get("headers")
        return cls(
            topic.encode("utf-8", "replace").decode() if isinstance(topic, str) else None,
            lossless_json.dumps(handed_over.get("body")).decode()[:MAX_BODY_LENGTH],
            None if headers is None else lossless_json.dumps(headers).decode(),
            road=DATAGREPPER,
        )

    @classmethod
    def of_frame(
        cls, destination: str, body: bytes, headers: Mapping[str, str], settlement: Settlement
    ) -> Self:
        """What a frame of STOMP brought.

        Args:
            destination: where it was sent to.
            body: its body.
            headers: its headers, unescaped.
            settlement: hears what becomes of it.
        """
        return cls(
            destination.encode("utf-8", "replace").decode(),
            _text_of(body[:MAX_BODY_LENGTH]),
            lossless_json.dumps(headers).decode(),
            settlement=settlement,
            road=STOMP,
        )

    @classmethod
    def of_parts(cls, parts: Sequence[bytes]) -> Self:
        """What ZeroMQ brought and moksha cannot read: no topic and body, or not both in UTF-8."""
        if len(parts) == len(("topic", "body")) and isinstance(topic := _text_of(parts[0]), str):
            return cls(topic, parts[1][:MAX_BODY_LENGTH])
        texts = [part.decode("utf-8", "surrogateescape") for part in parts]
        return cls(None, json.dumps(texts).encode()[:MAX_BODY_LENGTH])

    @property
    def size(self) -> int:
        """The length of its body."""
        return len(self.body)

    def acknowledge(self) -> None:
        """Tell the broker that it is kept, if one wants to know."""
        if self.settlement:
            self.settlement.acknowledge()

    def refuse(self) -> None:
        """Tell the broker that it will never be kept, if one wants to know."""
        if self.settlement:
            self.settlement.refuse()

    def envelope(self) -> dict[str, Any]:
        """The envelope, ``{"topic": str, "body": {...}[, "headers": {...}]}``.

        Content that is not the body of a message becomes its `msg`, as in fedmsg's consumers.

        Raises:
            NotStorable: the body is no text, or JSON that Python cannot read.
        """
        if isinstance(self.body, bytes):
            raise NotStorable("invalid", self._why_no_text())
        try:
            body = json_text.read(self.body)
        except json.JSONDecodeError:
            body = self.body
        except RecursionError:
            raise fields.too_deep("the message") from None
        except ValueError as error:  # an integer of thousands of digits
            raise NotStorable("invalid", f"it cannot be read as JSON: {error}") from None
        if not self._is_body(body):
            body = {"topic": self.topic, "msg": body}
        envelope = {"topic": self.topic, "body": body}
        if self.headers is not None:
            envelope["headers"] = json_text.read(self.headers)
        return envelope

    def _is_body(self, content: Any) -> bool:
        """Whether the content is a body of fedmsg, and not what such a body has in its `msg`."""
        if not isinstance(content, dict):
            return False
        if self.headers is None:
            return "topic" in content
        # Over STOMP, anybody's messages come, and some have a topic of their own.
        return content.keys() >= _KEYS_OF_FEDMSG and isinstance(content["topic"], str)

    def _why_no_text(self) -> str:
        if self.topic is None:
            return "it is not a topic and a body in two parts, the topic in UTF-8"
        return "its body is not UTF-8"

    def assigned(self, envelope: Mapping[str, Any]) -> dict[str, Any]:
        """What its row gets from the archive, as `Row.from_envelope` takes it.

        Raises:
            NotStorable: it has neither an id nor content that an id can be made of.
        """
        if not lacks_time(envelope):
            return {}
        self.fallback = self.fallback or Fallback.draw()
        return self.fallback.assign(envelope)

    def as_reject(self, error: NotStorable) -> Reject:
        """The reject of a body that cannot be read."""
        headers = self.headers
        own = None if headers is None else json.dumps(identity.own_headers(json.loads(headers)))
        return Reject.of_received(
            self._raw(headers), error, self.topic, identified_by=self._raw(own)
        )

    def _raw(self, headers: str | None) -> bytes:
        body = self.body if isinstance(self.body, bytes) else self.body.encode()
        raw = b'{"topic": %b, "body": %b' % (json.dumps(self.topic).encode(), body)
        return raw + (b"}" if headers is None else b', "headers": %b}' % headers.encode())


def _text_of(data: bytes) -> str | bytes:
    """The text of bytes in UTF-8; the bytes themselves where they are something else."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
