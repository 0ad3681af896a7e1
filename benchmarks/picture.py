"""How cost grows with the number of messages, as an SVG: a panel a benchmark, axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

Line = list[tuple[int, float]]

_MESSAGES = (100_000, 10_000_000)
_MILLISECONDS = (0.01, 100_000.0)
# In pixels: of the chart in a panel, its place there, and what is beside and between them.
_WIDTH, _HEIGHT, _LEFT, _TOP, _LEGEND, _GAP, _TEXT = 380, 280, 80, 30, 400, 60, 15
_COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#555555")
_DASHES = ("", "6 3", "2 3")
_PEER = "#cccccc"


@dataclass
class Panel:
    """What things cost (ms) at several numbers of messages.

    Attributes:
        lines: ours, by what it is.
        peers: those beside ours, by what it is.
    """

    lines: dict[str, Line] = field(default_factory=dict)
    peers: dict[str, Line] = field(default_factory=dict)


def svg(panels: dict[str, Panel]) -> str:
    """The picture of panels, by their titles."""
    parts: list[str] = []
    top = 0
    for title, panel in panels.items():
        parts += [f'<g transform="translate(0 {top})">', *_panel(title, panel), "</g>"]
        top += _TOP + max(_HEIGHT, _TEXT * (len(panel.lines) + 1)) + _GAP
    size = f'width="{_LEFT + _WIDTH + _LEGEND}" height="{top}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        "<style>text { font: 11px sans-serif } .title { font-weight: bold }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def _panel(title: str, panel: Panel) -> Iterator[str]:
    yield f'<text x="{_LEFT}" y="{_TOP - 12}" class="title">{escape(title)}</text>'
    yield from _grid()
    for line in panel.peers.values():
        yield _drawn(line, f'stroke="{_PEER}"')
    for number, (name, line) in enumerate(panel.lines.items()):
        dashes = _DASHES[number // len(_COLORS) % len(_DASHES)]
        style = f'stroke="{_COLORS[number % len(_COLORS)]}" stroke-dasharray="{dashes}"'
        yield _drawn(line, style)
        yield from _legend(number, name, style)
    yield from _legend(len(panel.lines), "the peers and limits beside them", f'stroke="{_PEER}"')


def _grid() -> Iterator[str]:
    for messages in (100_000, 1_000_000, 10_000_000):
        x = _x(messages)
        yield f'<path d="M{x:.0f} {_TOP}v{_HEIGHT}" stroke="#eee"/>'
        yield _label(x, _TOP + _HEIGHT + 16, "middle", f"{messages:,}")
    for power in range(-2, 6):
        y = _y(10.0**power)
        yield f'<path d="M{_LEFT} {y:.0f}h{_WIDTH}" stroke="#eee"/>'
        yield _label(_LEFT - 6, y + 4, "end", f"{10.0**power:,g} ms")
    yield _label(_LEFT + _WIDTH // 2, _TOP + _HEIGHT + 32, "middle", "messages")


def _label(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text}</text>'


def _drawn(line: Sequence[tuple[int, float]], style: str) -> str:
    points = " ".join(f"{_x(messages):.1f},{_y(cost):.1f}" for messages, cost in line)
    return f'<polyline points="{points}" fill="none" stroke-width="1.5" {style}/>'


def _legend(number: int, name: str, style: str) -> Iterator[str]:
    x, y = _LEFT + _WIDTH + 14, _TOP + 6 + _TEXT * number
    yield f'<path d="M{x} {y}h24" stroke-width="1.5" {style}/>'
    yield f'<text x="{x + 30}" y="{y + 4}">{escape(name)}</text>'


def _x(messages: float) -> float:
    return _LEFT + _WIDTH * _share(messages, *_MESSAGES)


def _y(milliseconds: float) -> float:
    return _TOP + _HEIGHT * (1 - _share(milliseconds, *_MILLISECONDS))


def _share(value: float, low: float, high: float) -> float:
    inside = min(max(value, low), high)
    return math.log(inside / low) / math.log(high / low)
