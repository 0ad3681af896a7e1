"""Draw terminal.svg, a session at the shell: python docs/terminal.py > docs/terminal.svg

DATANOMMER_SQLALCHEMY_URL names the archive of the tutorial, with docs/february.ndjson alone in it.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from svg import text

_TYPED = (
    "datanommer-latest --category bodhi --format text --fields time,topic,agent",
    "datanommer-stats",
    "datanommer-grep --user ralph -n 5 --fields time,category,subtitle --format table",
)
# In pixels; a character of the font is three fifths as wide as high.
_FONT, _LINE, _EDGE, _BAR = 13, 19, 16, 30
_PAPER, _INK, _PROMPT = "#1e1e2e", "#e6e6ef", "#8bd5a0"
_LIGHTS = ("#ff5f57", "#febc2e", "#28c840")


def main() -> None:
    """Print the drawing."""
    lines: list[tuple[str, str]] = []
    for typed in _TYPED:
        program, *arguments = shlex.split(typed)
        beside = Path(sys.executable).with_name(program)
        told = subprocess.run([beside, *arguments], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
        lines.append(("$ ", typed))
        lines += [("", line) for line in told.stdout.splitlines()]
        lines.append(("", ""))
    lines.pop()
    sys.stdout.write(_window(lines))


def _window(lines: list[tuple[str, str]]) -> str:
    """A window with lines: each its prompt, and what comes after that."""
    width = round(max(len(prompt + words) for prompt, words in lines) * _FONT * 0.6) + 2 * _EDGE
    height = _BAR + _LINE * len(lines) + _EDGE
    font = "ui-monospace, 'DejaVu Sans Mono', Consolas, monospace"
    size = f'width="{width}" height="{height}"'
    style = f'viewBox="0 0 {width} {height}" font-family="{font}" font-size="{_FONT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>',
        f'<rect {size} rx="8" fill="{_PAPER}"/>',
    ]
    for number, light in enumerate(_LIGHTS):
        parts.append(f'<circle cx="{_EDGE + 4 + 18 * number}" cy="15" r="5.5" fill="{light}"/>')
    for number, (prompt, words) in enumerate(lines):
        y = _BAR + _LINE * number + _FONT
        # Columns stand below each other, whatever the width of the font at hand.
        columns = f'textLength="{len(words) * _FONT * 0.6:.1f}" xml:space="preserve"'
        if prompt:
            parts.append(text(_EDGE, y, prompt, style=f'fill="{_PROMPT}"'))
        if words:
            x = _EDGE + len(prompt) * _FONT * 0.6
            parts.append(text(x, y, words, style=f'fill="{_INK}" {columns}'))
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    main()
