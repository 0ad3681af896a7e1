"""What was received, examined: read, its signature checked, made ready to be stored."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from datanommer.models.configuration import SIGNATURES_KEY
from datanommer.models.envelopes import identity
from datanommer.models.envelopes.identity import Fallback
from datanommer.models.envelopes.reject import Reject
from datanommer.models.errors import NotStorable, SignaturesUnknown
from datanommer.models.preparing.preparation import Item, prepare
from datanommer.models.receiving.received import Received
from datanommer.models.signing.archive_validator import ArchiveValidator
from datanommer.models.signing.validator import Validator

# How many messages are read, then have their signatures checked, and then become rows. One by one,
# a signed message takes a quarter more time: the CPU's caches hold either OpenSSL or us.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Refused:
    """A message without a good signature, which is not stored.

    Attributes:
        reason: what is wrong with its signature, in words.
        msg_id: whatever was sent for it.
        topic: likewise.
    """

    reason: str
    msg_id: Any
    topic: Any

    def __str__(self) -> str:
        return f"{self.reason} ({identity.describe(self.msg_id, self.topic)})"


#: A message with its envelope, or with what it becomes instead.
_Read = tuple[Received, dict[str, Any] | Reject | Refused]


class Receiver:
    """Makes rows and rejects of what was received; threads can share one.

    Args:
        config: the fedmsg configuration, which says whether signatures are required.

    Raises:
        ConfigurationError: they are, and none could be validated with that configuration.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._validator: Validator | None = None
        if config.get(SIGNATURES_KEY):
            self._validator = Validator(config)

    @property
    def validates(self) -> bool:
        """Whether signatures are required."""
        return self._validator is not None

    def lets_in(self, received: Received) -> bool:
        """Whether what was examined is to be stored, and not refused."""
        return received.is_accepted or not self.validates

    def outdated(self) -> str | None:
        """Which of the CA certificate and the CRL is not valid now, in words."""
        return self._validator.outdated() if self._validator else None

    def each(self, messages: Iterable[Received]) -> Iterator[Item | Refused]:
        """The row or the reject of each message, or why its signature is not good enough.

        Raises:
            SignaturesUnknown: nobody can tell now whether the signature of one of the next
                messages is good.
        """
        waiting = iter(messages)
        while some := list(islice(waiting, _AT_ONCE)):
            yield from map(_made_ready, self._validated([self._read(each) for each in some]))

    def items(self, messages: Iterable[Received]) -> tuple[list[Item], list[Refused]]:
        """The rows and rejects of a batch, and what is refused of it.

        Raises:
            SignaturesUnknown: of one of them, as for `each`.
        """
        examined = list(self.each(messages))
        refused = [each for each in examined if isinstance(each, Refused)]
        return [each for each in examined if not isinstance(each, Refused)], refused

    def _read(self, received: Received) -> _Read:
        """The envelope of a message, or what becomes of it."""
        try:
            return received, received.envelope()
        except NotStorable as error:
            if self.lets_in(received):
                return received, received.as_reject(error)
            return received, Refused(error.reason, None, received.topic)

    def _validated(self, messages: list[_Read]) -> Iterator[_Read]:
        """The same messages, those refused whose signature is not good enough."""
        unsure = [
            (received, read)
            for received, read in messages
            if isinstance(read, dict) and not self.lets_in(received)
        ]
        refused = dict(self._refused(unsure)) if unsure else {}
        for received, read in messages:
            refusal = refused.get(id(received))
            received.is_accepted |= refusal is None and isinstance(read, dict)
            yield received, refusal or read

    def _refused(
        self, messages: list[tuple[Received, dict[str, Any]]]
    ) -> Iterator[tuple[int, Refused]]:
        """What is refused of the messages, by the `id()` of each."""
        assert self._validator is not None
        # Asked before and after, because the files may be replaced in between.
        outdated = self.outdated()
        reasons = self._validator.validate_all(envelope["body"] for _, envelope in messages)
        for (received, envelope), reason in zip(messages, reasons, strict=True):
            body = envelope["body"]
            if envelope["topic"] != body["topic"]:
                why: str | None = "the topics of envelope and body differ"
            else:
                why = reason and self._final_reason(reason, body, received.fallback, outdated)
            if why:
                yield id(received), Refused(why, body.get("msg_id"), envelope["topic"])

    def _final_reason(
        self, reason: str, body: Mapping[str, Any], fallback: Fallback | None, outdated: str | None
    ) -> str | None:
        """Why a message that was found wanting is refused; None if it is not, after all."""
        if fallback is not None and not self.outdated():
            # It has waited. Its certificate may have expired since, but was good when it came.
            late_reason = self._late_validator.validate(body, fallback.moment)
            if late_reason is None:
                return None
            reason = late_reason
        if "certificate" in body and (unknown := outdated or self.outdated()):
            raise SignaturesUnknown(
                f"{unknown}. Put the current one there; nothing need be restarted."
            )
        return reason

    @functools.cached_property
    def _late_validator(self) -> ArchiveValidator:
        return ArchiveValidator(self._config)


def _made_ready(read: _Read) -> Item | Refused:
    received, envelope = read
    if not isinstance(envelope, dict):
        return envelope
    try:
        assigned = received.assigned(envelope)
    except NotStorable as error:
        return Reject.of_received(envelope, error)
    return prepare(envelope, assigned, is_read=True)
