"""Numbers, each with a bar on a terminal; the longest bar fills the room there is."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence

import click

from datanommer.commands.output.formatting import is_coloured

_GAP = "  "
_EIGHTHS = "▏▎▍▌▋▊▉█"
_NARROWEST = 8


def lines(rows: Sequence[tuple[str, int]]) -> Iterator[str]:
    """A line for each label and its number.

    Args:
        rows: labels, all of them of one width, with numbers from 0 on.
    """
    greatest = max((number for _, number in rows), default=0)
    width = len(str(greatest))
    for label, number in rows:
        line = f"{label}{_GAP}{number:>{width}}"
        bar = _bar(number / greatest, len(line)) if greatest and sys.stdout.isatty() else ""
        yield f"{line}{_GAP}{bar}" if bar else line


def _bar(share: float, taken: int) -> str:
    room = max(shutil.get_terminal_size().columns - taken - len(_GAP), _NARROWEST)
    whole, eighths = divmod(round(share * room * 8), 8)
    if not _has_blocks():
        return "#" * round(share * room)
    bar = _EIGHTHS[-1] * whole + (_EIGHTHS[eighths - 1] if eighths else "")
    return click.style(bar, fg="cyan") if bar and is_coloured() else bar


def _has_blocks() -> bool:
    """Whether the encoding of the terminal has the characters of a bar."""
    try:
        _EIGHTHS.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
