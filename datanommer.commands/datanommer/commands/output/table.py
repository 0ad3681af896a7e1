"""A table for people: no wider than the terminal, and elsewhere as wide as it needs to be."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datanommer.commands.output.formatting import is_coloured

_GAP = 2
#: Columns that are useless if their ends are cut off.
_NEVER_CUT = {
    *("id", "msg_id", "run_id", "time", "stored_at", "received_at", "first_seen", "last_seen"),
    *("started", "finished"),
}
_NARROWEST = 8


def lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; none where there are no rows. Memory holds all of them.

    Args:
        header: the names of the columns.
        rows: a text for each column.
    """
    cells = list(rows)
    if not cells:
        return
    widths = _widths(header, cells)
    style = "bold" if is_coloured() else ""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style=style)
    for name, width in zip(header, widths, strict=True):
        table.add_column(name.upper(), width=width, no_wrap=True, overflow="ellipsis")
    for row in cells:
        table.add_row(*map(Text, row))
    console = Console(
        file=io.StringIO(), force_terminal=is_coloured(), width=sum(widths) + _GAP * len(widths)
    )
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().rstrip("\n").split("\n"):
        yield line.rstrip()


def _widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column is: on a terminal, the widest ones give way until all of them fit."""
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    if not sys.stdout.isatty():
        return widths
    room = shutil.get_terminal_size().columns - _GAP * (len(widths) - 1)
    elastic = [index for index, name in enumerate(header) if name not in _NEVER_CUT]
    while sum(widths) > room and elastic:
        widest = max(elastic, key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths
