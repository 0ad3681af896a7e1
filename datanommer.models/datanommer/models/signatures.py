"""Whether a message comes from whom it says: its signature, its signer, and what that may send.

The verdicts are those of `fedmsg.crypto.validate`, which for every message copies the configuration
and parses the authority's certificate, its revocation list (CRL) and the sender's certificate. Here
a certificate is checked once and then trusted for a while, and a message costs one signature.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import fedmsg.crypto
import fedmsg.encoding
from fedmsg.crypto import gpg, x509_ng

from datanommer.models.errors import ConfigurationError, SignaturesUnknown

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import Encoding
    from OpenSSL.crypto import (
        X509,
        X509Store,
        X509StoreContext,
        X509StoreContextError,
        load_crl,  # noqa: F401  fedmsg needs it
    )

    from datanommer.models.authority import Authority, AuthoritySource, validity
except ImportError as error:
    _import_error: str | None = str(error)
else:
    _import_error = None
    _PADDING, _HASH = padding.PKCS1v15(), SHA1()  # noqa: S303  this is what fedmsg signs with

log = logging.getLogger(__name__)

#: How long a certificate that was checked is trusted, and a CA or CRL not read again, in seconds.
KEEP_FOR = 300.0

# Each takes about 3 kB; a bus has one certificate for each service of a host.
_MAX_SIGNERS = 4096
# How often to look whether the files of the CA and the CRL are others, in seconds.
_LOOK_EVERY = 1.0
# How often to fetch a CA and a CRL from the web because a certificate was refused, in seconds.
_FETCH_EVERY = 60.0
_CREDENTIALS = ("signature", "certificate")
_BACKENDS = ("x509", "gpg")


def is_unsigned(body: Mapping[str, Any]) -> bool:
    """Whether nothing in the body claims to be a signature."""
    return all(body.get(key) is None for key in ("crypto", *_CREDENTIALS))


class Validator:
    """Validates the signatures of messages as they come from the bus; threads can share one.

    Args:
        config: the fedmsg configuration. A change of it later on has no effect.
        keep_for: how long a certificate that was checked is trusted, and how old what was read
            of the CA and the CRL may become, in seconds. A changed file counts within a second.

    Raises:
        ConfigurationError: no signature could be validated with that configuration, or with what
            is installed; says what to do.
    """

    def __init__(self, config: Mapping[str, Any], *, keep_for: float = KEEP_FOR) -> None:
        self._backends = _configured_backends(config)
        self._gpg_home = config.get("gpg_home", os.path.expanduser("~/.gnupg/"))  # noqa: PTH111
        self._policy: Mapping[Any, Any] = dict(config.get("routing_policy") or {})
        self._nitpicky = bool(config.get("routing_nitpicky", False))
        self._keep_for = keep_for
        self._signers: dict[bytes, _Signer] = {}
        self._lock = threading.Lock()
        self._look_at = time.time() + min(_LOOK_EVERY, keep_for)
        if "gpg" in self._backends:
            _require_gpg(self._gpg_home)
        if "x509" in self._backends:
            _require_x509()
            self._source = AuthoritySource(config, keep_for)

    def validate(self, body: Mapping[str, Any]) -> str | None:
        """Why the message is not to be believed, in a few words; None where it is.

        Args:
            body: the body exactly as it was sent. That the topic of the envelope is the same is
                the caller's to check.

        Raises:
            SignaturesUnknown: gpg could not be run. Nothing is raised for what a message holds.
        """
        return self._reason(body, None)

    def outdated(self) -> str | None:
        """Which of the CA and the CRL is not valid now, in words; None where both are.

        While one is, every certificate is refused, as fedmsg does.
        """
        now = time.time()
        for name, valid_from, valid_until in self._parts:
            if not valid_from <= now <= valid_until:
                return f"{name} is valid from {_date(valid_from)} to {_date(valid_until)}"
        return None

    @property
    def _parts(self) -> list[tuple[str, float, float]]:
        """The CA certificate and the CRL, and from when to when each is valid."""
        return self._source.authority.parts if "x509" in self._backends else []

    def _reason(self, body: Mapping[str, Any], sent: float | None) -> str | None:
        try:
            backend = _backend_of(body)
            if backend not in self._backends:
                return f"signed with {backend}, which crypto_validate_backends does not allow"
            if backend == "gpg":
                return self._reason_of_gpg(body)
            return self._reason_of_x509(body, sent)
        except _InvalidError as error:
            return str(error)
        except OSError as error:
            raise SignaturesUnknown(f"gpg cannot be run: {error.strerror}.") from error
        except Exception as error:  # noqa: BLE001  there is no end to what a message can hold
            return f"cannot be validated ({type(error).__name__})"

    def _reason_of_gpg(self, body: Mapping[str, Any]) -> str | None:
        content = fedmsg.encoding.dumps(body["msg"])
        signature = base64.b64decode(body["signature"])
        try:
            gpg.Context().verify(content, signature, homedir=self._gpg_home)
        except gpg.GpgBinaryError:
            return "gpg refuses the signature"
        return None

    def _reason_of_x509(self, body: Mapping[str, Any], sent: float | None) -> str | None:
        signature = _decoded("signature", _text_of("signature", body))
        certificate = _text_of("certificate", body)
        now = time.time()
        with self._lock:
            signer = self._signer(certificate, now)
        if isinstance(signer, _Refused):
            return signer.reason
        assert isinstance(signer, _Trusted)
        if not signer.valid_from <= (now if sent is None else sent) <= signer.valid_until:
            return "its certificate was not valid at the time"
        signed = {key: value for key, value in body.items() if key not in _CREDENTIALS}
        text = fedmsg.encoding.dumps(signed).encode()
        try:
            signer.key.verify(signature, text, _PADDING, _HASH)
        except InvalidSignature:
            return "its signature does not fit what it says"
        return self._reason_of_policy(body.get("topic"), signer.name)

    def _reason_of_policy(self, topic: Any, signer: str) -> str | None:
        if topic in self._policy:
            if signer in self._policy[topic]:
                return None
            return f"{_shown(signer)} may not send this topic (routing_policy)"
        if self._nitpicky:
            return "no routing_policy has this topic (routing_nitpicky)"
        return None

    def _signer(self, certificate: str, now: float) -> _Signer:
        if not self._look_at - _LOOK_EVERY <= now < self._look_at:  # clocks are set back, too
            self._look_at = now + min(_LOOK_EVERY, self._keep_for)
            if self._source.refresh(now, self._keep_for):
                self._signers.clear()
        # Not the certificate itself: whoever sends it chooses how long it is.
        digest = hashlib.sha256(certificate.encode("utf-8", "surrogatepass")).digest()
        signer = self._signers.get(digest)
        if signer is None or not signer.checked_at <= now < signer.expires_at:
            signer = self._checked(certificate, now)
            self._signers.pop(digest, None)
            if len(self._signers) >= _MAX_SIGNERS:
                del self._signers[next(iter(self._signers))]
            self._signers[digest] = signer
        return signer

    def _checked(self, text: str, now: float) -> _Signer:
        try:
            certificate = x509.load_pem_x509_certificate(_decoded("certificate", text))
        except ValueError:
            return _Refused(now, now + self._keep_for, "its certificate is malformed")
        reason = self._reason_of_chain(certificate)
        if reason and self._source.refresh(now, _FETCH_EVERY):
            # It may be of a new authority, or the list that was read had run out.
            self._signers.clear()
            reason = self._reason_of_chain(certificate)
        authority = self._source.authority
        moments = (*validity(certificate), *authority.moments)
        # The verdict holds until something begins or ends to be valid.
        expires = min([now + self._keep_for, *(moment for moment in moments if moment > now)])
        if reason:
            return _Refused(now, expires, f"its certificate is refused: {reason}")
        return _trusted(certificate, authority, now, expires)

    def _reason_of_chain(self, certificate: x509.Certificate) -> str | None:
        """Why the certificate is not to be trusted, if so; this is fedmsg's own check."""
        authority = self._source.authority
        # Not the text that came: what is checked here must be what the key is taken from.
        pem = certificate.public_bytes(Encoding.PEM)
        try:
            x509_ng._validate_signing_cert(authority.ca_pem, pem, authority.crl_pem)  # noqa: SLF001
        except X509StoreContextError as error:
            return str(error)
        return None


class ArchiveValidator(Validator):
    """Validates the signatures of messages that were sent long ago.

    A certificate need not be valid today, but when the message was sent; neither the CA nor the
    CRL need be current. A revoked certificate is refused whenever the message was sent: whoever
    has stolen a key can write any date.

    Arguments and errors are those of `Validator`.
    """

    def __init__(self, config: Mapping[str, Any], *, keep_for: float = KEEP_FOR) -> None:
        super().__init__(config, keep_for=keep_for)
        for name, _, valid_until in self._parts[1:]:
            if valid_until < time.time():
                log.warning(
                    "%s ended on %s: certificates that were revoked later are not known.",
                    name,
                    _date(valid_until),
                )

    def validate(self, body: Mapping[str, Any], sent: float | None = None) -> str | None:
        """Why the message is not to be believed, in a few words; None where it is.

        Args:
            body: the body exactly as it was sent.
            sent: when, in epoch seconds; without it, now.

        Raises:
            SignaturesUnknown: gpg could not be run.
        """
        return self._reason(body, sent)

    def _reason_of_chain(self, certificate: x509.Certificate) -> str | None:
        authority = self._source.authority
        revoked = authority.crl and authority.crl.get_revoked_certificate_by_serial_number(
            certificate.serial_number
        )
        if revoked:
            return f"revoked on {revoked.revocation_date_utc:%Y-%m-%d}"
        store = X509Store()
        store.add_cert(X509.from_cryptography(authority.ca))
        # The first moment when both were valid; that of the message is looked at with each message.
        store.set_time(max(certificate.not_valid_before_utc, authority.ca.not_valid_before_utc))
        try:
            X509StoreContext(store, X509.from_cryptography(certificate)).verify_certificate()
        except X509StoreContextError as error:
            return str(error)
        return None


class _InvalidError(Exception):
    """A message that is not to be believed; says why."""


@dataclass(frozen=True, slots=True)
class _Signer:
    """What a certificate is worth, until when; times are in epoch seconds."""

    checked_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Refused(_Signer):
    reason: str


@dataclass(frozen=True, slots=True)
class _Trusted(_Signer):
    key: rsa.RSAPublicKey
    name: str
    valid_from: float
    valid_until: float


def _configured_backends(config: Mapping[str, Any]) -> frozenset[str]:
    named = list(config.get("crypto_validate_backends") or ())
    unknown = [name for name in named if name not in _BACKENDS]
    if unknown:
        raise ConfigurationError(
            f"crypto_validate_backends in the fedmsg configuration has {unknown[0]!r}; "
            "fedmsg knows 'x509' and 'gpg'."
        )
    # As fedmsg.crypto.init does.
    signing = "gpg" if config.get("crypto_backend") == "gpg" else "x509"
    return frozenset(named or [signing])


def _require_gpg(home: str) -> None:
    missing = None
    if shutil.which("gpg") is None:
        missing = "there is no program gpg. Install GnuPG"
    elif not (os.path.isdir(home) and os.access(home, os.R_OK | os.X_OK)):  # noqa: PTH112
        missing = f"gpg_home ({home}) is no folder that can be read. Put the keys there"
    if missing:
        raise ConfigurationError(
            f"Signatures of gpg cannot be validated: {missing}, or take gpg out of "
            "crypto_validate_backends in the fedmsg configuration."
        )


@functools.cache
def _require_x509() -> None:
    if _import_error:
        raise ConfigurationError(
            f"Signatures cannot be validated: {_import_error}. "
            "Install what fedmsg needs: pip install 'fedmsg[crypto_ng]==1.1.7' 'pyOpenSSL<24.3'"
        )
    # Some systems forbid SHA-1, which fedmsg signs with: every message would be refused.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    try:
        key.public_key().verify(key.sign(b"", _PADDING, _HASH), b"", _PADDING, _HASH)
    except Exception as error:
        raise ConfigurationError(
            "Signatures cannot be validated: fedmsg signs with SHA-1, which this system forbids "
            f"({type(error).__name__}). Allow it: update-crypto-policies --set DEFAULT:SHA1"
        ) from error


def _trusted(
    certificate: x509.Certificate, authority: Authority, checked_at: float, expires_at: float
) -> _Signer:
    key = certificate.public_key()
    names = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    if not isinstance(key, rsa.RSAPublicKey):
        return _Refused(checked_at, expires_at, "its certificate has no RSA key")
    if not names:
        return _Refused(checked_at, expires_at, "its certificate names nobody")
    begins, ends = zip(validity(certificate), validity(authority.ca), strict=True)
    return _Trusted(checked_at, expires_at, key, str(names[0].value), max(begins), min(ends))


def _backend_of(body: Mapping[str, Any]) -> str:
    """The backend that the message says it is signed with, or shows."""
    if is_unsigned(body):
        raise _InvalidError("unsigned")
    if "crypto" in body:
        backend = body["crypto"]
        if backend not in _BACKENDS:
            raise _InvalidError("signed with what fedmsg does not know")
        return str(backend)
    # fedmsg up to 0.7.2 did not say.
    return "x509" if "certificate" in body else "gpg"


def _text_of(key: str, body: Mapping[str, Any]) -> str:
    value = body.get(key)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _InvalidError(f"its {key} is not text") from None
    if not isinstance(value, str):
        raise _InvalidError(f"its {key} is {'missing' if value is None else 'not text'}")
    return value


def _decoded(key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        raise _InvalidError(f"its {key} is not base64") from None


def _date(moment: float) -> str:
    return (
        "the end of time"
        if moment == float("inf")
        else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"
    )


def _shown(name: str) -> str:
    return repr(name[:100])
