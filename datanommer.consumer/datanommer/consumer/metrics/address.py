"""Where metrics are served, by the fedmsg configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from datanommer.models.errors import ConfigurationError


class Address(NamedTuple):
    """An address to listen on.

    Attributes:
        host: a name, or an address of IPv4 or IPv6.
        port: of TCP.
    """

    host: str
    port: int

    @classmethod
    def configured(cls, config: Mapping[str, Any], key: str) -> Self | None:
        """The address under a key of the fedmsg configuration; None where the key is missing.

        Raises:
            ConfigurationError: the value is no address.
        """
        value = config.get(key)
        if value is None:
            return None
        address = cls._read(value) if isinstance(value, str) else None
        if address is None:
            raise ConfigurationError(
                f"{key} in the fedmsg configuration must be an address and a port, such as "
                f'"127.0.0.1:9109" or "[::1]:9109", not {value!r}.'
            )
        return address

    @classmethod
    def _read(cls, text: str) -> Self | None:
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError:  # such as a port that is no number, or too large
            return None
        is_whole = parts.netloc == text and "@" not in text
        return cls(host, port) if host and port and is_whole else None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
