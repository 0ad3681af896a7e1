"""How cost grows with the number of messages, as an SVG: both axes are logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Line = Sequence[tuple[int, float]]

_WIDTH, _HEIGHT, _LEFT, _TOP, _LEGEND = 420, 420, 60, 20, 420
_MESSAGES = (100_000, 10_000_000)
_MILLISECONDS = (0.1, 1_000.0)
_COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#555555")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")


def svg(lines: Mapping[str, Line]) -> str:
    """The picture of what things cost (in ms) at several numbers of messages."""
    height = max(_HEIGHT, 14 * len(lines)) + 60
    width = _LEFT + _WIDTH + _LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">',
        "<style>text { font: 11px sans-serif }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        *_grid(),
    ]
    for number, (name, line) in enumerate(lines.items()):
        parts += _line(number, name, line)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid() -> list[str]:
    parts = []
    for messages in (100_000, 1_000_000, 10_000_000):
        x = _x(messages)
        parts.append(f'<path d="M{x:.0f} {_TOP}V{_TOP + _HEIGHT}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{x:.0f}" y="{_TOP + _HEIGHT + 16}" text-anchor="middle">{messages:,}</text>'
        )
    for milliseconds in (0.1, 1, 10, 100, 1_000):
        y = _y(milliseconds)
        parts.append(f'<path d="M{_LEFT} {y:.0f}H{_LEFT + _WIDTH}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{milliseconds:g} ms</text>'
        )
    middle = _LEFT + _WIDTH // 2
    parts.append(
        f'<text x="{middle}" y="{_TOP + _HEIGHT + 34}" text-anchor="middle">messages</text>'
    )
    return parts


def _line(number: int, name: str, line: Line) -> list[str]:
    color = _COLORS[number % len(_COLORS)]
    dash = _DASHES[number // len(_COLORS) % len(_DASHES)]
    style = f'stroke="{color}" fill="none" stroke-width="1.5" stroke-dasharray="{dash}"'
    points = " ".join(f"{_x(messages):.1f},{_y(cost):.1f}" for messages, cost in line)
    x, y = _LEFT + _WIDTH + 12, _TOP + 8 + 14 * number
    return [
        f'<polyline points="{points}" {style}/>',
        *(
            f'<circle cx="{_x(messages):.1f}" cy="{_y(cost):.1f}" r="2" fill="{color}"/>'
            for messages, cost in line
        ),
        f'<path d="M{x} {y}h24" {style}/>',
        f'<text x="{x + 30}" y="{y + 4}">{escape(name)}</text>',
    ]


def _x(messages: float) -> float:
    return _LEFT + _WIDTH * _share(messages, *_MESSAGES)


def _y(milliseconds: float) -> float:
    return _TOP + _HEIGHT * (1 - _share(milliseconds, *_MILLISECONDS))


def _share(value: float, low: float, high: float) -> float:
    inside = min(max(value, low), high)
    return math.log(inside / low) / math.log(high / low)
