"""The chain of a certificate: whether the CA has signed it, and has not revoked it.

OpenSSL checks it, in pyOpenSSL's `X509Store`, as fedmsg has it checked.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from OpenSSL.crypto import (
    FILETYPE_PEM,
    X509,
    X509Store,
    X509StoreContext,
    X509StoreContextError,
    X509StoreFlags,
    load_crl,
)

from datanommer.models.signing.authority import Authority


def check_now(certificate: x509.Certificate, authority: Authority, now: float) -> str | None:
    """Why a certificate is not to be trusted now, as fedmsg checks it; None where it is.

    Args:
        certificate: of a signer.
        authority: the CA and its CRL. While one of them is not valid, no certificate is trusted.
        now: in epoch seconds.
    """
    store = X509Store()
    store.add_cert(X509.from_cryptography(authority.ca))
    if authority.crl_pem:
        store.add_crl(load_crl(FILETYPE_PEM, authority.crl_pem.encode()))
        store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)
    store.set_time(datetime.fromtimestamp(now, UTC))
    return _error(store, certificate)


def check_ever(certificate: x509.Certificate, authority: Authority) -> str | None:
    """Why a certificate was never to be trusted; None where it was, at some time.

    A revoked one never was: whoever has stolen a key can write any date.
    """
    revoked = authority.crl and authority.crl.get_revoked_certificate_by_serial_number(
        certificate.serial_number
    )
    if revoked:
        return f"revoked on {revoked.revocation_date_utc:%Y-%m-%d}"
    store = X509Store()
    store.add_cert(X509.from_cryptography(authority.ca))
    # The first moment when both were valid.
    store.set_time(max(certificate.not_valid_before_utc, authority.ca.not_valid_before_utc))
    return _error(store, certificate)


def _error(store: X509Store, certificate: x509.Certificate) -> str | None:
    try:
        X509StoreContext(store, X509.from_cryptography(certificate)).verify_certificate()
    except X509StoreContextError as error:
        return str(error)
    return None
