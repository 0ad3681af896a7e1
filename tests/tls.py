"""TLS in front of a port, for a service of the tests that does not speak it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

_HOST = "127.0.0.1"


class Terminator:
    """Takes TLS from clients with a certificate, and hands on what they say.

    Args:
        target: the port.
        folder: of an authority, which has issued a certificate for the name.
        name: of the host.

    Attributes:
        port: where it listens.
    """

    def __init__(self, target: int, folder: Path, name: str) -> None:
        self._target = target
        self._context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.crt")
        )
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        self._listener = socket.create_server((_HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            secured = self._context.wrap_socket(client, server_side=True)
            service = socket.create_connection((_HOST, self._target))
            threading.Thread(target=_carry, args=(service, secured), daemon=True).start()
            _carry(secured, service)


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
