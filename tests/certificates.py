"""A certificate authority for a test, laid out in a folder as fedmsg wants it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_YESTERDAY = datetime.now(UTC) - timedelta(days=1)
_TOMORROW = datetime.now(UTC) + timedelta(days=1)


class Authority:
    """Issues certificates, and says that it has revoked none.

    Attributes:
        folder: holds ``ca.crt``, ``crl.pem`` and, for each name, ``NAME.crt`` and ``NAME.key``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._name = _name("the authority of a test")
        self._key = _new_key()
        public = self._key.public_key()
        certificate = self._certificate(self._name, public).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        revoked = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(_YESTERDAY)
            .next_update(_TOMORROW)
        )
        self._write("ca.crt", certificate.sign(self._key, hashes.SHA256()))
        self._write("crl.pem", revoked.sign(self._key, hashes.SHA256()))

    def issue(self, name: str) -> None:
        """Make a key and a certificate for a signer of that name."""
        key = _new_key()
        certificate = self._certificate(_name(name), key.public_key())
        self._write(f"{name}.crt", certificate.sign(self._key, hashes.SHA256()))
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )

    def _certificate(self, subject: x509.Name, key: rsa.RSAPublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_YESTERDAY)
            .not_valid_after(_TOMORROW)
        )

    def _write(
        self, filename: str, content: x509.Certificate | x509.CertificateRevocationList
    ) -> None:
        (self.folder / filename).write_bytes(content.public_bytes(Encoding.PEM))


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, common_name)])
