"""The authority over certificates: the certificate of the CA and its revocation list (CRL)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from cryptography import x509
from fedmsg.crypto import utils

from datanommer.models.errors import ConfigurationError

log = logging.getLogger(__name__)

_Parsed = TypeVar("_Parsed")

# The defaults of fedmsg.crypto.x509_ng, for a configuration that does not have the keys.
_DEFAULT_CA = "https://fedoraproject.org/fedmsg/ca.crt"
_DEFAULT_CRL = "https://fedoraproject.org/fedmsg/crl.pem"


class Document(NamedTuple):
    """The name of the CA certificate or of the CRL, and when that is valid, in epoch seconds."""

    name: str
    valid_from: float
    valid_until: float

    @property
    def end(self) -> str:
        """When its validity ends, for people to read."""
        return _minute(self.valid_until)

    def outdated(self, now: float) -> str | None:
        """When it is valid, in words, if that is not now."""
        if self.valid_from <= now <= self.valid_until:
            return None
        return f"{self.name} is valid from {_minute(self.valid_from)} to {self.end}"


class Authority(NamedTuple):
    """The CA certificate and the CRL, which say what certificates are good.

    Attributes:
        ca_pem: the CA certificate as it was read.
        crl_pem: the CRL as it was read; None where none is configured.
        ca: the CA certificate.
        crl: the CRL, if any.
        documents: the names of the two, and when each is valid; the CA certificate comes first.
    """

    ca_pem: str
    crl_pem: str | None
    ca: x509.Certificate
    crl: x509.CertificateRevocationList | None
    documents: list[Document]

    @property
    def boundaries(self) -> list[float]:
        """The epoch seconds at which the validity of one of them begins or ends."""
        return [moment for _, *moments in self.documents for moment in moments]


class AuthoritySource:
    """Reads the CA certificate and the CRL, and reads them again when they have changed.

    Args:
        config: the fedmsg configuration, which says where they are.
        now: in epoch seconds.

    Attributes:
        authority: what was read last.

    Raises:
        ConfigurationError: they cannot be read, or do not belong together.
    """

    def __init__(self, config: Mapping[str, Any], now: float) -> None:
        self._ca_location = config.get("ca_cert_location", _DEFAULT_CA)
        self._crl_location = config.get("crl_location", _DEFAULT_CRL)
        self._stamps = self._current_stamps()
        self._read_at = now
        self.authority = self._read()

    def refresh(self, now: float, max_age: float) -> bool:
        """Read them again if a file has changed, or if they were read too long ago.

        Args:
            now: in epoch seconds.
            max_age: the seconds after which they are read again.

        Returns:
            Whether the authority has changed. What cannot be read changes nothing.
        """
        stamps = self._current_stamps()
        if stamps == self._stamps and 0 <= now - self._read_at < max_age:
            return False
        self._stamps, self._read_at = stamps, now
        before = self.authority
        try:
            self.authority = self._read()
        except ConfigurationError as error:
            log.error("What was read before stays in use. %s", error)  # noqa: TRY400
        return before[:2] != self.authority[:2]

    def _current_stamps(self) -> list[tuple[int, ...] | None]:
        return [_stamp(location) for location in (self._ca_location, self._crl_location)]

    def _read(self) -> Authority:
        ca_pem = _load("ca_cert_location", self._ca_location)
        ca = _parse("certificate", self._ca_location, ca_pem, x509.load_pem_x509_certificate)
        documents = [Document(f"The CA certificate {self._ca_location}", *validity(ca))]
        if not self._crl_location:
            return Authority(ca_pem, None, ca, None, documents)
        crl_pem = _load("crl_location", self._crl_location)
        crl = _parse("revocation list", self._crl_location, crl_pem, x509.load_pem_x509_crl)
        key: Any = ca.public_key()  # of a kind that can sign, as it is a CA's
        if crl.issuer != ca.subject or not crl.is_signature_valid(key):
            raise ConfigurationError(
                f"The CRL {self._crl_location} is not of the CA in {self._ca_location}. "
                "Set crl_location and ca_cert_location to a matching pair."
            )
        next_update = crl.next_update_utc
        end = next_update.timestamp() if next_update else float("inf")
        begin = crl.last_update_utc.timestamp()
        documents.append(Document(f"The CRL {self._crl_location}", begin, end))
        return Authority(ca_pem, crl_pem, ca, crl, documents)


def validity(certificate: x509.Certificate) -> tuple[float, float]:
    """When the validity of a certificate begins and ends, in epoch seconds."""
    return (
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def _load(key: str, location: Any) -> str:
    try:
        text = utils.load_certificates(location, invalidate_cache=True)[0]
        if not text:
            raise ValueError("it is empty")  # noqa: TRY301
    except Exception as error:  # those of files, and the many of requests
        raise ConfigurationError(
            f"Signatures cannot be validated: {location!r} cannot be read: {error}. "
            f"Set {key} in the fedmsg configuration to a PEM file that can be read."
        ) from error
    assert isinstance(text, str)
    return text


def _parse(what: str, location: Any, pem: str, parser: Callable[[bytes], _Parsed]) -> _Parsed:
    try:
        return parser(pem.encode())
    except ValueError as error:
        raise ConfigurationError(
            f"Signatures cannot be validated: {location} holds no {what} in PEM format."
        ) from error


def _stamp(location: Any) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written; None for a URL or a missing file."""
    try:
        status = os.stat(location)  # noqa: PTH116  a URL is no Path
    except (OSError, TypeError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _minute(moment: float) -> str:
    if moment == float("inf"):
        return "the end of time"
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"
