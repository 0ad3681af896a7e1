"""What the pages of the documentation say that one types, and what it prints."""

from __future__ import annotations

import re
from typing import NamedTuple

_BLOCK = re.compile(r"::\n\n((?:    .*\n|\n)+)")
_STEP = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


class Step(NamedTuple):
    """A line as it is typed, and what it prints."""

    typed: str
    printed: str


def steps_of(text: str) -> list[Step]:
    """The lines of a text that are typed, in their order."""
    blocks = (re.sub("^    ", "", each, flags=re.MULTILINE) for each in _BLOCK.findall(text))
    return [Step(*each) for block in blocks for each in _STEP.findall(f"{block.rstrip()}\n")]
