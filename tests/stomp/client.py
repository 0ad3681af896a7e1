"""A client with which tests speak STOMP themselves."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from . import frames
from .frames import Frame

_PATIENCE = 30  # seconds, for an answer
#: So many may wait for their receipts: more, and neither side might read what the other sends.
_AT_A_TIME = 500


class Client:
    """A connection, of which the test says what is sent when.

    Args:
        host, port: of the broker.
        version: the one that it offers.
        headers: more of CONNECT, or others.
    """

    def __init__(
        self, host: str, port: int, version: str = "1.2", headers: dict[str, str] | None = None
    ) -> None:
        self._socket = socket.create_connection((host, port), _PATIENCE)
        self._file = self._socket.makefile("rb")
        self._version = version
        given = {"accept-version": version, "host": "/", "login": "guest", "passcode": "guest"}
        self.send("CONNECT", {**given, **(headers or {})})
        self.answer = self.receive()

    def send(self, command: str, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_bytes(frames.encode(Frame(command, headers, body), self._version))

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> Frame:
        """Wait for a frame, and let heart-beats pass; EOFError if the broker closes."""
        while not (frame := frames.read(self._file, self._version)):
            pass
        return frame

    def publish(
        self,
        destination: str,
        messages: Sequence[tuple[bytes, dict[str, str]]],
        *,
        has_length: bool = True,
    ) -> None:
        """Send messages (bodies and headers), and return when the broker has all of them on disk.

        Without a content-length, ActiveMQ takes a body for text.
        """
        for start in range(0, len(messages), _AT_A_TIME):
            part = messages[start : start + _AT_A_TIME]
            for number, (body, headers) in enumerate(part):
                length = {"content-length": str(len(body))} if has_length else {}
                # What is not persistent is lost when an ActiveMQ ends.
                given = {"destination": destination, "receipt": str(number), "persistent": "true"}
                self.send("SEND", {**given, **length, **headers}, body)
            answers = [self.receive() for _ in part]
            assert {answer.command for answer in answers} == {"RECEIPT"}, answers

    def receive_byte(self, seconds: float) -> bytes:
        """Wait for a byte; TimeoutError if none comes. Nothing can be received afterwards."""
        self._socket.settimeout(seconds)
        return self._file.read(1)

    def subscribe(self, destination: str, headers: dict[str, str] | None = None) -> None:
        """Subscribe as ``s``, or as the headers say, and wait until that is done."""
        given = {"id": "s", "ack": "client-individual", "receipt": "subscribed"}
        self.send("SUBSCRIBE", {"destination": destination, **given, **(headers or {})})
        answer = self.receive()
        assert answer.command == "RECEIPT", answer

    def acknowledge(self, message: Frame, command: str = "ACK") -> None:
        names = ("subscription", "message-id")
        headers = {name: message.headers[name] for name in names}
        if self._version == "1.2":
            headers = {"id": message.headers["ack"]}
        self.send(command, headers)

    def close(self) -> None:
        self._file.close()
        self._socket.close()
