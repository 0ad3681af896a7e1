"""What was received, examined: read, its signature checked, made ready to be stored."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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

    def item(self, received: Received) -> Item | Refused:
        """The row or the reject of a message, or why its signature is not good enough.

        Raises:
            SignaturesUnknown: nobody can tell now whether its signature is good.
        """
        must_validate = self.validates and not received.is_accepted
        try:
            envelope = received.envelope()
        except NotStorable as error:
            if must_validate:
                return Refused(error.reason, None, received.topic)
            return received.as_reject(error)
        if must_validate and (reason := self._refusal(envelope, received.fallback)):
            return Refused(reason, envelope["body"].get("msg_id"), envelope["topic"])
        received.is_accepted = True
        try:
            assigned = received.assigned(envelope)
        except NotStorable as error:
            return Reject.of_received(envelope, error)
        return prepare(envelope, assigned, is_read=True)

    def items(self, batch: Iterable[Received]) -> tuple[list[Item], list[Refused]]:
        """The rows and rejects of a batch, and what is refused of it.

        Raises:
            SignaturesUnknown: of one of them, as for `item`.
        """
        examined = [self.item(received) for received in batch]
        refused = [each for each in examined if isinstance(each, Refused)]
        return [each for each in examined if not isinstance(each, Refused)], refused

    def _refusal(self, envelope: Mapping[str, Any], fallback: Fallback | None) -> str | None:
        body = envelope["body"]
        if envelope["topic"] != body["topic"]:
            return "the topics of envelope and body differ"
        # Before and after: the files that are looked at in between may be replaced meanwhile.
        outdated = self.outdated()
        reason = self._reason(body, fallback)
        if reason is not None and "certificate" in body and (outdated or self.outdated()):
            raise SignaturesUnknown(
                f"{outdated or self.outdated()}. Put the current one there; nothing need be "
                "restarted."
            )
        return reason

    @functools.cached_property
    def _late_validator(self) -> ArchiveValidator:
        return ArchiveValidator(self._config)

    def _reason(self, body: Mapping[str, Any], fallback: Fallback | None) -> str | None:
        assert self._validator is not None
        reason = self._validator.validate(body)
        if reason is not None and fallback is not None and not self.outdated():
            # It has waited: a certificate that has ended since was good when it came.
            return self._late_validator.validate(body, fallback.moment)
        return reason
