"""What the hub tells systemd, if systemd wants to know: sd_notify(3).

systemd ends a hub that does not say in time that it listens (``READY=1``), and one whose threads no
longer move (no ``WATCHDOG=1``). The protocol is no more than a datagram.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Self

log = logging.getLogger("fedmsg.consumers.datanommer.service_manager")

_SEND_SECONDS = 5.0
_MICROSECONDS = 1_000_000


class ServiceManager:
    """The service manager that has started this process, if any.

    Args:
        address: of its datagram socket; an abstract one begins with ``@``.
        watchdog_seconds: how long it waits each time to hear that the hub moves.
    """

    def __init__(self, address: str | None, watchdog_seconds: float | None) -> None:
        self._address = address
        self._watchdog_seconds = watchdog_seconds
        self._is_stopping = False

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> Self:
        """The service manager that the environment names, whose variables are taken out.

        Otherwise a child of this process, such as an embedded server, would speak for the hub.
        """
        address = environment.pop("NOTIFY_SOCKET", None)
        seconds = _watchdog_seconds(environment)
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            environment.pop(name, None)
        return cls(address, seconds)

    def tell_ready(self, status: str, still: Callable[[float], str | None]) -> None:
        """Say that the hub listens, and from now on, as often as asked for, that it moves.

        Args:
            status: how it is, in words.
            still: names what has not moved for so many seconds; None if everything has.
        """
        self._tell("READY=1", f"STATUS={status}")
        if self._address and self._watchdog_seconds:
            threading.Thread(
                target=self._watch,
                args=[self._watchdog_seconds, still],
                name="datanommer-watchdog",
                daemon=True,
            ).start()

    def tell_stopping(self, status: str) -> None:
        """Say that the hub ends, and ask for the time that it needs for that.

        Args:
            status: what it still does, in words.
        """
        self._is_stopping = True
        self._tell("STOPPING=1", f"STATUS={status}", *self._more_time)

    def _watch(self, seconds: float, still: Callable[[float], str | None]) -> None:
        was_still = False
        while True:
            culprit = still(seconds)
            if culprit is None:
                self._tell("WATCHDOG=1", *self._more_time)
            elif not was_still:
                log.critical(
                    "A thread of the hub is stuck. It has not moved for %g seconds: %s. Unless it "
                    "moves again, systemd will restart the hub.",
                    seconds,
                    culprit,
                )
            was_still = culprit is not None
            time.sleep(seconds / 2)

    @property
    def _more_time(self) -> list[str]:
        """With millions of messages in memory, the end takes longer than TimeoutStopSec."""
        if not (self._is_stopping and self._watchdog_seconds):
            return []
        return [f"EXTEND_TIMEOUT_USEC={int(self._watchdog_seconds * _MICROSECONDS)}"]

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # The kernel's name for an abstract socket begins with a zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("Cannot tell systemd %s by %s: %s.", lines[0], self._address, error)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Within how many seconds this process is to say that it moves; None if it need not."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(environment.get("WATCHDOG_USEC", "")) / _MICROSECONDS or None
    except ValueError:
        return None
