"""What the bus brings, from when it is received until it is ready to be stored.

A message waits as the text that came, in memory and on disk alike. What is costly, which is to read
it, to check its signature and to work out its row, is done when its turn has come.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from datanommer.models import message, raw, store
from datanommer.models.errors import AuthorityOutdated, NotStorable

if TYPE_CHECKING:
    from datanommer.models.signatures import Validator

#: The longest body that is kept whole, in characters; no row takes as much.
MAX_BODY_LENGTH = 512 * 1024**2

# As json.loads does it, with a decoder that is made once.
_decode = json.JSONDecoder().decode


class Spare(NamedTuple):
    """What a message gets that comes without a time, the same however often it is tried.

    Attributes:
        moment: when it was received, in epoch seconds.
        unique: what makes an id of it, if it has none either.
    """

    moment: float
    unique: str

    @classmethod
    def draw(cls) -> Spare:
        """One for a message that is received now."""
        return cls(time.time(), str(uuid.uuid4()))


@dataclass(slots=True)
class Received:
    """A message as it came from the bus.

    Attributes:
        topic: of the envelope; None where that is not text.
        body: as it came: JSON, unless the sender wrote something else.
        headers: of the envelope, as JSON; None where it has none.
        spare: drawn when it is needed first.
        is_accepted: whether its signature was found to be good, or none is asked for.
    """

    topic: str | None
    body: str
    headers: str | None = None
    spare: Spare | None = None
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
            topic if isinstance(topic, str) else None,
            raw.dumps(handed_over.get("body")).decode()[:MAX_BODY_LENGTH],
            None if headers is None else raw.dumps(headers).decode(),
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
            raise message.too_deep("the message") from None
        except ValueError as error:  # an integer of thousands of digits
            raise NotStorable("invalid", f"it cannot be read as JSON: {error}") from None
        if not isinstance(body, dict) or "topic" not in body:
            body = {"topic": self.topic, "msg": body}
        envelope = {"topic": self.topic, "body": body}
        if self.headers is not None:
            envelope["headers"] = json.loads(self.headers)
        return envelope

    def given(self, envelope: Mapping[str, Any]) -> dict[str, Any]:
        """What the archive gives to it, as `datanommer.models.message.from_envelope` takes it."""
        if not message.lacks_time(envelope):
            return {}
        self.spare = self.spare or Spare.draw()
        return message.given_to(envelope, *self.spare)

    def as_reject(self, error: NotStorable) -> store.Reject:
        """The reject of what cannot be read."""
        headers = "" if self.headers is None else f', "headers": {self.headers}'
        text = f'{{"topic": {json.dumps(self.topic)}, "body": {self.body}{headers}}}'
        return store.reject(text.encode(), error)


class Receiver:
    """Makes of what was received what is to be stored; threads can share one.

    Args:
        validator: of signatures; None where they are not asked for.
        on_refused: called with why a message is not to be stored, its msg_id and its topic,
            whatever those are.
    """

    def __init__(
        self,
        validator: Validator | None = None,
        on_refused: Callable[[str, Any, Any], object] = lambda *_: None,
    ) -> None:
        self._validator = validator
        self._on_refused = on_refused

    def item(self, received: Received) -> store.Item | None:
        """What is to be stored of a message; None where its signature does not allow it.

        Raises:
            AuthorityOutdated: it cannot be known whether its signature is good.
        """
        try:
            envelope = received.envelope()
        except NotStorable as error:
            if self._validator is None or received.is_accepted:
                return received.as_reject(error)
            self._on_refused(error.reason, None, received.topic)
            return None
        if self._validator is not None and not received.is_accepted:
            refusal = _refusal(self._validator, envelope)
            if refusal is not None:
                body = envelope["body"]
                self._on_refused(refusal, body.get("msg_id"), envelope["topic"])
                return None
        received.is_accepted = True
        return store.prepare(envelope, received.given(envelope))


def _refusal(validator: Validator, envelope: Mapping[str, Any]) -> str | None:
    body = envelope["body"]
    if envelope["topic"] != body["topic"]:
        return "the topics of envelope and body differ"
    try:
        reason = validator.validate(body)
    except OSError as error:
        return f"gpg cannot be run: {error.strerror}"
    if reason is not None and "certificate" in body and (outdated := validator.outdated()):
        raise AuthorityOutdated(
            f"No signature can be validated: {outdated}. Put the current one there; nothing need "
            "be restarted."
        )
    return reason
