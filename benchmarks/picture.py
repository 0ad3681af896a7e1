"""Figures as SVG: rates as bars beside those of their peers, and how times grow."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from benchmarks.measure import number

Points = list[tuple[int, float]]

_OURS, _PEER, _LIMIT = "#2166ac", "#9aa0a6", "#c0392b"
# In pixels.
_LABELS, _BARS, _BAR, _GAP = 410, 300, 17, 9
_COLUMNS, _CHART, _HEIGHT, _LEFT, _RIGHT, _TITLE, _AXIS = 3, 150, 90, 66, 74, 34, 34


@dataclass
class Rate:
    """Messages a second, and those of its peers by their names."""

    what: str
    ours: float
    peers: dict[str, float] = field(default_factory=dict)


@dataclass
class Growth:
    """What something costs (ms) at several numbers of messages.

    Attributes:
        what: what it is.
        peer: what it is compared with; empty if there is none.
        limit: what it must not exceed (ms), or None.
        ours: our points.
        theirs: those of the peer.
    """

    what: str
    peer: str
    limit: float | None = None
    ours: Points = field(default_factory=list)
    theirs: Points = field(default_factory=list)


def bars(rates: Sequence[Rate]) -> str:
    """Rates, each above those of its peers, all on one scale."""
    scale = _BARS / max(value for rate in rates for value in (rate.ours, *rate.peers.values()))
    parts: list[str] = []
    top = _GAP
    for rate in rates:
        parts += _bar(top, rate.what, rate.ours, scale, _OURS)
        top += _BAR
        for peer, value in rate.peers.items():
            parts += _bar(top, peer, value, scale, _PEER)
            top += _BAR
        top += _GAP
    return _svg(_LABELS + _BARS + 130, top, parts)


def _bar(top: int, name: str, value: float, scale: float, color: str) -> Iterator[str]:
    weight = ' font-weight="bold"' if color == _OURS else ' fill="#555"'
    yield _text(_LABELS - 8, top + 12, "end", name, weight)
    width = max(1.0, value * scale)
    yield f'<rect x="{_LABELS}" y="{top}" width="{width:.1f}" height="{_BAR - 2}" fill="{color}"/>'
    yield _text(_LABELS + width + 5, top + 12, "start", f"{number(value)} messages/s", weight)


def charts(growths: Sequence[Growth]) -> str:
    """How times grow: a chart each, on the same logarithmic axes."""
    growths = [each for each in growths if len(each.ours) > 1]
    if not growths:
        return _svg(_LABELS, _TITLE, [_text(8, 20, "start", "There is one size only.")])
    points = [point for each in growths for point in (*each.ours, *each.theirs)]
    limits = [each.limit for each in growths if each.limit]
    sizes = sorted({messages for messages, _ in points})
    costs = [cost for _, cost in points] + limits
    axes = _Axes(sizes, math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs))))
    width, height = _LEFT + _CHART + _RIGHT, _TITLE + _HEIGHT + _AXIS
    parts = [*_key(growths)]
    for place, growth in enumerate(growths):
        row, column = divmod(place, _COLUMNS)
        parts += [
            f'<g transform="translate({column * width} {_TITLE + row * height})">',
            *_chart(growth, axes),
            "</g>",
        ]
    rows = -(-len(growths) // _COLUMNS)
    return _svg(_COLUMNS * width, _TITLE + rows * height, parts)


def _key(growths: Sequence[Growth]) -> Iterator[str]:
    peers = " or ".join(dict.fromkeys(each.peer for each in growths if each.peer))
    entries = [("datanommer", _OURS), *([(peers, _PEER)] if peers else [])]
    if any(each.limit for each in growths):
        entries.append(("the limit", _LIMIT))
    x = 12.0
    for name, color in entries:
        dashes = ' stroke-dasharray="4 3"' if color == _LIMIT else ""
        yield f'<path d="M{x:.0f} 16h24" stroke="{color}" stroke-width="2"{dashes}/>'
        yield _text(x + 30, 20, "start", name)
        x += 60 + 6.5 * len(name)


@dataclass(frozen=True, slots=True)
class _Axes:
    """The axes that all charts share: numbers of messages, and powers of ten in milliseconds."""

    sizes: Sequence[int]
    low: int
    high: int

    def x(self, messages: float) -> float:
        first, last = self.sizes[0], self.sizes[-1]
        return _LEFT + _CHART * math.log(messages / first) / math.log(last / first)

    def y(self, cost: float) -> float:
        return _TITLE + _HEIGHT * (self.high - math.log10(cost)) / (self.high - self.low)


def _chart(growth: Growth, axes: _Axes) -> Iterator[str]:
    for line, words in enumerate(textwrap.wrap(growth.what, 38)):
        yield _text(_LEFT, 12 + 13 * line, "start", words, ' font-weight="bold"')
    for size in axes.sizes:
        yield f'<path d="M{axes.x(size):.0f} {_TITLE}v{_HEIGHT}" stroke="#e5e5e5"/>'
        yield _text(axes.x(size), _TITLE + _HEIGHT + 14, "middle", _short(size), _SMALL)
    # With many powers of ten, there is no room to label each.
    step = 1 + (axes.high - axes.low) // 5
    for power in range(axes.low, axes.high + 1):
        y = axes.y(10.0**power)
        yield f'<path d="M{_LEFT} {y:.0f}h{_CHART}" stroke="#e5e5e5"/>'
        if (power - axes.low) % step == 0:
            yield _text(_LEFT - 5, y + 4, "end", f"{10.0**power:,g} ms", _SMALL)
    if growth.limit:
        y = axes.y(growth.limit)
        yield f'<path d="M{_LEFT} {y:.1f}h{_CHART}" stroke="{_LIMIT}" stroke-dasharray="4 3"/>'
    lines = [(_PEER, growth.theirs), (_OURS, growth.ours)]
    for color, points in lines:
        yield _line(points, axes, color)
    yield from _ends(lines, axes)


def _line(points: Points, axes: _Axes, color: str) -> str:
    drawn = " ".join(f"{axes.x(size):.1f},{axes.y(cost):.1f}" for size, cost in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{color}" stroke-width="2"/>'


def _ends(lines: Sequence[tuple[str, Points]], axes: _Axes) -> Iterator[str]:
    """The last figure of each line, at its end; moved apart if they would overlap."""
    ends = sorted((axes.y(points[-1][1]), color, points[-1]) for color, points in lines if points)
    if len(ends) > 1 and ends[1][0] - ends[0][0] < _LINE:
        middle = (ends[0][0] + ends[1][0]) / 2
        ends = [
            (middle + side * _LINE / 2, *end[1:]) for side, end in zip((-1, 1), ends, strict=True)
        ]
    for y, color, (size, cost) in ends:
        style = f' fill="{color if color == _OURS else "#555"}"'
        yield _text(axes.x(size) + 6, y + 4, "start", f"{number(cost)} ms", style)


_LINE = 12
_SMALL = ' font-size="10" fill="#555"'


def _short(size: int) -> str:
    return f"{size // 10**6} M" if size >= 10**6 else f"{size // 1000} k"


def _text(x: float, y: float, anchor: str, text: str, style: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    )
    # White, whatever the page around it is.
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])
