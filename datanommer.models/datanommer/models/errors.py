"""Every error that datanommer raises on purpose.

Each message says what went wrong and what to do next, so that a command can print it as it is.
`exit_code` is what the command line ends with (the values are those of BSD's sysexits.h).
"""

from __future__ import annotations


class DatanommerError(Exception):
    """The base of all errors that datanommer raises on purpose."""

    exit_code = 1


class ConfigurationError(DatanommerError):
    """The fedmsg configuration, or a database URL, cannot be used."""


class DatabaseUnavailable(DatanommerError):
    """There is no database to talk to: none is named, or the one that is does not answer."""

    exit_code = 69


class NotAtHead(DatanommerError):
    """The database does not have the schema that this version needs."""


class EmbeddedError(DatabaseUnavailable):
    """The embedded PostgreSQL cannot be started, stopped or reached."""


class NotStorable(DatanommerError):
    """A message cannot be stored as it is, and belongs among the rejected.

    Args:
        kind: the kind of reject, a short constant such as ``"invalid"`` or ``"too large"``.
        reason: why, in words.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
