"""The state that a hub reports, in a small file that everybody may read."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from datanommer.models.configuration import STATUS_FILE_KEY
from datanommer.models.errors import ConfigurationError, DatanommerError

#: Where the file is, unless the configuration says otherwise.
SYSTEM_FILE = Path("/run/datanommer/hub.json")


class HubState(NamedTuple):
    """The state that a hub reports. Counts are since its start.

    Attributes:
        alive: whether it is running; False once it has ended cleanly.
        pid: its process.
        version: of datanommer.
        started, time: when it started, and when it wrote this, in epoch seconds.
        spool: the folder where messages wait on disk.
        backlog: how many messages are in its memory.
        stored, duplicates, rejected: what became of those that reached the database.
        refused: how many had no good signature.
        spooled: how many went onto the disk because the database was away.
        waiting: how many are there now.
        oldest: when the first of these was put there, in epoch seconds.
        lost: how many are lost.
    """

    alive: bool
    pid: int
    version: str
    started: float
    time: float
    spool: str
    backlog: int
    stored: int
    duplicates: int
    rejected: int
    refused: int
    spooled: int
    waiting: int
    oldest: float | None
    lost: int

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The state in a file; None where there is no file.

        Raises:
            OSError: it cannot be read.
            DatanommerError: it is not one of this version.
        """
        try:
            values = json.loads(file.read_bytes())
            return cls(**{name: values[name] for name in cls._fields})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            raise DatanommerError(
                f"{file} was not written by a hub of this version of datanommer. Restart the hub, "
                f"or name the file with {STATUS_FILE_KEY} in the fedmsg configuration."
            ) from None

    def write(self, file: Path) -> None:
        """Write it, replacing the old one. Nobody sees a part of it.

        Raises:
            OSError: it cannot be written.
        """
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            temporary.write_text(f"{json.dumps(self._asdict())}\n", encoding="utf-8")
            temporary.chmod(0o644)  # whatever the umask is: there is no secret in it
            temporary.replace(file)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def file_to_write(config: Mapping[str, Any]) -> Path:
    """The file that the hub of a configuration writes.

    If the configuration names none: the system's if its folder is writable, else
    ``$XDG_STATE_HOME/datanommer/hub.json``.

    Raises:
        ConfigurationError: it names what is no path.
    """
    has_folder = os.access(SYSTEM_FILE.parent, os.W_OK | os.X_OK)
    return _configured(config) or (SYSTEM_FILE if has_folder else _own_file())


def file_to_read(config: Mapping[str, Any]) -> Path:
    """The file that a hub of this host has written, if there is one.

    Raises:
        ConfigurationError: as `file_to_write`.
    """
    return _configured(config) or (SYSTEM_FILE if SYSTEM_FILE.exists() else _own_file())


def _configured(config: Mapping[str, Any]) -> Path | None:
    value = config.get(STATUS_FILE_KEY)
    if value is None:
        return None
    if isinstance(value, str) and value:
        return Path(value).expanduser().absolute()
    raise ConfigurationError(
        f"{STATUS_FILE_KEY} in the fedmsg configuration must be the path of a file, such as "
        f'"{SYSTEM_FILE}", not {value!r}.'
    )


def _own_file() -> Path:
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:  # a user without a home
        return SYSTEM_FILE
    return Path(state) / "datanommer" / SYSTEM_FILE.name
