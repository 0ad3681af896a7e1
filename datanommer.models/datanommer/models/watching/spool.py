"""What waits on disk: as the hub reports it or, without a hub, as the spool itself shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from datanommer.models.configuration import SPOOL_DIR_KEY
from datanommer.models.envelopes.category import categorize
from datanommer.models.errors import DatanommerError
from datanommer.models.inspecting.unseen import Unseen, see
from datanommer.models.spooling.folder import SYSTEM_FOLDER, configured_spool, folder_of
from datanommer.models.spooling.spool import Spool
from datanommer.models.watching.hub import Hub


class Waiting(NamedTuple):
    """What waits.

    Attributes:
        messages: how many messages.
        oldest: when the first of them was put there (naive, in UTC); None if none waits.
    """

    messages: int
    oldest: datetime | None


class SpoolView(NamedTuple):
    """The spool of this host.

    Attributes:
        folder: where it is.
        waiting: what waits.
        free: the bytes that its disk has left; None if there is no such folder yet.
        min_free: the bytes that the spool leaves free there.
    """

    folder: Path
    waiting: Waiting | Unseen
    free: int | None
    min_free: int

    @property
    def has_room(self) -> bool:
        """Whether the disk has room for more messages."""
        return self.free is None or self.free >= self.min_free


def look(config: Mapping[str, Any], hub: Hub | Unseen) -> SpoolView:
    """The spool of a configuration.

    Args:
        config: the fedmsg configuration.
        hub: the hub of this host, which knows what waits there.

    Raises:
        ConfigurationError: the configuration cannot be used.
    """
    told = hub.state if isinstance(hub, Hub) else None
    folder = Path(told.spool) if told else _folder_of_hub(config)
    waiting: Waiting | Unseen
    if told and isinstance(hub, Hub) and hub.is_alive:
        waiting = Waiting(told.waiting, _moment(told.oldest))
    else:
        waiting = see(lambda: _waiting_in(folder))
    return SpoolView(folder, waiting, _free(folder), configured_spool(config).min_free_bytes)


def count(spool: SpoolView, category: str, limit: int) -> int | Unseen:
    """How many messages of a category wait. Only their records tell, so these are read.

    Args:
        spool: where they wait.
        category: its name.
        limit: the count stops as soon as it is above this.
    """
    if isinstance(spool.waiting, Unseen):
        return spool.waiting
    if spool.waiting.messages <= limit:  # then no category has more
        return 0
    return see(lambda: _count(spool.folder, category, limit))


def _count(folder: Path, category: str, limit: int) -> int:
    number = 0
    for each in _spools(folder):
        for topic in each.topics():
            number += categorize(topic or "") == category
            if number > limit:
                return number
    return number


def _folder_of_hub(config: Mapping[str, Any]) -> Path:
    """The folder that a hub uses: the system's if that exists, whoever we are."""
    is_system = not config.get(SPOOL_DIR_KEY) and SYSTEM_FOLDER.exists()
    return SYSTEM_FOLDER if is_system else folder_of(config)


def _waiting_in(folder: Path) -> Waiting:
    spools = _spools(folder)
    messages = sum(each.waiting().messages for each in spools)
    moments = [moment for each in spools if (moment := each.oldest()) is not None]
    return Waiting(messages, _moment(min(moments, default=None)))


def _spools(folder: Path) -> list[Spool]:
    """The spool in a folder, and its slow one, where they exist.

    Raises:
        DatanommerError: the folder is somebody else's.
    """
    if folder.is_dir() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise DatanommerError(
            f"You cannot read the spool folder {folder}. Run this as the user of the "
            "hub to see what waits there."
        )
    spool = Spool(folder)
    return [each for each in (spool, spool.slow) if Spool.exists(each.folder)]


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
