"""JSON values from a stream, one at a time, from a list or one after another.

The standard library's decoder reads them, because it alone keeps numbers as they are (integers of
any size, floats to the last digit) at the speed of C. The loop around it only finds the start of
the next value.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from datanommer.commands.input.unreadable import READ_ERRORS, Damaged, Unreadable

_BETWEEN = re.compile(r"[\s,]*")
# The most characters before the end of the text at which the decoder reports a cut-off literal.
_LONGEST_LITERAL = len("-Infinity")
# A string (without its closing quote, it ends at the end of its line), a bracket, or a number or
# literal.
_TOKEN = re.compile(r'"(?:[^"\\\n]++|\\.)*+["\\]?|[\[{]|[\]}]|[^\s,:"\[\]{}]+')


def read_values(pieces: Iterator[bytes], name: str) -> Iterator[Any]:
    """The values of a stream, or the elements of its outermost list; memory holds one at a time.

    Args:
        pieces: JSON in UTF-8, cut anywhere.
        name: the name of the stream in errors.

    Returns:
        The values; an `Unreadable` for each that Python cannot read.

    Raises:
        Damaged: it is not JSON, not UTF-8, is cut off, or cannot be read any further.
    """
    yield from _Reader(pieces, name).values()


@dataclass(slots=True)
class _Reader:
    pieces: Iterator[bytes]
    name: str
    text: str = ""
    index: int = 0
    line: int = 1
    in_list: bool = False
    at_end: bool = False
    decode: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8-sig")().decode)
    decode_value: Any = field(default_factory=lambda: json.JSONDecoder().raw_decode)

    def values(self) -> Iterator[Any]:
        while self._find_next():
            try:
                value, end = self.decode_value(self.text, self.index)
            except json.JSONDecodeError as error:
                self._read_more_because(error)
            except (RecursionError, ValueError) as error:
                yield self._unreadable(error)
            else:
                if end == len(self.text) and not self.at_end:
                    self._read_more()  # the number may continue
                    continue
                self._move_to(end)
                yield value

    def _find_next(self) -> bool:
        """Move to the start of the next value; False if there is none."""
        while True:
            self._move_to(_BETWEEN.match(self.text, self.index).end())  # type: ignore[union-attr]
            if self.index == len(self.text):
                if self.at_end:
                    break
                self._read_more()
                continue
            first = self.text[self.index]
            if first == "[" and not self.in_list:
                self.in_list = True
                self._move_to(self.index + 1)
            elif first == "]" and self.in_list:
                self.in_list = False
                self._move_to(self.index + 1)
            else:
                return True
        if self.in_list:
            raise Damaged(self.name, self.line, "the list is cut off: it has no end")
        return False

    def _move_to(self, index: int) -> None:
        self.line += self.text.count("\n", self.index, index)
        self.index = index

    def _read_more(self) -> None:
        rest = self.text[self.index :]
        data = b""
        # Doubles what is left, so that a value of any size is decoded only a few times.
        while not self.at_end and len(data) <= len(rest):
            try:
                piece = next(self.pieces, b"")
            except READ_ERRORS as error:
                raise Damaged.by(error, self.name, self.line) from None
            self.at_end = not piece
            data += piece
        try:
            self.text = rest + self.decode(data, final=self.at_end)
        except UnicodeDecodeError as error:
            raise Damaged(self.name, self.line, f"not UTF-8 ({error.reason})") from None
        self.index = 0

    def _read_more_because(self, error: json.JSONDecodeError) -> None:
        """Read more if that may resolve the error; else raise `Damaged`."""
        is_open = error.msg.startswith("Unterminated")
        if not self.at_end and (is_open or error.pos + _LONGEST_LITERAL > len(self.text)):
            self._read_more()
            return
        line = self.line + self.text.count("\n", self.index, error.pos)
        if is_open or error.pos >= len(self.text.rstrip()):
            raise Damaged(self.name, line, "cut off in the middle of a message") from None
        raise Damaged(self.name, line, f"not JSON: {error.msg}") from None

    def _unreadable(self, error: Exception) -> Unreadable:
        end = self._find_end()
        text = self.text[self.index : end].rstrip("\r\n, ")
        self._move_to(end)
        kind = "too large" if isinstance(error, RecursionError) else "invalid"
        return Unreadable(text.encode(), kind, f"it cannot be read as JSON: {error}")

    def _find_end(self) -> int:
        """The index of the end of the current value, by its brackets.

        If they are unbalanced and the value is not in a list, it ends where a line begins with an
        opening bracket.
        """
        depth = scanned = 0
        while True:
            for token in _TOKEN.finditer(self.text, self.index + scanned):
                first = token[0][0]
                if first in "[{":
                    if depth and not self.in_list and self.text[token.start() - 1] == "\n":
                        return token.start()
                    depth += 1
                elif first in "]}":
                    depth -= 1
                elif token.end() == len(self.text) and not self.at_end:
                    break  # it may continue
                if depth == 0:
                    return token.end()
                scanned = token.end() - self.index
            if not self.at_end:
                self._read_more()
            elif self.in_list:
                raise Damaged(self.name, self.line, "cut off in the middle of a message")
            else:
                return len(self.text)
