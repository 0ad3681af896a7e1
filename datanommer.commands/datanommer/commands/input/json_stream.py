"""JSON values from a stream, one at a time, from a list or one after another.

As long as each line holds one value, whole lines are parsed. Otherwise, the standard library's
decoder finds where each value ends. Both keep numbers as they are (integers of any size, floats to
the last digit) at the speed of C. The loop around them only finds the start of the next value.

An answer of datagrepper, ``{"count": 2, ..., "raw_messages": [...]}``, may be hundreds of MB long.
So its messages are read one at a time, too.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from datanommer.commands.input.unreadable import READ_ERRORS, Damaged, Unreadable
from datanommer.models.envelopes import json_text
from datanommer.models.preparing import archive_copy

_BETWEEN = re.compile(r"[\s,]*")
# The most characters before the end of the text at which the decoder reports a cut-off literal.
_LONGEST_LITERAL = len("-Infinity")
# A string (without its closing quote, it ends at the end of its line), a bracket, or a number or
# literal.
_TOKEN = re.compile(r'"(?:[^"\\\n]++|\\.)*+["\\]?|[\[{]|[\]}]|[^\s,:"\[\]{}]+')

_MESSAGES = "raw_messages"
# The beginning of an answer of datagrepper, or of as much of it as has been read.
_BEGINNING = re.compile(rf'\{{\s*(?:"(?:arguments|count|pages|total|{_MESSAGES})"|(?:"[a-z_]*)?\Z)')
_KEY = re.compile(r'\s*[{,]\s*"((?:[^"\\]|\\.)*)"\s*:\s*')
_START_OF_MESSAGES = re.compile(rf'\s*[{{,]\s*"{_MESSAGES}"\s*:\s*\[')
_END = re.compile(r"\s*\}")
# Everything before or after its messages is shorter than this: it comes from a URL.
_LONGEST_FRAME = 64 * 1024


def read_values(pieces: Iterator[bytes], name: str) -> Iterator[Any]:
    """The values of a stream, or the elements of its outermost list; memory holds one at a time.

    The messages of an answer of datagrepper become records. If it does not begin as datagrepper
    writes it, memory holds all of it.

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
    """Reads values.

    Attributes:
        inside: what is open around the next value: "list", "page" (an answer's messages), or both.
        is_by_lines: whether each line so far that begins an object has held all of it.
    """

    pieces: Iterator[bytes]
    name: str
    text: str = ""
    index: int = 0
    line: int = 1
    inside: list[str] = field(default_factory=list)
    at_end: bool = False
    decode: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8-sig")().decode)
    is_by_lines: bool = True

    def values(self) -> Iterator[Any]:
        while self._find_next():
            start = self.index
            for value in self._whole_lines():
                yield from _messages_in(value)
            if self.index > start:
                continue
            try:
                value, end = json_text.read_at(self.text, self.index)
            except json.JSONDecodeError as error:
                self._read_more_because(error)
            except (RecursionError, ValueError) as error:
                yield self._unreadable(error)
            else:
                if end == len(self.text) and not self.at_end:
                    self._read_more()  # the number may continue
                    continue
                self._move_to(end)
                if "page" in self.inside:
                    yield _record(value)
                else:
                    yield from _messages_in(value)

    def _whole_lines(self) -> Iterator[Any]:
        """The values of the next lines, as long as each is an object, and no answer."""
        while (
            self.is_by_lines
            and "page" not in self.inside
            and self.text.startswith("{", self.index)
            and not _BEGINNING.match(self.text, self.index)
            and (end := self.text.find("\n", self.index)) != -1
        ):
            try:
                value = json_text.read(self.text[self.index : end].removesuffix(","))
            except (RecursionError, ValueError):
                self.is_by_lines = False
            else:
                self.index = end + 1
                self.line += 1
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
            if first == "[" and not self.inside:
                self.inside.append("list")
                self._move_to(self.index + 1)
            elif first == "]" and self.inside:
                self._move_to(self.index + 1)
                if self.inside.pop() == "page":
                    self._leave_page()
            elif first != "{" or "page" in self.inside or not self._enter_page():
                return True
        if self.inside:
            raise Damaged(self.name, self.line, "the list is cut off: it has no end")
        return False

    def _enter_page(self) -> bool:
        """Move to the messages of an answer of datagrepper; False if none begins here."""
        while _BEGINNING.match(self.text, self.index):
            start = _START_OF_MESSAGES.match(self.text, self._skip_keys())
            if start:
                self._move_to(start.end())
                self.inside.append("page")
                return True
            if self.at_end or len(self.text) - self.index > _LONGEST_FRAME:
                break
            self._read_more()
        return False

    def _leave_page(self) -> None:
        """Move to the end of an answer of datagrepper, from the end of its messages."""
        while not (end := _END.match(self.text, self._skip_keys())):
            if self.at_end or len(self.text) - self.index > _LONGEST_FRAME:
                reason = "the answer of datagrepper is cut off: it has no end"
                raise Damaged(self.name, self.line, reason)
            self._read_more()
        self._move_to(end.end())

    def _skip_keys(self) -> int:
        """The index after the next keys and their values; stops before the messages."""
        index = self.index
        while (key := _KEY.match(self.text, index)) and key[1] != _MESSAGES:
            try:
                _, index = json_text.read_at(self.text, key.end())
            except (RecursionError, ValueError):
                break  # it may continue
        return index

    def _move_to(self, index: int) -> None:
        self.line += self.text.count("\n", self.index, index)
        self.index = index

    def _read_more(self) -> None:
        rest = self.text[self.index :]
        data = b""
        # Doubles the rest each time, so that even a huge value is decoded only a few times.
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
                    if depth and not self.inside and self.text[token.start() - 1] == "\n":
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
            elif self.inside:
                raise Damaged(self.name, self.line, "cut off in the middle of a message")
            else:
                return len(self.text)


def _messages_in(value: Any) -> Iterable[Any]:
    """The messages of an answer of datagrepper; any other value itself."""
    if isinstance(value, dict) and isinstance(value.get(_MESSAGES), list):
        return map(_record, value[_MESSAGES])
    return (value,)


def _record(message: Any) -> Any:
    return archive_copy.to_record(message) if isinstance(message, dict) else message
