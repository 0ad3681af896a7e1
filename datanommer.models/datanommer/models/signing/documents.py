"""Until when the CA certificate and the CRL of a configuration are valid, as far as files tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509

from datanommer.models import times
from datanommer.models.configuration import SIGNATURES_KEY
from datanommer.models.signing import backends


class Ending(NamedTuple):
    """Something that is valid for some time only.

    Attributes:
        key: of the configuration that names it.
        name: what it is.
        place: the file or the URL where it is.
        end: until when it is valid (naive, in UTC); None if it cannot be seen, or never ends.
        unseen: why it cannot be seen, if so.
    """

    key: str
    name: str
    place: str
    end: datetime | None
    unseen: str | None = None


def _end_of_certificate(pem: bytes) -> datetime | None:
    return times.naive_utc(x509.load_pem_x509_certificate(pem).not_valid_after_utc)


def _end_of_crl(pem: bytes) -> datetime | None:
    end = x509.load_pem_x509_crl(pem).next_update_utc
    return end and times.naive_utc(end)


# Each with the key that names fedmsg's local copy of a URL, and with the default location
# (source: fedmsg.config and fedmsg.crypto.x509_ng, fedmsg 1.1.7).
_DOCUMENTS: dict[str, tuple[str, str, str, Callable[[bytes], datetime | None]]] = {
    "ca_cert_location": (
        "The CA certificate",
        "ca_cert_cache",
        "https://fedoraproject.org/fedmsg/ca.crt",
        _end_of_certificate,
    ),
    "crl_location": (
        "The CRL",
        "crl_cache",
        "https://fedoraproject.org/fedmsg/crl.pem",
        _end_of_crl,
    ),
}


def endings(config: Mapping[str, Any]) -> list[Ending]:
    """Until when the CA certificate and the CRL are valid; nothing is fetched.

    Args:
        config: the fedmsg configuration.

    Returns:
        The CA certificate, and the CRL if there is to be one; none if no x509 is checked.

    Raises:
        ConfigurationError: the configuration names a backend that fedmsg does not know.
    """
    if not config.get(SIGNATURES_KEY) or "x509" not in backends.configured(config):
        return []
    found = []
    for key, (name, cache, default, read) in _DOCUMENTS.items():
        if place := config.get(key, default):
            found.append(_ending(key, name, str(place), config.get(cache), read))
    return found


def _ending(
    key: str, name: str, place: str, cache: Any, read: Callable[[bytes], datetime | None]
) -> Ending:
    file = place
    if place.startswith(("http://", "https://")):
        file = str(cache)
        if not cache or not Path(file).is_file():
            return Ending(key, name, place, None, "it is at a URL, and this fetches nothing")
    try:
        return Ending(key, name, file, read(Path(file).read_bytes()))
    except OSError as error:
        return Ending(key, name, file, None, f"it cannot be read: {error.strerror}")
    except ValueError:
        return Ending(key, name, file, None, "it is not in PEM format")
