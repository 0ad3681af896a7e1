"""What systemd is for a service that tells it how it is: a datagram socket."""

from __future__ import annotations

import itertools
import shutil
import socket
import tempfile
import threading
import time
import uuid

from bus import Bus, eventually


class ServiceManager:
    """Hears what the daemons of a bus tell, which start after it is made.

    Args:
        bus: of the daemons.
        watchdog_seconds: within which it wants to hear that a daemon moves.
        is_abstract: whether its socket is in no folder.
    """

    def __init__(
        self, bus: Bus, watchdog_seconds: float | None = None, *, is_abstract: bool = False
    ) -> None:
        # A socket's path has at most 107 characters, which is less than the folder of a test has.
        self._folder = tempfile.mkdtemp(prefix="notify-")
        address = f"@{uuid.uuid4().hex}" if is_abstract else f"{self._folder}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0"))
        self._heard: list[tuple[float, list[str]]] = []
        bus.environment["NOTIFY_SOCKET"] = address
        if watchdog_seconds:
            bus.environment["WATCHDOG_USEC"] = str(int(watchdog_seconds * 1_000_000))
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        while datagram := self._socket.recv(4096):
            self._heard.append((time.monotonic(), datagram.decode().split("\n")))

    def lines(self) -> list[str]:
        """All that it has heard, in order."""
        return [line for _, lines in list(self._heard) for line in lines]

    def wait_for(self, line: str, times: int = 1) -> None:
        """Wait until it has heard a line, or has so often."""
        eventually(lambda: self.lines().count(line) >= times, line)

    def longest_silence(self) -> float:
        """The longest time between two signs that the hub moves, or from the last one to now."""
        moments = [moment for moment, lines in list(self._heard) if "WATCHDOG=1" in lines]
        moments.append(time.monotonic())
        return max(after - before for before, after in itertools.pairwise(moments))

    def silence(self) -> float:
        """How long ago it has heard anything, in seconds."""
        return time.monotonic() - self._heard[-1][0]

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        shutil.rmtree(self._folder)
