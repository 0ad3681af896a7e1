"""Rows of CSV or TSV from a stream, one at a time.

CSV is as RFC 4180 has it. TSV is what datanommer-dump writes: it has no quotes, and escapes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from datanommer.commands.input.unreadable import READ_ERRORS, Damaged, NoMessages, Unreadable
from datanommer.models.errors import NotStorable
from datanommer.models.exchange import cells

#: The longest row, in bytes. The JSON of a column may have 64 MiB, and CSV doubles its quotes.
LONGEST_ROW = 256 * 1024 * 1024

_NAME = re.compile(r"[A-Za-z_]\w*")
_DIALECTS: dict[str, dict[str, Any]] = {
    "TSV": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
    "CSV": {"delimiter": ",", "strict": True},
}
_ESCAPED = re.compile(r"\\([\\tnr])")
_ESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a table.

    Attributes:
        form: CSV or TSV.
        columns: the names of the columns.
    """

    form: str
    columns: list[str]

    @classmethod
    def of(cls, line: bytes) -> Self | None:
        """The header in a line; None if it is not several names."""
        text = line.decode("utf-8-sig", "replace").rstrip("\r\n")
        for form, dialect in _DIALECTS.items():
            columns = _split(text, dialect)
            if len(columns) > 1 and all(map(_NAME.fullmatch, columns)):
                return cls(form, columns)
        return None


def _split(text: str, dialect: dict[str, Any]) -> list[str]:
    try:
        return next(csv.reader([text], **dialect), [])
    except csv.Error:
        return []


def read_rows(stream: Any, name: str, header: Header) -> Iterator[Any]:
    """The rows of a stream, as records for `datanommer.models.exchange.parser.parse`.

    A row that cannot be read becomes an `Unreadable`. This changes the limit of `csv` for a cell,
    in the whole process.

    Args:
        stream: what follows the header, in UTF-8; it has `readline`.
        name: the name of the stream in errors.
        header: the header.

    Raises:
        NoMessages: the header lacks a column.
        Damaged: the stream is cut off, or cannot be read any further.
    """
    if missing := cells.missing_columns(header.columns):
        raise NoMessages(
            f"{name}, line 1: it is {header.form} without the column "
            f"{' and the column '.join(missing)}; it has {', '.join(header.columns)}"
        )
    csv.field_size_limit(LONGEST_ROW)
    lines = iter(partial(stream.readline, LONGEST_ROW + 1), b"")
    yield from _Reader(header, _Lines(lines, name)).rows()


@dataclass(slots=True)
class _Lines:
    """Lines as text; keeps the bytes of the current row."""

    stream: Iterator[bytes]
    name: str
    line: int = 1
    row: list[bytes] = field(default_factory=list)
    size: int = 0
    is_utf8: bool = True
    at_end: bool = False

    def begin_row(self) -> None:
        self.line += len(self.row)
        self.row.clear()
        self.size = 0
        self.is_utf8 = True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        try:
            line = next(self.stream)
        except StopIteration:
            self.at_end = True
            raise
        except READ_ERRORS as error:
            raise Damaged.by(error, self.name, self.line + len(self.row)) from None
        self.row.append(line)
        self.size += len(line)
        if self.size > LONGEST_ROW:
            raise self.damaged(
                f"a row is longer than {LONGEST_ROW} bytes, as if a quote were missing"
            )
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.is_utf8 = False
            return line.decode("utf-8", "surrogateescape")

    def damaged(self, reason: str) -> Damaged:
        return Damaged(self.name, self.line + 1, reason)


@dataclass(slots=True)
class _Reader:
    header: Header
    lines: _Lines

    def rows(self) -> Iterator[Any]:
        reader = csv.reader(self.lines, **_DIALECTS[self.header.form])
        columns = self.header.columns
        while True:
            self.lines.begin_row()
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if self.lines.at_end:
                    raise self.lines.damaged("cut off in the middle of a row") from None
                yield self._unreadable(f"it is not {self.header.form}: {error}")
            else:
                # Concatenated files repeat the header.
                if row and row != columns:
                    yield self._record(row)

    def _record(self, row: list[str]) -> Any:
        columns = self.header.columns
        if not self.lines.is_utf8:
            return self._unreadable("it is not UTF-8")
        if len(row) != len(columns):
            return self._unreadable(f"it has {len(row)} cells, and the header {len(columns)}")
        if self.header.form == "TSV":
            row = [_ESCAPED.sub(lambda match: _ESCAPES[match[1]], cell) for cell in row]
        named = dict(zip(columns, row, strict=True))
        try:
            return cells.to_record(named)
        except NotStorable as error:
            return Unreadable(
                b"".join(self.lines.row),
                error.kind,
                error.reason,
                named.get("topic"),
                named.get("msg_id"),
            )

    def _unreadable(self, reason: str) -> Unreadable:
        return Unreadable(b"".join(self.lines.row), "invalid", reason)
