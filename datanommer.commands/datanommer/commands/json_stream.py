"""JSON values from a stream, one at a time, whether they come as a list or one after another.

The standard library's decoder reads them, because it alone keeps numbers as they are (integers of
any size, floats to the last digit) at the speed of C; the loop around it only finds where the next
value begins.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

from datanommer.models.errors import DatanommerError

_CHUNK = 1024 * 1024
_BETWEEN = re.compile(r"[\s,]*")
# What an error at the end of the text may stand before: the rest of a literal or a number.
_LONGEST_LITERAL = len("-Infinity")
# A string (it ends with its line, if nothing else ends it), a bracket, or a number or literal.
_TOKEN = re.compile(r'"(?:[^"\\\n]++|\\.)*+["\\]?|[\[{]|[\]}]|[^\s,:"\[\]{}]+')


class NotJSON(DatanommerError):
    """A file holds something that is not JSON, is cut off in the middle, or cannot be read on."""

    def __init__(self, name: str, line: int, reason: str) -> None:
        super().__init__(
            f"{name}, line {line}: {reason}. All messages before it are read; mend the file "
            "and read it again. What datanommer-load has stored counts as a duplicate then."
        )


@dataclass(slots=True)
class Unreadable:
    """A value in JSON that Python cannot make an object of.

    Attributes:
        text: the value, in UTF-8.
        kind: the kind of reject that it is.
        reason: why it cannot be read, in words.
    """

    text: bytes
    kind: str
    reason: str


def read(
    stream: BufferedReader, name: str, progress: Callable[[int], object] = lambda _: None
) -> Iterator[Any]:
    """The values of a stream; of a list at the top, its elements. Memory holds one at a time.

    Args:
        stream: JSON in UTF-8.
        name: what to call it in errors.
        progress: called with how many bytes were read, each time some are.

    Raises:
        NotJSON: it is not JSON, not UTF-8, cut off in the middle, or cannot be read on.
    """
    yield from _Reader(stream, name, progress).values()


@dataclass(slots=True)
class _Reader:
    stream: BufferedReader
    name: str
    progress: Callable[[int], object]
    text: str = ""
    at: int = 0
    line: int = 1
    in_list: bool = False
    ended: bool = False
    decode: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8-sig")().decode)

    def values(self) -> Iterator[Any]:
        decoder = json.JSONDecoder()
        while self._find_next():
            try:
                value, end = decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                self._read_more_because(error)
            except (RecursionError, ValueError) as error:
                yield self._unreadable(error)
            else:
                if end == len(self.text) and not self.ended:
                    self._read_more()  # the number may go on
                    continue
                self._move_to(end)
                yield value

    def _find_next(self) -> bool:
        """Move to where the next value begins; False where there is none."""
        while True:
            self._move_to(_BETWEEN.match(self.text, self.at).end())  # type: ignore[union-attr]
            if self.at == len(self.text):
                if self.ended:
                    break
                self._read_more()
            elif self.text[self.at] == "[" and not self.in_list:
                self.in_list = True
                self._move_to(self.at + 1)
            elif self.text[self.at] == "]" and self.in_list:
                self.in_list = False
                self._move_to(self.at + 1)
            else:
                return True
        if self.in_list:
            raise NotJSON(self.name, self.line, "the list is cut off: it has no end")
        return False

    def _move_to(self, place: int) -> None:
        self.line += self.text.count("\n", self.at, place)
        self.at = place

    def _read_more(self) -> None:
        waiting = self.text[self.at :]
        data = b""
        # At least as much again as waits: a value of any size is then tried a few times only.
        while not self.ended and len(data) <= len(waiting):
            try:
                piece = self.stream.read1(_CHUNK)
            except OSError as error:
                reason = f"cannot be read ({error.strerror or error})"
                raise NotJSON(self.name, self.line, reason) from None
            self.progress(len(piece))
            self.ended = not piece
            data += piece
        try:
            self.text = waiting + self.decode(data, final=self.ended)
        except UnicodeDecodeError as error:
            raise NotJSON(self.name, self.line, f"not UTF-8 ({error.reason})") from None
        self.at = 0

    def _read_more_because(self, error: json.JSONDecodeError) -> None:
        """Read on where more text may mend the error; else raise it."""
        is_open = error.msg.startswith("Unterminated")
        if not self.ended and (is_open or error.pos + _LONGEST_LITERAL > len(self.text)):
            self._read_more()
            return
        line = self.line + self.text.count("\n", self.at, error.pos)
        if is_open or error.pos >= len(self.text.rstrip()):
            raise NotJSON(self.name, line, "cut off in the middle of a message") from None
        raise NotJSON(self.name, line, f"not JSON: {error.msg}") from None

    def _unreadable(self, error: Exception) -> Unreadable:
        end = self._find_end()
        text = self.text[self.at : end].rstrip("\r\n, ")
        self._move_to(end)
        kind = "too large" if isinstance(error, RecursionError) else "invalid"
        return Unreadable(text.encode(), kind, f"it cannot be read as JSON: {error}")

    def _find_end(self) -> int:
        """Where the value ends that begins here, by its brackets.

        Where they do not pair, one that is in no list ends where a line begins with the next.
        """
        depth = seen = 0
        while True:
            for token in _TOKEN.finditer(self.text, self.at + seen):
                first = token[0][0]
                if first in "[{":
                    if depth and not self.in_list and self.text[token.start() - 1] == "\n":
                        return token.start()
                    depth += 1
                elif first in "]}":
                    depth -= 1
                elif token.end() == len(self.text) and not self.ended:
                    break  # it may go on
                if depth == 0:
                    return token.end()
                seen = token.end() - self.at
            if not self.ended:
                self._read_more()
            elif self.in_list:
                raise NotJSON(self.name, self.line, "cut off in the middle of a message")
            else:
                return len(self.text)
