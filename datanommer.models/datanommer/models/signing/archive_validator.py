"""The validator of messages that were sent long ago."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from datanommer.models.signing.validator import KEEP_FOR, Validator

log = logging.getLogger(__name__)


class ArchiveValidator(Validator):
    """Validates the signatures of messages that were sent long ago.

    A certificate must have been valid when the message was sent, and need not be valid today.
    Neither the CA nor the CRL need be current. A revoked certificate is refused whenever the
    message was sent: whoever has stolen a key can write any date.

    Arguments and errors are those of `Validator`.
    """

    _of_the_past = True

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        keep_for: float = KEEP_FOR,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(config, keep_for=keep_for, clock=clock)
        documents = self._signers.authority.documents if self._signers else []
        for crl in documents[1:]:
            if crl.valid_until < clock():
                log.warning(
                    "%s ended on %s: certificates that were revoked later are not known.",
                    crl.name,
                    crl.end,
                )

    def validate(self, body: Mapping[str, Any], sent: float | None = None) -> str | None:
        """Why the message is not trusted, in a few words; None if it is.

        Args:
            body: as for `Validator.validate_all`.
            sent: when, in epoch seconds; without it, now.

        Raises:
            SignaturesUnknown: gpg could not be run.
        """
        return self._refusals([body], sent)[0]
