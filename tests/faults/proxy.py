"""The network between the hub and the server, as a proxy that can lose what it is to carry."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

_HOST = "127.0.0.1"
_CHUNK = 65536
_COMMITTED = b"COMMIT\0"  # how the server says that a transaction is committed
_LINGER_NOT = struct.pack("ii", 1, 0)  # close with a reset, and throw away what is under way


class Proxy:
    """Carries connections to a port of this machine.

    Args:
        target: the port.

    Attributes:
        port: where it listens.
        delay: seconds that each piece takes, in either direction.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((_HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay = 0.0
        self._flows = threading.Event()
        self._flows.set()
        self._resets = False
        self._cuts_answer = False
        self._bytes_left: int | None = None
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Carry nothing, and say nothing: as where all packets are lost."""
        self._flows.clear()

    @property
    def is_held(self) -> bool:
        """Whether it carries nothing, as `hold` has told it."""
        return not self._flows.is_set()

    def flow(self) -> None:
        """Carry everything again, what was held first."""
        self._flows.set()
        self._resets = False
        self.delay = 0.0

    def reset(self) -> None:
        """Reset all connections, and from now on each one that comes."""
        self._resets = True
        self.cut()

    def cut(self) -> None:
        """Reset all connections, once."""
        for carried in list(self._sockets):
            self._reset(carried)

    def cut_after(self, number: int) -> None:
        """Reset all connections once the clients have sent so many bytes more."""
        self._bytes_left = number

    def cut_answer(self) -> None:
        """Reset all connections in place of the next answer that a transaction is committed."""
        self._cuts_answer = True

    @property
    def has_cut(self) -> bool:
        """Whether what was asked for with `cut_after` or `cut_answer` has happened."""
        return self._bytes_left is None and not self._cuts_answer

    def close(self) -> None:
        self._listener.close()
        self.cut()  # first, or what was held would still arrive
        self._flows.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        if self._resets:
            self._reset(client)
            return
        try:
            server = socket.create_connection((_HOST, self._target))
        except OSError:
            self._reset(client)
            return
        self._sockets |= {client, server}
        for source, sink, is_answer in ((client, server, False), (server, client, True)):
            threading.Thread(
                target=self._carry, args=(source, sink, is_answer), daemon=True
            ).start()

    def _carry(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_CHUNK):
                self._flows.wait()
                if self.delay:
                    time.sleep(self.delay)
                if self._is_to_be_cut(piece, is_answer):
                    self.cut()
                    return
                sink.sendall(piece)
        # The end of one direction is the end of the other: PostgreSQL knows no half connections.
        self._flows.wait()
        for carried in (source, sink):
            self._sockets.discard(carried)
            with contextlib.suppress(OSError):
                carried.shutdown(socket.SHUT_RDWR)
            carried.close()

    def _is_to_be_cut(self, piece: bytes, is_answer: bool) -> bool:
        if is_answer:
            cuts = self._cuts_answer and _COMMITTED in piece
            self._cuts_answer = self._cuts_answer and not cuts
            return cuts
        if self._bytes_left is None:
            return False
        self._bytes_left -= len(piece)
        if self._bytes_left > 0:
            return False
        self._bytes_left = None
        return True

    def _reset(self, carried: socket.socket) -> None:
        self._sockets.discard(carried)
        with contextlib.suppress(OSError):
            carried.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            # A thread that waits for it would keep it open.
            carried.shutdown(socket.SHUT_RD)
            carried.close()
