"""The forms of the output: JSON, CSV, tables and lines of text, made of the same fields.

A row is a sequence of cells, one for each field. A cell is a text of JSON: so what a sender wrote
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
#: What makes lines, without their ends, of the names of the cells and the rows.
Form = Callable[[Sequence[str], Iterable[Row]], Lines]
#: A field that hardly any message has: an object of JSON has it only where there is a value.
_SELDOM = "extra"
#: A field that a load reads back: as a plain text, "1" would be the number.
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
    # Senders choose the texts: no character of theirs may end the command.
    encoding = None if form in _FOR_PEOPLE else "utf-8"
    sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")  # type: ignore[union-attr]
    make_lines = text if text is not None and form == "text" else FORMS[form]
    write_lines(make_lines(fields, rows))


def write_lines(lines: Iterable[str], describe: Callable[[], str] | None = None) -> None:
    """Write lines to standard output; a terminal shows how far it is until the first one comes.

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
    """The rows of chunks. What is written of a chunk is out before the next one is asked for."""
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
    # It writes each row at once, and quotes a cell that has a character of the terminator.
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


#: A tab or the end of a line would end the cell. As PostgreSQL's COPY has them.
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
    # Here, because it takes as long to import as the rest of the output.
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
