"""The forms of the output: JSON, CSV, tables and lines of text, made of the same fields.

A row is a sequence of cells, one for each field. A cell is JSON text, so that what a sender wrote
passes through as it is.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from datanommer.commands import interruption
from datanommer.commands.output import progress
from datanommer.commands.output.formatting import printable

Row = Sequence[str]
Lines = Iterator[str]
#: Turns the names of the cells and the rows into lines, without line ends.
Form = Callable[[Sequence[str], Iterable[Row]], Lines]
#: A field that hardly any message has: JSON objects leave it out if it has no value.
_SELDOM = "extra"
#: A field that datanommer-load reads back: without its quotes, "1" would become a number.
_ALWAYS_JSON = "msg"


def write(
    form: str, fields: Sequence[str], rows: Iterable[Row], *, text: Form | None = None
) -> None:
    """Write rows to standard output, in UTF-8; for people, in the encoding of their terminal.

    Args:
        form: one of `FORMS`.
        fields: the names of the cells.
        rows: the rows.
        text: what makes lines for people, instead of cells side by side.

    Raises:
        OSError: standard output cannot be written.
    """
    # Senders choose the texts: no character in them may make the command fail.
    encoding = None if form in _FOR_PEOPLE else "utf-8"
    sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")  # type: ignore[union-attr]
    make_lines = text if text is not None and form == "text" else FORMS[form]
    write_lines(make_lines(fields, rows))


def write_lines(lines: Iterable[str], describe: Callable[[], str] | None = None) -> None:
    """Write lines to standard output; until the first one, a terminal shows the progress.

    Args:
        lines: without their ends.
        describe: says how far it is; without it, how many lines were written.

    Raises:
        OSError: standard output cannot be written.
    """
    written = 0
    is_terminal = sys.stdout.isatty()
    with (
        interruption.ended_by_reader(),
        progress.shown(describe or (lambda: f"{written:,} lines")),
    ):
        for line in lines:
            if is_terminal:
                progress.hide()
            sys.stdout.write(f"{line}\n")
            written += 1


def flushed(chunks: Iterable[Iterable[Row]]) -> Iterator[Row]:
    """The rows of chunks; flushes what is written of each before asking for the next one."""
    for chunk in chunks:
        yield from chunk
        sys.stdout.flush()


def readable(cell: str) -> str:
    """A cell for people: characters as they are, names with commas, and - for nothing."""
    value = json.loads(cell)
    if value is None or value == []:
        return "-"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return printable(", ".join(value))
    if isinstance(value, dict | list):
        return printable(json.dumps(value, ensure_ascii=False))
    return cell


def _json(fields: Sequence[str], rows: Iterable[Row]) -> Lines:
    previous = None
    yield "["
    for line in _ndjson(fields, rows):
        if previous is not None:
            yield f"{previous},"
        previous = line
    if previous is not None:
        yield previous
    yield "]"


def _ndjson(fields: Sequence[str], rows: Iterable[Row]) -> Lines:
    names = [f"{json.dumps(name)}: " for name in fields]
    for row in rows:
        pairs = zip(fields, names, row, strict=True)
        cells = (f"{key}{cell}" for name, key, cell in pairs if name != _SELDOM or cell != "null")
        yield f"{{{', '.join(cells)}}}"


def _csv(fields: Sequence[str], rows: Iterable[Row]) -> Lines:
    written: list[str] = []
    # It writes a row in one call, and quotes cells that have a character of the terminator.
    writer = csv.writer(_Written(written), lineterminator="\r\n")
    for row in _with_header(fields, rows):
        writer.writerow(row)
        yield written.pop().removesuffix("\r\n")


class _Written:
    """What `csv` writes to."""

    def __init__(self, lines: list[str]) -> None:
        self.write: Callable[[str], Any] = lines.append


def _tsv(fields: Sequence[str], rows: Iterable[Row]) -> Lines:
    for row in _with_header(fields, rows):
        yield "\t".join(cell.translate(_TSV_ESCAPES) for cell in row)


#: A tab or the end of a line would end the cell. PostgreSQL's COPY has the same escapes.
_TSV_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _with_header(fields: Sequence[str], rows: Iterable[Row]) -> Iterator[Sequence[str]]:
    yield fields
    makers = [str if name == _ALWAYS_JSON else _plain for name in fields]
    for row in rows:
        yield [make(cell) for make, cell in zip(makers, row, strict=True)]


def _plain(cell: str) -> str:
    """A cell for programs: texts without their quotes, nothing for null, the rest as JSON."""
    if cell.startswith('"'):
        return str(json.loads(cell))
    return "" if cell == "null" else cell


def _text(_fields: Sequence[str], rows: Iterable[Row]) -> Lines:
    for row in rows:
        yield "  ".join(map(readable, row))


def _table(fields: Sequence[str], rows: Iterable[Row]) -> Lines:
    # Imported here, because it takes as long as the rest of the output.
    from datanommer.commands.output import table

    return table.lines(fields, ([readable(cell) for cell in row] for row in rows))


FORMS: dict[str, Form] = {
    "text": _text,
    "table": _table,
    "json": _json,
    "ndjson": _ndjson,
    "csv": _csv,
    "tsv": _tsv,
}
_FOR_PEOPLE = {"text", "table"}
