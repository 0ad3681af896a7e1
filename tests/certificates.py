"""A certificate authority for a test, laid out in a folder as fedmsg wants it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fedmsg.crypto
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_YESTERDAY = datetime.now(UTC) - timedelta(days=1)
_TOMORROW = datetime.now(UTC) + timedelta(days=1)
#: From when to when something is valid.
Period = tuple[datetime, datetime]
NOW: Period = (_YESTERDAY, _TOMORROW)
PAST: Period = (_YESTERDAY - timedelta(days=2), _YESTERDAY)
FUTURE: Period = (_TOMORROW, _TOMORROW + timedelta(days=2))


class Authority:
    """Issues certificates, and says which it has revoked: at first none.

    Attributes:
        folder: holds ``ca.crt``, ``crl.pem`` and, for each name, ``NAME.crt`` and ``NAME.key``.
    """

    def __init__(self, folder: Path, valid: Period = NOW) -> None:
        self.folder = folder
        self._name = _name("the authority of a test")
        self._key = _new_key()
        public = self._key.public_key()
        certificate = self._certificate(self._name, public, valid).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._write("ca.crt", certificate.sign(self._key, hashes.SHA256()))
        self.revoke(valid=valid)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of a bus where messages are signed."""
        return {
            "sign_messages": True,
            "validate_signatures": True,
            "crypto_backend": "x509",
            "crypto_validate_backends": ["x509"],
            "ssldir": str(self.folder),
            "ca_cert_location": str(self.folder / "ca.crt"),
            "crl_location": str(self.folder / "crl.pem"),
            "routing_policy": {},
            "routing_nitpicky": False,
        }

    def issue(self, name: str, valid: Period = NOW) -> None:
        """Make a key and a certificate for a signer, or a host, of that name."""
        key = _new_key()
        certificate = self._certificate(_name(name), key.public_key(), valid).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
        self._write(f"{name}.crt", certificate.sign(self._key, hashes.SHA256()))
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )

    def revoke(self, *names: str, valid: Period = NOW) -> None:
        """Write a list of revoked certificates with these in it, and no others."""
        crl = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(valid[0])
            .next_update(valid[1])
        )
        for name in names:
            certificate = x509.load_pem_x509_certificate((self.folder / f"{name}.crt").read_bytes())
            crl = crl.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(valid[0])
                .build()
            )
        self._write("crl.pem", crl.sign(self._key, hashes.SHA256()))

    def sign(self, message: dict[str, Any], name: str) -> dict[str, Any]:
        """The envelope, its body signed with the certificate of that name."""
        body = fedmsg.crypto.x509_ng.sign(
            dict(message["body"]), ssldir=str(self.folder), certname=name
        )
        return {**message, "body": body}

    def _certificate(
        self, subject: x509.Name, key: rsa.RSAPublicKey, valid: Period
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(valid[0])
            .not_valid_after(valid[1])
        )

    def _write(
        self, filename: str, content: x509.Certificate | x509.CertificateRevocationList
    ) -> None:
        (self.folder / filename).write_bytes(content.public_bytes(Encoding.PEM))


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, common_name)])
