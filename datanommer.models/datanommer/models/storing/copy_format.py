"""Rows in the text format of COPY, which PostgreSQL reads faster than its CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from datanommer.models.envelopes.row import Row

#: From how many rows on COPY is faster than INSERT (benchmarks/batches.py measures it).
COPY_FROM = 75
#: How many characters are too many for an INSERT, which is one statement, and for one piece of a
#: COPY.
LARGE = 16 * 1024 * 1024

NULL = r"\N"
#: How many rows PostgreSQL is sent at a time. It reads them while the next are written. That takes
#: a tenth off the time of a batch, with 50 as with 300; each time, a thread may wait for its turn.
_ROWS_AT_ONCE = 250
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def values_of(row: Row) -> tuple[Any, ...]:
    """The values of a row in the order of `inserts.COLUMNS`, from `msg_id` on."""
    return (
        row.msg_id,
        row.i,
        row.topic,
        row.category,
        f"{row.timestamp.isoformat()}+00",
        row.username,
        row.agent,
        row.crypto,
        None if row.signature is None else rf"\x{row.signature.hex()}",
        row.source_name,
        row.source_version,
        row.msg,
        row.headers,
        row.extra,
    )


def line_of(row: Row) -> str:
    """The line of a row, without its two ids."""
    return line(values_of(row))


def line(values: Sequence[Any]) -> str:
    """Values as one line, without the newline."""
    # No text of a row holds a NUL, so it can stand for NULL while backslashes are doubled.
    fields = ["\0" if value is None else str(value) for value in values]
    text = "\t".join(fields).replace("\\", "\\\\")
    if text.count("\t") >= len(values) or "\n" in text or "\r" in text:
        text = "\t".join([field.translate(_ESCAPES) for field in fields])
    return text.replace("\0", NULL)


def copy(cursor: Any, table: str, columns: str, lines: Iterable[str]) -> None:
    """Copy lines into a table.

    Raises:
        psycopg2.Error: the database failed or refused.
    """
    copy_pieces(cursor, table, columns, _pieces(lines))


def copy_pieces(cursor: Any, table: str, columns: str, pieces: Iterable[bytes]) -> None:
    """Copy a text that is too long for the memory into a table.

    Args:
        cursor: of the transaction.
        table: its name.
        columns: the names of its columns.
        pieces: lines with their newlines, cut anywhere; none is empty.

    Raises:
        psycopg2.Error: the database failed or refused.
    """
    cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", _File(iter(pieces)))


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """Some lines at a time, written while PostgreSQL already reads those before."""
    waiting = iter(lines)
    while some := list(_some(waiting)):
        yield "\n".join([*some, ""]).encode()


def _some(lines: Iterator[str]) -> Iterator[str]:
    size = 0
    for text in islice(lines, _ROWS_AT_ONCE):
        yield text
        size += len(text)
        if size > LARGE:
            break


class _File:
    """What COPY reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int) -> bytes:
        return next(self._pieces, b"")
