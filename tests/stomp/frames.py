"""Frames of STOMP 1.1 and 1.2, as a socket carries them.

The grammar: https://stomp.github.io/stomp-specification-1.2.html#Augmented_BNF
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

_ESCAPES_1_1 = {"\\": "\\\\", "\n": "\\n", ":": "\\c"}
_ESCAPES = {"1.1": _ESCAPES_1_1, "1.2": {**_ESCAPES_1_1, "\r": "\\r"}}
#: These do not escape: older clients and servers must be able to read them.
_UNESCAPED = {"CONNECT", "STOMP", "CONNECTED"}
#: What an idle connection carries, so that the other side knows it is alive.
HEART_BEAT = b"\n"


@dataclass(frozen=True)
class Frame:
    """A command, its headers (of equal ones the first) and a body."""

    command: str
    headers: dict[str, str]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The value of a header, or ValueError."""
        if name not in self.headers:
            raise ValueError(f"{self.command} without {name}")
        return self.headers[name]


def encode(frame: Frame, version: str) -> bytes:
    """A frame as bytes; with a content-length only where its headers have one."""
    escapes = _escapes(frame.command, version)
    lines = [frame.command]
    for name, value in frame.headers.items():
        lines.append(f"{_escape(name, escapes)}:{_escape(value, escapes)}")
    return "\n".join([*lines, "", ""]).encode() + frame.body + b"\0"


def read(file: BinaryIO, version: str) -> Frame | None:
    """Wait for the next frame of a buffered file; None is a heart-beat.

    Raises:
        EOFError: it ends.
        ValueError: this is no frame.
    """
    command = _line(file, version)
    if not command:
        return None
    escapes = _escapes(command, version)
    headers: dict[str, str] = {}
    while line := _line(file, version):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"a header of {command} without a colon: {line!r}")
        headers.setdefault(_unescape(name, escapes), _unescape(value, escapes))
    return Frame(command, headers, _body(file, headers.get("content-length")))


def _line(file: BinaryIO, version: str) -> str:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise EOFError(f"the end, after {line!r}")
    line = line.removesuffix(b"\n")
    return (line if version == "1.1" else line.removesuffix(b"\r")).decode()


def _body(file: BinaryIO, length: str | None) -> bytes:
    body = file.read(int(length)) if length is not None else b""
    while (byte := file.read(1)) != b"\0":
        if not byte:
            raise EOFError("the end, in a body")
        if length is not None:
            raise ValueError(f"a body longer than its content-length {length}")
        body += byte
    return body


def _escapes(command: str, version: str) -> dict[str, str]:
    return {} if command in _UNESCAPED else _ESCAPES.get(version, {})


def _escape(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


def _unescape(text: str, escapes: dict[str, str]) -> str:
    if not escapes:
        return text
    characters = {escape: character for character, escape in escapes.items()}

    def character_of(match: re.Match[str]) -> str:
        if match[0] not in characters:
            raise ValueError(f"an undefined escape in {text!r}")
        return characters[match[0]]

    return re.sub(r"\\.?", character_of, text)
