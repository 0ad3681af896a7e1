"""Who says which certificates are good: the CA's certificate and its revocation list (CRL)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from cryptography import x509
from fedmsg.crypto import utils

from datanommer.models.errors import ConfigurationError

log = logging.getLogger(__name__)

_Part = TypeVar("_Part")

# The defaults of fedmsg.crypto.x509_ng, for a configuration that does not have the keys.
_DEFAULT_CA = "https://fedoraproject.org/fedmsg/ca.crt"
_DEFAULT_CRL = "https://fedoraproject.org/fedmsg/crl.pem"


class Authority(NamedTuple):
    """Who says which certificates are good, and which no longer.

    Attributes:
        parts: what the CA and the CRL are called, and from when to when they are valid.
    """

    ca_pem: str
    crl_pem: str | None
    ca: x509.Certificate
    crl: x509.CertificateRevocationList | None
    parts: list[tuple[str, float, float]]

    @property
    def moments(self) -> list[float]:
        """The epoch seconds at which one of them begins or ends to be valid."""
        return [moment for _, *moments in self.parts for moment in moments]


class AuthoritySource:
    """Where the CA and the CRL are, and what was read there.

    Raises:
        ConfigurationError: they cannot be read, or do not belong together.
    """

    def __init__(self, config: Mapping[str, Any], keep_for: float) -> None:
        self._ca_location = config.get("ca_cert_location", _DEFAULT_CA)
        self._crl_location = config.get("crl_location", _DEFAULT_CRL)
        self._keep_for = keep_for
        self._stamps = self._look()
        self._read_at = time.time()
        self.authority = self._read()

    def refresh(self, now: float, max_age: float) -> bool:
        """Read again what has changed, or was read longer than `max_age` seconds ago.

        Returns:
            Whether it is not what it was. What cannot be read leaves things as they are.
        """
        stamps = self._look()
        if stamps == self._stamps and 0 <= now - self._read_at < max_age:
            return False
        self._stamps, self._read_at = stamps, now
        before = self.authority
        try:
            self.authority = self._read()
        except ConfigurationError as error:
            log.error("What was read before goes on to count. %s", error)  # noqa: TRY400
        return before[:2] != self.authority[:2]

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_stamp(location) for location in (self._ca_location, self._crl_location)]

    def _read(self) -> Authority:
        ca_pem = _load("ca_cert_location", self._ca_location)
        ca = _parsed("certificate", self._ca_location, ca_pem, x509.load_pem_x509_certificate)
        parts = [(f"The CA certificate {self._ca_location}", *validity(ca))]
        if not self._crl_location:
            return Authority(ca_pem, None, ca, None, parts)
        crl_pem = _load("crl_location", self._crl_location)
        crl = _parsed("revocation list", self._crl_location, crl_pem, x509.load_pem_x509_crl)
        key: Any = ca.public_key()  # of a kind that signs, or it were no authority
        if crl.issuer != ca.subject or not crl.is_signature_valid(key):
            raise ConfigurationError(
                f"The CRL {self._crl_location} is not of the CA in {self._ca_location}. "
                "Set crl_location and ca_cert_location to what belongs together."
            )
        until = crl.next_update_utc
        end = until.timestamp() if until else float("inf")
        parts.append((f"The CRL {self._crl_location}", crl.last_update_utc.timestamp(), end))
        return Authority(ca_pem, crl_pem, ca, crl, parts)


def _load(key: str, location: Any) -> str:
    try:
        text = utils.load_certificates(location, invalidate_cache=True)[0]
        if not text:
            raise ValueError("it is empty")  # noqa: TRY301
    except Exception as error:  # requests has many, beside those of files
        raise ConfigurationError(
            f"Signatures cannot be validated: {location!r} cannot be read: {error}. "
            f"Set {key} in the fedmsg configuration to a file in PEM form that can."
        ) from error
    assert isinstance(text, str)
    return text


def _parsed(what: str, location: Any, pem: str, parse: Callable[[bytes], _Part]) -> _Part:
    try:
        return parse(pem.encode())
    except ValueError as error:
        raise ConfigurationError(
            f"Signatures cannot be validated: {location} holds no {what} in PEM form."
        ) from error


def _stamp(location: Any) -> tuple[int, ...] | None:
    """What tells a file from the one that was there before; None for a URL, or no file."""
    try:
        status = os.stat(location)  # noqa: PTH116  a URL is no Path
    except (OSError, TypeError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def validity(certificate: x509.Certificate) -> tuple[float, float]:
    """From when to when a certificate is valid, in epoch seconds."""
    return (
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )
