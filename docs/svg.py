"""What the drawings of these docs are made of: boxes, arrows and text, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

#: Of lines, and of text beside what is said first.
INK, GREY = "#24292f", "#57606a"
_LINE = 15  # pixels

Point = tuple[float, float]


def drawing(width: int, height: int, parts: Iterable[str]) -> str:
    """A drawing of parts, of a size in pixels."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    )
    tip = (
        '<marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        f'<path d="M0 0L9 4L0 8z" fill="{INK}"/></marker>'
    )
    # White, whatever the page around it is.
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, tip, paper, *parts, "</svg>\n"])


def text(
    x: float, y: float, words: str, *, anchor: str = "start", style: str = f'fill="{GREY}"'
) -> str:
    """Words whose line stands at a point."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {style}>{escape(words)}</text>'


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    title: str,
    lines: Sequence[str] = (),
    *,
    fill: str = "white",
) -> str:
    """A box with a title and lines below it."""
    middle = x + width / 2
    size = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    bold = f'font-weight="bold" fill="{INK}"'
    said = [text(middle, y + 18, title, anchor="middle", style=bold)]
    said += [
        text(middle, y + 18 + _LINE * number, line, anchor="middle")
        for number, line in enumerate(lines, 1)
    ]
    return "\n".join([f'<rect {size} rx="5" fill="{fill}" stroke="{GREY}"/>', *said])


def arrow(*points: Point, dashed: bool = False) -> str:
    """A line through points, with a tip at its end."""
    path = "L".join(f"{x:g} {y:g}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    style = f'fill="none" stroke="{INK}" stroke-width="1.4"{dashes}'
    return f'<path d="M{path}" {style} marker-end="url(#tip)"/>'
