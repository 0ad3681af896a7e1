"""Draws docs/schema.svg, and lists the tables in docs/tables.rst: python docs/schema.py"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from datanommer.models.tables import metadata

PAGE = Path(__file__).with_name("tables.rst")
PICTURE = Path(__file__).with_name("schema.svg")
BEGIN = ".. The schema makes what follows: python docs/schema.py\n"

#: Where the tables stand in the picture: its columns, from the left.
_PLACES = (
    ("users", "packages", "rejected"),
    ("user_messages", "package_messages", "topics"),
    ("messages", "archive"),
    ("certificates", "sync_events", "topic_days"),
)
# In pixels: of a table, of one of its rows, and between tables.
_WIDTH, _ROW, _GAP, _BESIDE = 190, 18, 24, 46
_TYPES = {"timestamp with time zone": "timestamptz"}
_LINE = 118


def main() -> None:
    """Write the picture and the page anew."""
    PICTURE.write_text(svg(), encoding="utf-8")
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(page: str) -> str:
    """The page with the tables as the schema is now."""
    before, _, _ = page.partition(BEGIN)
    return before + BEGIN + "".join(_section(table) for table in metadata.tables.values())


def _section(table: sa.Table) -> str:
    title = f"\n{table.name}\n{'-' * len(table.name)}\n\n{table.comment}\n\n"
    head = ".. list-table::\n   :header-rows: 1\n   :widths: 18 27 55\n\n"
    rows = [("Column", "Type", "Holds")]
    rows += [(f"``{each.name}``", _facts(each), each.comment or "") for each in table.columns]
    return title + head + "".join(map(_row, rows))


def _row(cells: tuple[str, ...]) -> str:
    lines = []
    for place, cell in enumerate(cells):
        mark = "     - " if place else "   * - "
        lines += textwrap.wrap(cell, _LINE, initial_indent=mark, subsequent_indent=" " * 7)
    return "\n".join(lines) + "\n"


def _facts(column: sa.Column[object]) -> str:
    facts = [_type(column)]
    if column.primary_key:
        facts.append("primary key")
    facts += [f"refers to `{key.column.table.name}`_" for key in column.foreign_keys]
    if column.unique:
        facts.append("unique")
    if column.nullable:
        facts.append("or NULL")
    return ", ".join(facts)


def _type(column: sa.Column[object]) -> str:
    written = column.type.compile(postgresql.dialect()).lower().partition(" collate")[0]  # type: ignore[no-untyped-call]
    return _TYPES.get(written, written)


class _Box(NamedTuple):
    """A table in the picture; `x` and `y` are of its upper left corner."""

    table: sa.Table
    x: int
    y: int

    @property
    def height(self) -> int:
        return _ROW * (1 + len(self.table.columns))

    def middle_of(self, column: str) -> int:
        """How far down the row of a column is."""
        return self.y + _ROW * (1 + list(self.table.columns.keys()).index(column)) + _ROW // 2


def svg() -> str:
    """The picture of the schema."""
    boxes = {box.table.name: box for box in _boxes()}
    width = len(_PLACES) * (_WIDTH + _BESIDE) - _BESIDE + 2
    height = max(box.y + box.height for box in boxes.values()) + 1
    size = f'width="{width}" height="{height}"'
    tip = 'viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">',
        "<style>text { font: 12px sans-serif } .name { font-weight: bold; fill: white }",
        ".key { font-weight: bold } .type { fill: #555555; text-anchor: end }",
        ".box { fill: white; stroke: #4477aa } .head { fill: #4477aa }",
        ".arrow { fill: none; stroke: #aa3377; stroke-width: 1.5; marker-end: url(#tip) }</style>",
        f'<marker id="tip" {tip}><path d="M0 0L8 4L0 8z" fill="#aa3377"/></marker>',
        '<rect width="100%" height="100%" fill="white"/>',
        *(line for box in boxes.values() for line in _drawn(box)),
        *(line for box in boxes.values() for line in _arrows(box, boxes)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _boxes() -> Iterator[_Box]:
    for place, names in enumerate(_PLACES):
        y = 1
        for name in names:
            box = _Box(metadata.tables[name], 1 + place * (_WIDTH + _BESIDE), y)
            yield box
            y += box.height + _GAP


def _drawn(box: _Box) -> Iterator[str]:
    yield f'<rect class="box" x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{box.height}"/>'
    yield f'<rect class="head" x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{_ROW}"/>'
    yield f'<text class="name" x="{box.x + 6}" y="{box.y + 13}">{escape(box.table.name)}</text>'
    for column in box.table.columns:
        y = box.middle_of(column.name) + 4
        key = ' class="key"' if column.primary_key else ""
        yield f'<text{key} x="{box.x + 6}" y="{y}">{escape(column.name)}</text>'
        yield f'<text class="type" x="{box.x + _WIDTH - 6}" y="{y}">{escape(_type(column))}</text>'


def _arrows(box: _Box, boxes: dict[str, _Box]) -> Iterator[str]:
    """From each column that refers to another table, to the column there."""
    for column in box.table.columns:
        for key in column.foreign_keys:
            to = boxes[key.column.table.name]
            is_right = to.x > box.x
            start = box.x + (_WIDTH if is_right else 0)
            end = to.x + (0 if is_right else _WIDTH)
            bend = (start + end) // 2
            y, y_end = box.middle_of(column.name), to.middle_of(key.column.name)
            yield f'<path class="arrow" d="M{start} {y}C{bend} {y} {bend} {y_end} {end} {y_end}"/>'


if __name__ == "__main__":
    main()
