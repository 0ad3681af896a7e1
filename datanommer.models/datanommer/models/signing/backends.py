"""The backends that fedmsg signs with, x509 and gpg: which are configured, and what they need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from datanommer.models.errors import ConfigurationError

#: The backends of `fedmsg.crypto`.
BACKENDS = ("x509", "gpg")


def configured(config: Mapping[str, Any]) -> frozenset[str]:
    """The backends whose signatures the fedmsg configuration allows.

    Raises:
        ConfigurationError: it names a backend that fedmsg does not know.
    """
    names = list(config.get("crypto_validate_backends") or ())
    unknown = [name for name in names if name not in BACKENDS]
    if unknown:
        raise ConfigurationError(
            f"crypto_validate_backends in the fedmsg configuration has {unknown[0]!r}; "
            "fedmsg knows 'x509' and 'gpg'."
        )
    # As fedmsg.crypto.init does.
    signing = "gpg" if config.get("crypto_backend") == "gpg" else "x509"
    return frozenset(names or [signing])


def require_gpg(home: str) -> None:
    """Make sure that gpg is installed and its keys can be read.

    Args:
        home: the folder of the keys.

    Raises:
        ConfigurationError: it is not, or they cannot; says what to do.
    """
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


def require_x509(import_error: ImportError | None) -> None:
    """Make sure that cryptography and pyOpenSSL are there, and have what fedmsg needs.

    Args:
        import_error: what their import raised, if anything.

    Raises:
        ConfigurationError: one is missing, or too new; says what to install.
    """
    if import_error:
        raise ConfigurationError(
            f"Signatures cannot be validated: {import_error}. "
            "Install what fedmsg needs: pip install 'fedmsg[crypto_ng]==1.1.7' 'pyOpenSSL<24.3'"
        ) from import_error
