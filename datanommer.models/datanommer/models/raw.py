"""A JSON writer that no depth, no type and no circle can stop.

What cannot be stored as a message is kept as it was received; so the writer of that must not fail
where the usual one does. What JSON has no form for is written as the text of its ``repr``; bytes
as text, with each byte that is not UTF-8 as a lone surrogate (U+DC80 to U+DCFF), as PEP 383 does.
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


def dumps(value: Any) -> bytes:
    """The value as ASCII JSON (NaN and Infinity in Python's form)."""
    try:
        return json.dumps(value, default=_text).encode("ascii")
    except (RecursionError, TypeError, ValueError):
        return _dumps_slowly(value).encode("ascii")


def _dumps_slowly(value: Any) -> str:
    written: list[str] = []
    open_containers: set[int] = set()
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _Token):
            written.append(item)
            open_containers.discard(item.closes or 0)
        elif not isinstance(item, dict | list | tuple):
            written.append(_scalar(item))
        elif id(item) in open_containers:
            written.append('"<circular reference>"')
        else:
            open_containers.add(id(item))
            waiting.extend(reversed(_pieces(item)))
    return "".join(written)


def _pieces(container: Any) -> list[Any]:
    pieces: list[Any] = []
    if isinstance(container, dict):
        for key, value in container.items():
            name = key if isinstance(key, str) else _text(key)
            pieces += [_Token(", "), _Token(f"{json.dumps(name)}: "), value]
        opening, closing = "{}"
    else:
        for value in container:
            pieces += [_Token(", "), value]
        opening, closing = "[]"
    # The first comma gives its place to the opening bracket.
    return [_Token(opening), *pieces[1:], _Token(closing, closes=id(container))]


def _scalar(value: Any) -> str:
    try:
        return json.dumps(value, default=_text)
    except ValueError:  # an integer of more digits than Python writes out
        return json.dumps(hex(value))


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "surrogateescape")
    return repr(value)
