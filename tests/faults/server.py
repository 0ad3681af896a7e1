"""A PostgreSQL server of one's own that is also shut, exhausted, crashed and filled."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

from bus import eventually
from postgres import ADMITTED, HOST, ROLE, Primary

from .disk import Disk

#: The size in MiB of the disk of a server that is to be filled.
_DISK_SIZE = 160
_REFUSED = ADMITTED.replace(f"{HOST}/32 trust", f"{HOST}/32 reject")


class Server(Primary):
    """A server with data in a new folder, which `close` takes away.

    Args:
        has_own_disk: whether the data is on a small disk of its own, which `fill` fills.

    Raises:
        OSError: such a disk cannot be made here.
    """

    def __init__(self, *, has_own_disk: bool = False) -> None:
        self._has_own_disk = has_own_disk
        self._disk: Disk | None = None
        super().__init__()

    def _data_parent(self) -> Path:
        if not self._has_own_disk:
            return super()._data_parent()
        self._disk = Disk(self.folder / "disk", _DISK_SIZE)
        return self._disk.folder

    def admit(self, is_admitted: bool) -> None:
        """Let the hub's role in, or refuse it."""
        self._write_hba(ADMITTED if is_admitted else _REFUSED)
        self.execute("SELECT pg_reload_conf()")
        if not is_admitted:
            refused = f"host {ROLE} reject"
            rules = "SELECT concat_ws(' ', type, user_name[1], auth_method) FROM pg_hba_file_rules"
            eventually(lambda: (refused,) in self.execute(rules), refused)

    def disconnect(self, name: str) -> None:
        """End all sessions of the hub's role in a database."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE usename = '{ROLE}' AND datname = '{name}'"
        )

    def crash(self, name: str) -> None:
        """Kill a session of the hub, for which PostgreSQL restarts all others too."""
        pids = self.execute(
            f"SELECT pid FROM pg_stat_activity WHERE usename = '{ROLE}' AND datname = '{name}'"
        )
        for (pid,) in pids[:1]:
            os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def exhausted(self, name: str) -> Iterator[None]:
        """All connections taken, and the hub's among them."""
        taken: list[Any] = []
        self._take_all(taken, name)
        mine = ",".join(str(connection.info.backend_pid) for connection in taken)
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE usename = '{ROLE}' AND pid NOT IN ({mine})"
        )
        self._take_all(taken, name)
        try:
            yield
        finally:
            for connection in taken:
                connection.close()

    def _take_all(self, taken: list[Any], name: str) -> None:
        with contextlib.suppress(psycopg2.OperationalError):
            while True:
                taken.append(psycopg2.connect(self.url(name)))

    def fill(self) -> None:
        """Leave no room on its disk."""
        assert self._disk
        self._disk.fill()

    def empty(self) -> None:
        """Take away what fills its disk; it is started again where that ended it."""
        assert self._disk
        self._disk.empty()
        self.start()

    def close(self) -> None:
        """End it, and take its data away."""
        self._end()
        if self._disk:
            self._disk.close()
        super().close()
