"""What docs/analysis.rst asks, in the words of each engine, and how the answers are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from shell import ROOT

PAGE = (ROOT / "docs" / "analysis.rst").read_text(encoding="utf-8")
#: Where the page has its data set.
FOLDER = "/srv/datanommer"
_QUESTION = re.compile(r"^(\S.*\?)\n~+\n([\s\S]*?)(?=^\S.*\n[-~]{3,}$|\Z)", re.MULTILINE)
_BLOCK = re.compile(r"^(\S[^\n]*)::\n\n((?:    .*\n|\n)+)", re.MULTILINE)

#: The rows of an answer, as texts.
Rows = list[list[str]]


def _blocks(text: str) -> dict[str, str]:
    """The literal blocks of a text, by the engines that stand before them."""
    return {
        name: re.sub("^    ", "", block, flags=re.MULTILINE).strip()
        for names, block in _BLOCK.findall(text)
        for name in re.split(", | and ", names)
    }


#: By their titles, the SQL of each engine and the answer.
QUESTIONS = {title: _blocks(text) for title, text in _QUESTION.findall(PAGE)}
#: What the page answers.
ANSWERS: dict[str, Rows] = {
    title: [re.split("  +", line) for line in blocks["Answer"].splitlines()]
    for title, blocks in QUESTIONS.items()
}


def opening(engine: str, folder: str) -> str:
    """The SQL that makes a data set the table `messages`.

    Args:
        engine: ``Spark`` or ``DuckDB``.
        folder: of the data set.
    """
    section = re.search(rf"^{engine}\n-+\n([\s\S]*?)(?=^\S.*\n-+$)", PAGE, re.MULTILINE)
    assert section
    block = re.search(r"::\n\n((?:    .*\n)*?    CREATE[\s\S]*?;)\n", section[1])
    assert block
    assert FOLDER in block[1]
    return block[1].replace(FOLDER, folder)


def texts(rows: Iterable[Iterable[Any]]) -> Rows:
    """Rows as Spark prints them."""
    return [[_text(value) for value in row] for row in rows]


def _text(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)
