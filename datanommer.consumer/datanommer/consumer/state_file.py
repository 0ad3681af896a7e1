"""The file in which the hub reports its state once a second, for users without access to it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datanommer.consumer import __version__
from datanommer.consumer.failure import explain
from datanommer.consumer.quiet_log import QuietLog
from datanommer.models.watching.hub_state import HubState

log = logging.getLogger("fedmsg.consumers.datanommer.state_file")

_SECONDS = 1.0
_END_SECONDS = 2.0  # a look at the spool may take longer; the end of the hub does not wait for it
_COUNTS = (
    *("backlog", "stored", "duplicates", "rejected", "refused", "spooled", "waiting", "oldest"),
    "lost",
)


class StateFile:
    """Writes the state of the hub in a thread of its own: a look at the spool may wait for a disk.

    If the file cannot be written, the log says so and the hub goes on.

    Args:
        file: the file. Its folder is made where it is missing.
        spool: the folder of the spool, which the file names.
    """

    def __init__(self, file: Path, spool: Path) -> None:
        self._file = file
        self._spool = str(spool)
        self._log = QuietLog(log, per_minute=1)
        self._stopping = threading.Event()
        self._started = time.time()
        self._thread: threading.Thread | None = None

    def start(self, counts: Callable[[], dict[str, Any]]) -> None:
        """Begin to write.

        Args:
            counts: returns the fields of a `HubState` that change, and maybe more.
        """
        self._counts = counts
        self._thread = threading.Thread(target=self._work, name="datanommer-state", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write that the hub has ended."""
        self._stopping.set()
        if self._thread:
            self._thread.join(_END_SECONDS)
            self._write(alive=False)
        self._log.close()

    def _work(self) -> None:
        self._write(alive=True)
        while not self._stopping.wait(_SECONDS):
            self._write(alive=True)

    def _write(self, *, alive: bool) -> None:
        try:
            counts = self._counts()
            self._file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            HubState(
                alive=alive,
                pid=os.getpid(),
                version=__version__,
                started=self._started,
                time=time.time(),
                spool=self._spool,
                **{name: counts[name] for name in _COUNTS},
            ).write(self._file)
        except OSError as error:
            self._warn(error.strerror or str(error))
        except Exception as error:  # noqa: BLE001  a fault of ours must not end the thread
            self._warn(explain(error, log))

    def _warn(self, reason: str) -> None:
        self._log.warning(
            "The state of the hub cannot be written to %s: %s. datanommer-status will not see "
            "this hub.",
            self._file,
            reason,
        )
