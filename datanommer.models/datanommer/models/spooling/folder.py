"""The folder of the spool: which one it is, and what was set aside in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datanommer.models import configuration
from datanommer.models.configuration import (
    SPOOL_DIR_KEY,
    SPOOL_MAX_BYTES_KEY,
    SPOOL_MIN_FREE_BYTES_KEY,
)
from datanommer.models.errors import ConfigurationError, DatanommerError
from datanommer.models.receiving.received import Received
from datanommer.models.spooling.chunk import received_of
from datanommer.models.spooling.loss import ASIDE
from datanommer.models.spooling.segment import Segment
from datanommer.models.spooling.spool import MAX_BYTES, MIN_FREE_BYTES, SLOW, Spool

#: Where the spool is, unless the configuration says otherwise.
SYSTEM_FOLDER = Path("/var/spool/datanommer")


def folder_of(config: Mapping[str, Any], *, system_folder: Path = SYSTEM_FOLDER) -> Path:
    """The folder of the spool that the fedmsg configuration names.

    If it names none: the system's folder if that can be written, else
    ``$XDG_STATE_HOME/datanommer/spool``.

    Args:
        config: the fedmsg configuration.
        system_folder: the folder of the system.

    Raises:
        ConfigurationError: it names none, and the user has no home.
    """
    if configured := config.get(SPOOL_DIR_KEY):
        return Path(str(configured)).expanduser().absolute()
    if os.access(system_folder, os.W_OK):
        return system_folder
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        raise ConfigurationError(
            f"This user has no home for the spool. Name a folder with {SPOOL_DIR_KEY} in the "
            "fedmsg configuration."
        ) from None
    return Path(state) / "datanommer" / "spool"


def configured_spool(config: Mapping[str, Any]) -> Spool:
    """The spool of a hub, with the limits that the fedmsg configuration sets.

    Raises:
        ConfigurationError: a limit is no number, or no folder can be found.
    """
    return Spool(
        folder_of(config),
        configuration.whole_number(config, SPOOL_MAX_BYTES_KEY, MAX_BYTES, range(2**63)),
        configuration.whole_number(config, SPOOL_MIN_FREE_BYTES_KEY, MIN_FREE_BYTES, range(2**63)),
    )


def damaged_files(folder: Path) -> list[Path]:
    """The damaged files that were set aside in the folder of a spool."""
    return sorted(file for place in (folder, folder / SLOW) for file in place.glob(f"*{ASIDE}"))


def readable(file: Path) -> Iterator[tuple[int, Received]]:
    """The messages that can be read in a file of a spool, each with its id there.

    Raises:
        DatanommerError: it is no file of a spool, or cannot be opened.
    """
    try:
        segment = Segment.of_file(file)
        if segment is None:
            raise DatanommerError(
                f"{file} is not a spool file that this version of datanommer can read. "
                "`datanommer-spool check` shows those that were set aside."
            )
        for record in segment.records():
            yield record.record_id, received_of(record)
    except OSError as error:
        raise DatanommerError(f"{file} cannot be read: {error.strerror}.") from error
