"""A time limit on work with the database, which holds even when the server does not answer.

PostgreSQL's own timeouts do not work while its processes are stopped or the network drops packets:
the client would wait for ever. When the time is up, we shut the socket down, and the work ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

import psycopg2
import sqlalchemy as sa

from datanommer.models.errors import TookTooLong


class Deadline:
    """The time that some work may take, once it has a connection.

    Args:
        seconds: how long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._is_expired = False
        self._has_run_out = False

    @contextlib.contextmanager
    def limit(self, connection: sa.Connection) -> Iterator[None]:
        """Apply the deadline to the work on a connection.

        Raises:
            TookTooLong: the time was over before the work was done.
        """
        dbapi_connection = connection.connection.dbapi_connection
        assert dbapi_connection is not None
        timer = threading.Timer(self._seconds, self._run_out)
        timer.daemon = True
        with self._lock:
            self._descriptor = dbapi_connection.fileno()
        if self._is_expired:
            self.expire()
        timer.start()
        try:
            yield
        except (sa.exc.DBAPIError, psycopg2.Error) as error:
            if self._has_run_out:
                raise TookTooLong(self._seconds) from error
            raise
        finally:
            timer.cancel()
            with self._lock:
                self._descriptor = None

    def _run_out(self) -> None:
        self._has_run_out = True
        self.expire()

    def expire(self) -> None:
        """End the work now, from another thread. Work that begins later ends at once."""
        with self._lock:
            self._is_expired = True
            if self._descriptor is not None:
                with (
                    contextlib.suppress(OSError),
                    socket.socket(fileno=os.dup(self._descriptor)) as connection,
                ):
                    connection.shutdown(socket.SHUT_RDWR)


def within(deadline: Deadline | None, connection: sa.Connection) -> AbstractContextManager[None]:
    """Apply a deadline to the work on a connection, if there is one."""
    return deadline.limit(connection) if deadline else contextlib.nullcontext()
