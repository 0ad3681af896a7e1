"""A JSON writer that no depth, no type and no circle can stop.

A reject is kept as it was received, so its writer must not fail where the usual one does. What
JSON has no form for is written as its ``repr``. Bytes become text, in which each byte that is not
UTF-8 is a lone surrogate (U+DC80 to U+DCFF), as PEP 383 does it.
"""

from __future__ import annotations

import json
from typing import Any, Self


class _Token(str):
    """A piece of output; `closes` is the id of the container that ends with it."""

    __slots__ = ("closes",)
    closes: int | None

    def __new__(cls, text: str, closes: int | None = None) -> Self:
        token = super().__new__(cls, text)
        token.closes = closes
        return token


#: The note on JSON that is not exactly what was received.
INEXACT = "JSON has no form for all of it"


def dumps(value: Any) -> bytes:
    """The value as ASCII JSON (NaN and Infinity in Python's form)."""
    return write(value)[0]


def write(value: Any) -> tuple[bytes, bool]:
    """The value as `dumps` writes it, and whether that is exactly the value."""
    writer = _Writer()
    try:
        text = json.dumps(value, default=writer.text)
    except (RecursionError, TypeError, ValueError):
        text = writer.slowly(value)
    return text.encode("ascii"), writer.is_exact


class _Writer:
    """Writes one value; `is_exact` is true until something cannot be written as it is."""

    def __init__(self) -> None:
        self.is_exact = True

    def slowly(self, value: Any) -> str:
        written: list[str] = []
        open_containers: set[int] = set()
        waiting: list[Any] = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, _Token):
                written.append(item)
                open_containers.discard(item.closes or 0)
            elif not isinstance(item, dict | list | tuple):
                written.append(self._scalar(item))
            elif id(item) in open_containers:
                self.is_exact = False
                written.append('"<circular reference>"')
            else:
                open_containers.add(id(item))
                waiting.extend(reversed(self._pieces(item)))
        return "".join(written)

    def _pieces(self, container: Any) -> list[Any]:
        pieces: list[Any] = []
        if isinstance(container, dict):
            for key, value in container.items():
                name = key if isinstance(key, str) else self.text(key)
                pieces += [_Token(", "), _Token(f"{json.dumps(name)}: "), value]
            opening, closing = "{}"
        else:
            for value in container:
                pieces += [_Token(", "), value]
            opening, closing = "[]"
        # The first comma gives its place to the opening bracket.
        return [_Token(opening), *pieces[1:], _Token(closing, closes=id(container))]

    def _scalar(self, value: Any) -> str:
        try:
            return json.dumps(value, default=self.text)
        except ValueError:  # an integer of more digits than Python writes out
            self.is_exact = False
            return json.dumps(hex(value))

    def text(self, value: Any) -> str:
        self.is_exact = False
        if isinstance(value, bytes | bytearray):
            return bytes(value).decode("utf-8", "surrogateescape")
        return repr(value)
