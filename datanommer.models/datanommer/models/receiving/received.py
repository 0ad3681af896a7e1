"""A message as the bus handed it over.

It waits as the text that came, in memory and on disk alike. What is costly (to read it, to check
its signature, to make its row) is done when its turn has come.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datanommer.models.envelopes import fields, lossless_json
from datanommer.models.envelopes.identity import Fallback, lacks_time
from datanommer.models.envelopes.reject import Reject
from datanommer.models.errors import NotStorable

#: The longest body that is kept whole, in characters. No row takes as much; SQLite takes no more
#: than 10**9 bytes, and a character has up to four.
MAX_BODY_LENGTH = 200 * 1024**2

# As json.loads does it, with a decoder that is made once.
_decode = json.JSONDecoder().decode


@dataclass(slots=True)
class Received:
    """A message as it came from the bus.

    Attributes:
        topic: of the envelope; None where that is not text.
        body: as it came: JSON, unless the sender wrote something else.
        headers: of the envelope, as JSON; None where it has none.
        fallback: for a message without a time; drawn when it is first needed.
        is_accepted: whether its signature is good, or none is required.
    """

    topic: str | None
    body: str
    headers: str | None = None
    fallback: Fallback | None = None
    is_accepted: bool = False

    @classmethod
    def of(cls, handed_over: Any) -> Received:
        """What moksha handed over.

        Args:
            handed_over: an object with `topic` and the text of a `body` (ZeroMQ), or an envelope
                whose body was read already (STOMP, and what fedmsg fetches from datagrepper).
        """
        if not isinstance(handed_over, dict):
            return cls(handed_over.topic, handed_over.body[:MAX_BODY_LENGTH])
        topic, headers = handed_over.get("topic"), handed_over.get("headers")
        return cls(
            topic.encode("utf-8", "replace").decode() if isinstance(topic, str) else None,
            lossless_json.dumps(handed_over.get("body")).decode()[:MAX_BODY_LENGTH],
            None if headers is None else lossless_json.dumps(headers).decode(),
        )

    def envelope(self) -> dict[str, Any]:
        """The envelope, ``{"topic": str, "body": {...}[, "headers": {...}]}``.

        What is no object with a topic becomes the `msg` of a body, as in fedmsg's consumers.

        Raises:
            NotStorable: the body is JSON that Python cannot read.
        """
        try:
            body = _decode(self.body)
        except json.JSONDecodeError:
            body = self.body
        except RecursionError:
            raise fields.too_deep("the message") from None
        except ValueError as error:  # an integer of thousands of digits
            raise NotStorable("invalid", f"it cannot be read as JSON: {error}") from None
        if not isinstance(body, dict) or "topic" not in body:
            body = {"topic": self.topic, "msg": body}
        envelope = {"topic": self.topic, "body": body}
        if self.headers is not None:
            envelope["headers"] = json.loads(self.headers)
        return envelope

    def assigned(self, envelope: Mapping[str, Any]) -> dict[str, Any]:
        """What its row gets from the archive, as `Row.from_envelope` takes it."""
        if not lacks_time(envelope):
            return {}
        self.fallback = self.fallback or Fallback.draw()
        return self.fallback.assign(envelope)

    def as_reject(self, error: NotStorable) -> Reject:
        """The reject of a body that cannot be read."""
        headers = "" if self.headers is None else f', "headers": {self.headers}'
        text = f'{{"topic": {json.dumps(self.topic)}, "body": {self.body}{headers}}}'
        return Reject.of_received(text.encode(), error, self.topic)
