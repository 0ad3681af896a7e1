"""Whether a message comes from whom it claims: signature, signer, and what that may send.

The result is that of `fedmsg.crypto.validate`. For every message, that copies the configuration
and parses the CA's certificate, its revocation list (CRL) and the sender's certificate. Here a
certificate is checked once and then trusted for a while, and a message costs one signature.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import fedmsg.crypto
import fedmsg.encoding
from fedmsg.crypto import gpg

from datanommer.models.envelopes import json_text
from datanommer.models.errors import SignaturesUnknown
from datanommer.models.signing import backends

try:
    from datanommer.models.signing.signer import Distrusted, Signers, Trusted
except ImportError as error:  # cryptography or pyOpenSSL is missing, or too new
    _import_error: ImportError | None = error
else:
    _import_error = None

#: How long a certificate that was checked is trusted, and a CA or CRL not read again, in seconds.
KEEP_FOR = 300.0

_CREDENTIALS = ("signature", "certificate")
_Result = TypeVar("_Result")


def is_unsigned(body: Mapping[str, Any]) -> bool:
    """Whether nothing in the body claims to be a signature."""
    return all(body.get(key) is None for key in ("crypto", *_CREDENTIALS))


class Validator:
    """Validates the signatures of messages as they come from the bus; threads can share one.

    Args:
        config: the fedmsg configuration. A change of it later on has no effect.
        keep_for: how long a certificate that was checked is trusted, and after how long the CA
            and the CRL are read again, in seconds. A changed file counts within a second.
        clock: returns the time, in epoch seconds.

    Raises:
        ConfigurationError: no signature could be validated with that configuration, or with what
            is installed; says what to do.
    """

    #: Whether a certificate need only have been valid when the message was sent.
    _of_the_past: ClassVar[bool] = False

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        keep_for: float = KEEP_FOR,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._backends = backends.configured(config)
        self._gpg_home = config.get("gpg_home", os.path.expanduser("~/.gnupg/"))  # noqa: PTH111
        self._policy: Mapping[Any, Any] = dict(config.get("routing_policy") or {})
        self._nitpicky = bool(config.get("routing_nitpicky", False))
        if "gpg" in self._backends:
            backends.require_gpg(self._gpg_home)
        self._signers: Signers | None = None
        if "x509" in self._backends:
            backends.require_x509(_import_error)
            self._signers = Signers(
                config, now=clock(), keep_for=keep_for, of_the_past=self._of_the_past
            )

    def validate(self, body: Mapping[str, Any]) -> str | None:
        """Why a message is not trusted, in a few words; None if it is.

        Args:
            body: as for `validate_all`.

        Raises:
            SignaturesUnknown: as for `validate_all`.
        """
        return self.validate_all([body])[0]

    def validate_all(self, bodies: Iterable[Mapping[str, Any]]) -> list[str | None]:
        """Why each message is not trusted, in a few words; None for those that are.

        Args:
            bodies: each body exactly as it was sent, as
                `datanommer.models.envelopes.json_text.read` gave it. The caller must check that
                the topic of the envelope is the same.

        Raises:
            SignaturesUnknown: gpg could not be run. Nothing is raised for what a message holds.
        """
        return self._refusals(bodies, None)

    def outdated(self) -> str | None:
        """Which of the CA certificate and the CRL is not valid now, in words; None where both are.

        While one is not, every certificate is refused, as fedmsg does.
        """
        if self._signers is None:
            return None
        now = self._clock()
        words = (document.outdated(now) for document in self._signers.authority.documents)
        return next(filter(None, words), None)

    def _refusals(
        self, bodies: Iterable[Mapping[str, Any]], sent: float | None
    ) -> list[str | None]:
        # All are read before the first signature is checked. In turns, that takes a third longer:
        # the CPU's caches hold either OpenSSL or Python.
        claims = [self._try(self._claim, body, sent) for body in bodies]
        return [
            self._try(self._refusal_of, claim) if isinstance(claim, _Claim) else claim
            for claim in claims
        ]

    def _try(self, step: Callable[..., _Result], *arguments: Any) -> _Result | str:
        """What a step returns, or why the message is not trusted."""
        try:
            return step(*arguments)
        except _InvalidError as error:
            return str(error)
        except OSError as error:
            raise SignaturesUnknown(f"gpg cannot be run: {error.strerror}.") from error
        except Exception as error:  # noqa: BLE001  there is no end to what a message can hold
            return f"cannot be validated ({type(error).__name__})"

    def _claim(self, body: Mapping[str, Any], sent: float | None) -> _Claim | None:
        """What the message claims, with a certificate; None where gpg has confirmed it."""
        backend = _backend_of(body)
        if backend not in self._backends:
            raise _InvalidError(
                f"signed with {backend}, which crypto_validate_backends does not allow"
            )
        if backend == "gpg":
            self._require_gpg(body)
            return None
        return self._claim_by_x509(body, sent)

    def _require_gpg(self, body: Mapping[str, Any]) -> None:
        content = fedmsg.encoding.dumps(body["msg"])
        signature = base64.b64decode(body["signature"])
        try:
            gpg.Context().verify(content, signature, homedir=self._gpg_home)
        except gpg.GpgBinaryError:
            raise _InvalidError("gpg refuses the signature") from None

    def _claim_by_x509(self, body: Mapping[str, Any], sent: float | None) -> _Claim:
        signature = _signature(body)
        certificate = _text("certificate", body)
        now = self._clock()
        assert self._signers is not None
        signer = self._signers.find(certificate, now)
        if isinstance(signer, Distrusted):
            raise _InvalidError(signer.reason)
        assert isinstance(signer, Trusted)
        if not signer.valid_from <= (now if sent is None else sent) <= signer.valid_until:
            raise _InvalidError("its certificate was not valid at the time")
        signed = {key: value for key, value in body.items() if key not in _CREDENTIALS}
        content = json_text.write_sorted(signed).encode()
        return _Claim(signer, content, signature, body.get("topic"))

    def _refusal_of(self, claim: _Claim) -> str | None:
        if not claim.signer.has_signed(claim.content, claim.signature):
            return "its signature does not fit what it says"
        return self._refusal_by_policy(claim.topic, claim.signer.name)

    def _refusal_by_policy(self, topic: Any, signer: str) -> str | None:
        if topic in self._policy:
            if signer in self._policy[topic]:
                return None
            return f"{signer[:100]!r} may not send this topic (routing_policy)"
        if self._nitpicky:
            return "no routing_policy has this topic (routing_nitpicky)"
        return None


class _Claim(NamedTuple):
    """Who is said to have signed what, for which topic."""

    signer: Trusted
    content: bytes
    signature: bytes
    topic: Any


class _InvalidError(Exception):
    """The message is not trusted; says why."""


def _backend_of(body: Mapping[str, Any]) -> str:
    """The backend that the message names; where it names none, the one that it looks like."""
    if is_unsigned(body):
        raise _InvalidError("unsigned")
    if "crypto" in body:
        backend = body["crypto"]
        if backend not in backends.BACKENDS:
            raise _InvalidError("signed with what fedmsg does not know")
        return str(backend)
    # fedmsg up to 0.7.2 did not name it.
    return "x509" if "certificate" in body else "gpg"


def _signature(body: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(_text("signature", body))
    except ValueError:
        raise _InvalidError("its signature is not base64") from None


def _text(key: str, body: Mapping[str, Any]) -> str:
    value = body.get(key)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _InvalidError(f"its {key} is not text") from None
    if not isinstance(value, str):
        raise _InvalidError(f"its {key} is {'missing' if value is None else 'not text'}")
    return value
