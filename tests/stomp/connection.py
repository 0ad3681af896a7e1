"""A connection of the broker: frames and heart-beats, in segments as the test wants them."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from . import frames
from .frames import Frame

#: How long it waits between two segments, so that they arrive one after the other; in seconds.
_PAUSE = 0.0002
_NO_LINGERING = struct.pack("ii", 1, 0)  # of SO_LINGER: the close is a RST


class Owner(Protocol):
    """What a connection asks of its broker; the methods are called from the connection's thread."""

    segment: int | None
    is_silent: bool

    def handle(self, connection: Connection, frame: Frame | None) -> None:
        """Do what a frame asks for, or note a heart-beat; may raise ValueError."""

    def complain(self, connection: Connection, complaint: str) -> None:
        """Note what the client did wrong, and tell it."""

    def leave(self, connection: Connection) -> None:
        """Forget the connection: it has ended."""


class Connection:
    """Two threads: one reads and has the broker act, the other writes when there is something."""

    def __init__(self, owner: Owner, client: socket.socket, session: str) -> None:
        self.session = session
        self.version = ""
        self._owner = owner
        self._socket = client
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        #: Frames that go out together, so that a segment may hold several of them.
        self._together: list[bytes] = []
        self._outgoing: queue.Queue[bytes | None] = queue.Queue()
        self._beats_every: float | None = None
        self._is_ending = False
        self._is_cut = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._writer = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        self._writer.start()
        self._reader.start()

    def send(self, frame: Frame) -> None:
        """Send a frame with the next `flush`."""
        # Both brokers end their frames so.
        self._together.append(frames.encode(frame, self.version) + b"\n")

    def flush(self) -> None:
        if self._together:
            self._outgoing.put(b"".join(self._together))
            self._together.clear()

    def is_read(self) -> bool:
        """Whether the client has read all that was sent to it, as Linux tells."""
        if self._outgoing.unfinished_tasks:
            return False
        port, broker_port = self._socket.getpeername()[1], self._socket.getsockname()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            if local.endswith(f":{port:04X}") and remote.endswith(f":{broker_port:04X}"):
                return queues.endswith(":00000000")
        return False

    def keep_alive(self, beats_every: float | None, expects_every: float | None) -> None:
        """Send heart-beats from here on, and want them; both in seconds, None for not at all."""
        self._beats_every = beats_every
        # As both brokers do: some time more than was agreed.
        self._socket.settimeout(expects_every and 2 * expects_every)

    def end(self) -> None:
        """Listen no more, and close when all is sent."""
        self.flush()
        self._is_ending = True
        self._outgoing.put(None)

    def cut(self, *, reset: bool) -> None:
        """Close at once, whatever is on its way."""
        self._is_ending = self._is_cut = True
        with contextlib.suppress(OSError):  # the client may have gone
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            # The reader wakes up and closes. What is shut down for writing says FIN, and not RST.
            self._socket.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def join(self) -> None:
        self._reader.join()

    def _read(self) -> None:
        # Not closed before the last is written: that is the writer's, too.
        with self._socket, self._socket.makefile("rb") as file:
            try:
                while True:
                    frame = frames.read(file, self.version)
                    if not self._is_ending:
                        self._owner.handle(self, frame)
            except TimeoutError:
                self._owner.complain(self, "no heart-beat in time")
            except ValueError as error:
                self._owner.complain(self, str(error))
            except (EOFError, OSError):
                self._is_cut = True
            self._owner.leave(self)
            self._outgoing.put(None)
            self._writer.join()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._next():
                for piece in self._pieces(data):
                    while self._owner.is_silent and not self._is_cut:
                        time.sleep(_PAUSE)
                    if self._is_cut:
                        return
                    self._socket.sendall(piece)
                self._outgoing.task_done()
            if not self._is_cut:
                # The reader may wait for a client that waits for this.
                self._socket.shutdown(socket.SHUT_RDWR)

    def _next(self) -> bytes | None:
        try:
            return self._outgoing.get(timeout=self._beats_every)
        except queue.Empty:
            self._outgoing.put(frames.HEART_BEAT)
            return self._outgoing.get()

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        size = self._owner.segment or len(data)
        for start in range(0, len(data), size):
            if start:
                time.sleep(_PAUSE)
            yield data[start : start + size]
