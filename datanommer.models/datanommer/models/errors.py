"""Every error that datanommer raises on purpose.

Each message says what went wrong and what to do next, so that a command can print it as it is.
`exit_code` is what the command line ends with (the values are those of BSD's sysexits.h).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

#: The kinds of rejects: the id belongs to another message; no column can hold the message; it is
#: too large; the upgrade of a classic database left it behind.
KINDS = ("conflict", "invalid", "too large", "classic")


class DatanommerError(Exception):
    """The base of all errors that datanommer raises on purpose."""

    exit_code = 1


class ConfigurationError(DatanommerError):
    """The fedmsg configuration, or a database URL, cannot be used."""


class UnusableURL(ConfigurationError):
    """A database URL cannot be used, wherever it comes from; says how to write it."""

    exit_code = 2


class DatabaseUnavailable(DatanommerError):
    """There is no database to talk to: none is named, or we cannot connect to the one that is."""

    exit_code = 69


class ReplicaUnavailable(DatabaseUnavailable):
    """A replica cannot be used; ask its primary instead.

    Args:
        replica: its name.
        reason: why, as a sentence.
    """

    def __init__(self, replica: str, reason: str) -> None:
        super().__init__(f"The replica {replica} cannot be asked: {reason}")


class NotAtHead(DatanommerError):
    """The database does not have the schema that this version needs."""


class BehindHead(NotAtHead):
    """A database of datanommer is some steps behind the schema that this version needs.

    Args:
        database: its name.
        steps: how many.
        command: what to type for each of them.
    """

    def __init__(self, database: str, steps: int, command: str) -> None:
        self.steps = steps
        number, repeat = ("1 step", "once") if steps == 1 else (f"{steps} steps", f"{steps} times")
        super().__init__(
            f"The database {database} is {number} behind this version of datanommer. Make a "
            f"backup, and type {repeat}: {command} (add -x url=... before `upgrade` where the "
            "database was named with --url)."
        )


class OnStandby(DatanommerError):
    """A standby cannot do this; says what to do instead."""


class TookTooLong(DatabaseUnavailable):
    """The database did not finish something in time.

    Args:
        seconds: how long it had.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than {seconds:g} seconds")


class EmbeddedError(DatabaseUnavailable):
    """The embedded PostgreSQL cannot be started, stopped or reached."""


class SignaturesUnknown(DatanommerError):
    """Signatures cannot be validated at the moment; says why.

    Args:
        reason: why, and what to do.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"Signatures cannot be validated: {reason}")


class SpoolFull(DatanommerError):
    """The spool cannot be used: its cap or the floor of free disk is reached, or the disk fails."""


class SpoolForbidden(DatanommerError):
    """The folder of a spool belongs to somebody else.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"You cannot read and write the spool folder {folder}. Run this as the user of the "
            "hub, or name another folder with --spool-dir."
        )


class SpoolOfAnotherVersion(DatanommerError):
    """The spool was written by another version of datanommer."""

    def __init__(self) -> None:
        super().__init__(
            "The spool was written by another version of datanommer, and this one cannot read it. "
            "Store what waits in it with `datanommer-spool drain` of that version, or move its "
            "files to another folder."
        )


class InvalidQuery(DatanommerError, ValueError):
    """A query makes no sense; says what would."""

    exit_code = 2


class NotSettled(DatanommerError):
    """A transaction writes for so long that messages cannot be read in the order of ids."""


class NoSuchReject(DatanommerError):
    """There is no reject with one of these ids.

    Args:
        ids: the ids that are not there.
    """

    def __init__(self, ids: Collection[int]) -> None:
        super().__init__(
            f"There is no reject with the id {', '.join(map(str, ids))}. "
            "See those that there are with datanommer-rejected list."
        )


class NoSuchRun(DatanommerError):
    """There is no run with that id.

    Args:
        run_id: the id that is not there.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"There is no run with the id {run_id!r}. See those that there are with "
            "datanommer-runs; for messages that were stored before version 2.0.0, run "
            "datanommer-reindex first."
        )


class NotStorable(DatanommerError):
    """A message cannot be stored as it is, and has to be rejected.

    Args:
        kind: the kind of reject, one of `KINDS`.
        reason: why, in words.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
