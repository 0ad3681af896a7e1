"""The signers of messages: whether their certificates are trusted, and until when."""

from __future__ import annotations

import base64
import functools
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1

from datanommer.models.errors import ConfigurationError
from datanommer.models.signing import chain
from datanommer.models.signing.authority import Authority, AuthoritySource, validity

# Each takes about 3 kB; a bus has one certificate for each service of a host.
_MAX_SIGNERS = 4096
# How often to look whether the files of the CA and the CRL have changed, in seconds.
_LOOK_EVERY = 1.0
# How often, in seconds, a distrusted certificate makes us fetch the CA and the CRL from the web.
_FETCH_EVERY = 60.0
# What fedmsg signs with.
_PADDING, _HASH = padding.PKCS1v15(), SHA1()  # noqa: S303


@dataclass(frozen=True, slots=True)
class Signer:
    """Whether a certificate is trusted, and until when; times are in epoch seconds.

    Attributes:
        checked_at: when the certificate was checked.
        expires_at: when it has to be checked again.
    """

    checked_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Distrusted(Signer):
    """A certificate that is not to be trusted.

    Attributes:
        reason: why, in words.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Trusted(Signer):
    """A certificate to be trusted.

    Attributes:
        key: checks the signatures of the signer.
        name: of the signer.
        valid_from: since when both the certificate and that of the CA are valid.
        valid_until: until when both are.
    """

    key: rsa.RSAPublicKey
    name: str
    valid_from: float
    valid_until: float

    def has_signed(self, content: bytes, signature: bytes) -> bool:
        """Whether a signature of that content was made by this signer."""
        try:
            self.key.verify(signature, content, _PADDING, _HASH)
        except InvalidSignature:
            return False
        return True


class Signers:
    """The signers whose certificates were checked; threads can share them.

    Args:
        config: the fedmsg configuration.
        now: in epoch seconds.
        keep_for: how long what was checked or read counts, in seconds.
        of_the_past: whether a certificate need only have been good at some time.

    Raises:
        ConfigurationError: no signature could be checked; says what to do.
    """

    def __init__(
        self, config: Mapping[str, Any], *, now: float, keep_for: float, of_the_past: bool
    ) -> None:
        _require_sha1()
        self._keep_for = keep_for
        self._of_the_past = of_the_past
        self._source = AuthoritySource(config, now)
        self._by_digest: dict[bytes, Signer] = {}
        self._lock = threading.Lock()
        self._look_at = now + min(_LOOK_EVERY, keep_for)

    @property
    def authority(self) -> Authority:
        """The CA and the CRL that count now."""
        return self._source.authority

    def find(self, certificate: str, now: float) -> Signer:
        """The signer of a certificate, which is checked if it is new, or was checked long ago.

        Args:
            certificate: its PEM form in base64, as a message has it.
            now: in epoch seconds.
        """
        # A digest as the key: whoever sends a certificate chooses how long that is.
        digest = hashlib.sha256(certificate.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            self._refresh(now)
            signer = self._by_digest.get(digest)
            if signer is None or not signer.checked_at <= now < signer.expires_at:
                signer = self._check(certificate, now)
                self._keep(digest, signer)
            return signer

    def _refresh(self, now: float) -> None:
        if not self._look_at - _LOOK_EVERY <= now < self._look_at:  # a clock may be set back
            self._look_at = now + min(_LOOK_EVERY, self._keep_for)
            if self._source.refresh(now, self._keep_for):
                self._by_digest.clear()

    def _keep(self, digest: bytes, signer: Signer) -> None:
        self._by_digest.pop(digest, None)
        if len(self._by_digest) >= _MAX_SIGNERS:
            del self._by_digest[next(iter(self._by_digest))]
        self._by_digest[digest] = signer

    def _check(self, text: str, now: float) -> Signer:
        try:
            pem = base64.b64decode(text)
        except ValueError:
            return Distrusted(now, now + self._keep_for, "its certificate is not base64")
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            return Distrusted(now, now + self._keep_for, "its certificate is malformed")
        error = self._check_chain(certificate, now)
        if error and self._source.refresh(now, _FETCH_EVERY):
            # A new CA may have issued it, or the CRL that was read had expired.
            self._by_digest.clear()
            error = self._check_chain(certificate, now)
        boundaries = (*validity(certificate), *self.authority.boundaries)
        # The result holds until something begins or ends to be valid.
        expires_at = min([now + self._keep_for, *(moment for moment in boundaries if moment > now)])
        if error:
            return Distrusted(now, expires_at, f"its certificate is refused: {error}")
        return _trusted(certificate, self.authority.ca, now, expires_at)

    def _check_chain(self, certificate: x509.Certificate, now: float) -> str | None:
        if self._of_the_past:
            return chain.check_ever(certificate, self.authority)
        return chain.check_now(certificate, self.authority, now)


def _trusted(
    certificate: x509.Certificate, ca: x509.Certificate, checked_at: float, expires_at: float
) -> Signer:
    key = certificate.public_key()
    names = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    if not isinstance(key, rsa.RSAPublicKey):
        return Distrusted(checked_at, expires_at, "its certificate has no RSA key")
    if not names:
        return Distrusted(checked_at, expires_at, "its certificate names nobody")
    begins, ends = zip(validity(certificate), validity(ca), strict=True)
    return Trusted(checked_at, expires_at, key, str(names[0].value), max(begins), min(ends))


@functools.cache
def _require_sha1() -> None:
    """Some systems forbid SHA-1, which fedmsg signs with: every message would be refused."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    try:
        key.public_key().verify(key.sign(b"", _PADDING, _HASH), b"", _PADDING, _HASH)
    except Exception as error:
        raise ConfigurationError(
            "Signatures cannot be validated: fedmsg signs with SHA-1, which this system forbids "
            f"({type(error).__name__}). Allow it: update-crypto-policies --set DEFAULT:SHA1"
        ) from error
