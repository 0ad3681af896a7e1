"""Draw house.svg, the packages and rooms in their layers: python docs/house.py > docs/house.svg

The layers are those of the contracts in pyproject.toml, and each room is in its own words.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from svg import arrow, box, drawing, text

_ROOT = Path(__file__).parent.parent
_MODELS = _ROOT / "datanommer.models" / "datanommer" / "models"
# In pixels; a character takes so many in the mean.
_WIDTH, _EDGE, _GAP, _LINE, _CHARACTER = 900, 14, 8, 15, 6.2
_CONSUMER, _COMMANDS, _ROOM = "#fff3e0", "#e8f5e9", "#e3f2fd"
_ABOUT = {
    "datanommer.consumer": "plug-in of fedmsg-hub; callback of fedora-messaging",
    "datanommer.commands": "tools for the shell",
}


def main() -> None:
    """Print the drawing."""
    with (_ROOT / "pyproject.toml").open("rb") as file:
        packages, rooms, *_ = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    above, below = packages["layers"]
    top = 110
    parts = list(_packages(above.split(" | ")))
    drawn: list[str] = []
    y = top + 30
    for layer in rooms["layers"]:
        height, boxes = _layer(y, sorted(layer.split(" | ")))
        drawn += boxes
        y += height + _GAP
    frame = f'x="1" y="{top}" width="{_WIDTH - 2}" height="{y - top}" rx="8"'
    parts.append(f'<rect {frame} fill="#fafafa" stroke="#57606a"/>')
    bold = 'font-weight="bold" fill="#24292f"'
    parts.append(text(_WIDTH / 2, top + 20, below, anchor="middle", style=bold))
    parts += drawn
    parts.append(arrow((_WIDTH / 2, y), (_WIDTH / 2, y + 28)))
    parts.append(box(_WIDTH / 2 - 80, y + 28, 160, 28, "PostgreSQL"))
    sys.stdout.write(drawing(_WIDTH, y + 60, parts))


def _packages(names: Sequence[str]) -> Iterator[str]:
    width = _WIDTH / len(names)
    for number, (name, fill) in enumerate(zip(names, (_CONSUMER, _COMMANDS), strict=True)):
        left = number * width
        yield box(left + 30, 8, width - 60, 48, name, [_ABOUT[name]], fill=fill)
        yield arrow((left + width / 2, 56), (left + width / 2, 109))


def _layer(top: int, rooms: Sequence[str]) -> tuple[int, list[str]]:
    """The height of a layer, and its rooms side by side."""
    width = (_WIDTH - 2 * _EDGE - _GAP * (len(rooms) - 1)) / len(rooms)
    said = [textwrap.wrap(_about(room), int(width / _CHARACTER)) for room in rooms]
    height = 26 + _LINE * max(map(len, said))
    lefts = [_EDGE + number * (width + _GAP) for number in range(len(rooms))]
    return height, [
        box(left, top, width, height, room, lines, fill=_ROOM)
        for left, room, lines in zip(lefts, rooms, said, strict=True)
    ]


def _about(room: str) -> str:
    """What a room says first of itself."""
    folder = _MODELS / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    sentence = re.split(r"(?<=\.)\s|\n\n", said)[0].rstrip(".")
    return " ".join(re.sub(r"[`]", "", sentence).split())


if __name__ == "__main__":
    main()
