"""A time limit on work with the database that holds even where the server says nothing at all.

PostgreSQL's own timeouts do not count while its processes are stopped or the network swallows
packets: the client would wait for ever. When the time is up, the socket is shut down, and the work
ends with the error of a lost connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

import sqlalchemy as sa


class Deadline:
    """The time that some work may take, from the moment that it has a connection.

    Args:
        seconds: how long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._is_over = False

    @contextlib.contextmanager
    def over(self, connection: sa.Connection) -> Iterator[None]:
        """Hold the work on that connection to the deadline."""
        dbapi_connection = connection.connection.dbapi_connection
        assert dbapi_connection is not None
        timer = threading.Timer(self._seconds, self.expire)
        timer.daemon = True
        with self._lock:
            self._descriptor = dbapi_connection.fileno()
        if self._is_over:
            self.expire()
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._descriptor = None

    def expire(self) -> None:
        """End the work now, from another thread; work that begins later ends at once."""
        with self._lock:
            self._is_over = True
            if self._descriptor is not None:
                with (
                    contextlib.suppress(OSError),
                    socket.socket(fileno=os.dup(self._descriptor)) as connection,
                ):
                    connection.shutdown(socket.SHUT_RDWR)


def within(deadline: Deadline | None, connection: sa.Connection) -> AbstractContextManager[None]:
    """Hold the work on a connection to a deadline, if there is one."""
    return deadline.over(connection) if deadline else contextlib.nullcontext()
