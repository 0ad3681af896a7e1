"""What the bus brings, from when it is received until it is ready to be stored.

A message waits as the text that came, in memory and on disk alike. What is costly, which is to read
it, to check its signature and to work out its row, is done when its turn has come.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from datanommer.models import message, raw, store
from datanommer.models.errors import NotStorable, SignaturesUnknown

if TYPE_CHECKING:
    from datanommer.models.signatures import ArchiveValidator, Validator

#: fedmsg's own key: whether only messages with a good signature are stored.
SIGNATURES_KEY = "validate_signatures"
#: The longest body that is kept whole, in characters. No row takes as much; SQLite takes no more
#: than 10**9 bytes, and a character has up to four.
MAX_BODY_LENGTH = 200 * 1024**2

# As json.loads does it, with a decoder that is made once.
_decode = json.JSONDecoder().decode


class Spare(NamedTuple):
    """What a message gets that comes without a time, the same however often it is tried.

    Attributes:
        moment: when it was first looked at, or put into the spool, in epoch seconds.
        unique: what makes an id of it, if it has none either.
    """

    moment: float
    unique: str

    @classmethod
    def draw(cls) -> Spare:
        """One for a message that comes now."""
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
            topic.encode("utf-8", "replace").decode() if isinstance(topic, str) else None,
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
        return store.reject(text.encode(), error, self.topic)


@dataclass(frozen=True, slots=True)
class Refused:
    """A message whose signature does not allow it; `msg_id` and `topic` are whatever was sent."""

    reason: str
    msg_id: Any
    topic: Any

    def __str__(self) -> str:
        return f"{self.reason} ({message.which(self.msg_id, self.topic)})"


class Receiver:
    """Makes of what was received what is to be stored; threads can share one.

    Args:
        config: the fedmsg configuration, which says whether signatures are asked for.

    Raises:
        ConfigurationError: they are, and none could be validated with that configuration.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._validator: Validator | None = None
        if config.get(SIGNATURES_KEY):
            from datanommer.models.signatures import Validator

            self._validator = Validator(config)

    @property
    def validates(self) -> bool:
        """Whether signatures are asked for."""
        return self._validator is not None

    def outdated(self) -> str | None:
        """Which of the CA certificate and the CRL is not valid now, in words."""
        return self._validator.outdated() if self._validator else None

    def item(self, received: Received) -> store.Item | Refused:
        """What is to be stored of a message.

        Raises:
            SignaturesUnknown: it cannot be told now whether its signature is good.
        """
        asks = self.validates and not received.is_accepted
        try:
            envelope = received.envelope()
        except NotStorable as error:
            if asks:
                return Refused(error.reason, None, received.topic)
            return received.as_reject(error)
        if asks and (reason := self._refusal(envelope, received.spare)):
            return Refused(reason, envelope["body"].get("msg_id"), envelope["topic"])
        received.is_accepted = True
        return store.prepare(envelope, received.given(envelope))

    def items(self, batch: Iterable[Received]) -> tuple[list[store.Item], list[Refused]]:
        """What is to be stored of some messages, and those that are not.

        Raises:
            SignaturesUnknown: of one of them, as for `item`.
        """
        found = [self.item(received) for received in batch]
        refused = [each for each in found if isinstance(each, Refused)]
        return [each for each in found if not isinstance(each, Refused)], refused

    def _refusal(self, envelope: Mapping[str, Any], spare: Spare | None) -> str | None:
        body = envelope["body"]
        if envelope["topic"] != body["topic"]:
            return "the topics of envelope and body differ"
        # Before and after: what is looked at in between may be replaced in between.
        outdated = self.outdated()
        reason = self._reason(body, spare)
        if reason is not None and "certificate" in body and (outdated or self.outdated()):
            raise SignaturesUnknown(
                f"{outdated or self.outdated()}. Put the current one there; nothing need be "
                "restarted."
            )
        return reason

    @functools.cached_property
    def _late_validator(self) -> ArchiveValidator:
        from datanommer.models.signatures import ArchiveValidator

        return ArchiveValidator(self._config)

    def _reason(self, body: Mapping[str, Any], spare: Spare | None) -> str | None:
        assert self._validator is not None
        reason = self._validator.validate(body)
        if reason is not None and spare is not None and not self.outdated():
            # It has waited: a certificate that has ended since was good when it came.
            return self._late_validator.validate(body, spare.moment)
        return reason
