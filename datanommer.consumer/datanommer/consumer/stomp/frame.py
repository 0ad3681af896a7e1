"""Frames of STOMP 1.1 and 1.2, out of bytes and into bytes.

No STOMP library both reads frames without its own client and gives back every header as it was
sent. (Source: https://stomp.github.io/stomp-specification-1.2.html)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_COMMANDS = {b"CONNECTED", b"MESSAGE", b"RECEIPT", b"ERROR"}
_ESCAPES_1_1 = {"\\n": "\n", "\\c": ":", "\\\\": "\\"}
#: The versions, each with its escapes and what they stand for in a header.
VERSIONS = {"1.1": _ESCAPES_1_1, "1.2": {**_ESCAPES_1_1, "\\r": "\r"}}
_ESCAPING: dict[str, dict[int, str]] = {
    version: str.maketrans({text: escape for escape, text in escapes.items()})
    for version, escapes in VERSIONS.items()
}
_ESCAPE = re.compile(r"\\.", re.DOTALL)
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
#: The longest command with headers, in bytes: what is longer is no frame.
MAX_HEAD_BYTES = 1024 * 1024
_SHOWN_BYTES = 60


class FrameError(Exception):
    """What came is no frame of STOMP."""


@dataclass(slots=True)
class Frame:
    """A frame.

    Attributes:
        command: such as MESSAGE.
        headers: unescaped; if one is repeated, the first counts.
        body: the bytes that were sent.
    """

    command: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def encode(
    version: str | None, command: str, headers: Mapping[str, str], body: bytes = b""
) -> bytes:
    """The bytes of a frame that a client sends.

    Args:
        version: one of `VERSIONS`; None where headers are not escaped.
        command: such as ACK.
        headers: what they say.
        body: what follows them.
    """
    table = _ESCAPING[version] if version else {}
    lines = [f"{name.translate(table)}:{value.translate(table)}" for name, value in headers.items()]
    head = "\n".join([command, *lines, "", ""])
    return head.encode("utf-8", "surrogateescape") + body + b"\0"


class FrameReader:
    """Cuts a stream of bytes into frames, wherever TCP has cut it.

    Args:
        unescapes: whether headers are unescaped; some brokers do not escape them.

    Attributes:
        version: of STOMP, one of `VERSIONS`.
    """

    def __init__(self, *, unescapes: bool = True) -> None:
        self._unescapes = unescapes
        self.version = "1.1"
        self._buffer = bytearray()
        self._start = 0  # of the next frame
        self._searched = 0  # up to where nothing was found
        self._frame: Frame | None = None  # whose body has not come yet
        self._length: int | None = None  # of that body, if a header says so

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole with these bytes.

        Raises:
            FrameError: the stream is no STOMP, and cannot be read any further.
        """
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame
        del self._buffer[: self._start]
        self._searched -= self._start
        self._start = 0

    def _next(self) -> Frame | None:
        if self._frame is None:
            self._frame = self._read_head()
        frame = self._frame
        if frame is None:
            return None
        end = self._find_end()
        if end is None:
            return None
        frame.body = bytes(memoryview(self._buffer)[self._start : end])
        self._start = self._searched = end + 1
        self._frame = None
        return frame

    def _read_head(self) -> Frame | None:
        self._skip_heart_beats()
        found = _END_OF_HEAD.search(self._buffer, self._searched)
        if not found:
            # A part of the end may be there already, such as "\r\n\r".
            self._searched = max(self._start, len(self._buffer) - 3)
            self._require_head()
            return None
        head = bytes(self._buffer[self._start : found.start()])
        self._start = self._searched = found.end()
        command, *lines = head.split(b"\n")
        if command.rstrip(b"\r") not in _COMMANDS:
            raise FrameError(f"it begins with {head[:_SHOWN_BYTES]!r}")
        unescapes = self._unescapes and not command.startswith(b"CONNECTED")
        frame = Frame(command.rstrip(b"\r").decode(), self._headers(lines, unescapes))
        length = frame.headers.get("content-length", "").strip()
        self._length = int(length) if length.isdecimal() else None
        return frame

    def _skip_heart_beats(self) -> None:
        while self._buffer.startswith((b"\n", b"\r"), self._start):
            self._start += 1
        self._searched = max(self._searched, self._start)

    def _require_head(self) -> None:
        if len(self._buffer) - self._start > MAX_HEAD_BYTES:
            beginning = bytes(self._buffer[self._start : self._start + _SHOWN_BYTES])
            raise FrameError(f"there is no end of the headers after {beginning!r}")

    def _headers(self, lines: list[bytes], unescapes: bool) -> dict[str, str]:
        escapes = VERSIONS[self.version]
        headers: dict[str, str] = {}
        for line in lines:
            # Bytes that are not UTF-8 become surrogates, as in Python's file names.
            text = line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
            name, _, value = text.partition(":")
            if unescapes and "\\" in text:
                name, value = _unescape(name, escapes), _unescape(value, escapes)
            headers.setdefault(name, value)
        return headers

    def _find_end(self) -> int | None:
        """Where the NUL after the body is, if it has come."""
        if self._length is None:
            end = self._buffer.find(b"\0", self._searched)
            if end < 0:
                self._searched = len(self._buffer)
                return None
            return end
        end = self._start + self._length
        if end >= len(self._buffer):
            return None
        if self._buffer[end] != 0:
            raise FrameError(f"a body is longer than its content-length, {self._length}")
        return end


def _unescape(text: str, escapes: Mapping[str, str]) -> str:
    """What a header says. An escape that the version does not know stays as it was sent."""
    return _ESCAPE.sub(lambda escape: escapes.get(escape[0], escape[0]), text)
