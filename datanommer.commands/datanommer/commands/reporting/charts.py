"""The charts of the report: SVG for a page of HTML, which gives it its colours.

pygal draws. Its own styles and its script are left out: the page has one style for all charts, and
may not run scripts. What the script would show, the browser shows as titles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pygal
from pygal.style import Style

from datanommer.commands.output.formatting import printable
from datanommer.models.counting.summary import Hour


class Band(NamedTuple):
    """A category, or several of them, and how many messages it has on each day."""

    name: str
    messages: Mapping[date, int]


class Size(NamedTuple):
    """The width and the height of a chart, in pixels where the page does not scale it."""

    width: int
    height: int


_DAY = timedelta(days=1)
_WEEK = 7  # days
#: Bars of more days would be thinner than a pixel on a phone.
_MOST_BARS = 92
#: More days than a screen has room for are drawn by week.
_MOST_DAYS = 800
# Pixels.
_FONT_SIZE = 12
_DATE_WIDTH = 64
_HOUR_WIDTH = 48

_NAMESPACE = "http://www.w3.org/2000/svg"
_LEFT_OUT = {"defs", "desc", "title"}
_LEFT_OUT_CLASSES = {"background", "titles", "overlay"}
_LENGTHS = {"d", "x", "y", "cx", "cy", "r", "width", "height"}
_DECIMAL = re.compile(r"\d+\.\d+")


def by_day(bands: Sequence[Band], first: date, last: date, size: Size) -> str:
    """Messages by day, with the bands stacked; by week if there are too many days.

    Args:
        bands: the first one lies at the bottom.
        first, last: the days to draw.
        size: of the chart.
    """
    number = (last - first).days + 1
    step = step_of(first, last)
    starts = [first + n * _DAY for n in range(0, number, step)]
    dates = _dates(starts, most=size.width // _DATE_WIDTH)
    options = {
        **_options(size),
        "x_labels": [dates.get(day, day.isoformat()) for day in starts],
        "x_labels_major": list(dates.values()),
        "show_minor_x_labels": False,
    }
    if number <= _MOST_BARS:
        chart = pygal.StackedBar(**options)
    else:
        chart = pygal.StackedLine(fill=True, show_dots=False, **options)
    for name, messages in bands:
        values = [sum(messages.get(day + n * _DAY, 0) for n in range(step)) for day in starts]
        chart.add(name, values, formatter=_named(printable(name)))
    return _svg(chart, "Messages by day and category")


def step_of(first: date, last: date) -> int:
    """How many days each point of `by_day` stands for."""
    return 1 if (last - first).days < _MOST_DAYS else _WEEK


def by_hour(hours: Sequence[Hour], last: date, size: Size) -> str:
    """Messages of a week by hour: a row for each day, the last one at the bottom.

    Args:
        hours: those of the week that have messages.
        last: the last day of the week.
        size: of the chart.
    """
    messages = {hour.start: hour.messages for hour in hours}
    labels = [f"{hour}:00" for hour in range(24)]
    step = 3 if size.width > 24 // 3 * _HOUR_WIDTH else 6
    chart = pygal.Dot(
        **_options(size),
        x_labels=labels,
        x_labels_major=labels[::step],
        show_minor_x_labels=False,
        show_y_guides=False,
    )
    for day in (last - n * _DAY for n in reversed(range(_WEEK))):
        starts = [datetime.combine(day, time(hour)) for hour in range(24)]
        name = f"{day:%a} {day.day}"
        chart.add(name, [_dot(name, messages.get(start, 0)) for start in starts])
    return _svg(chart, "Messages of the last seven days by hour")


def _dot(day: str, messages: int) -> dict[str, Any]:
    """A dot whose area, not width, shows how many messages there are."""
    return {"value": math.sqrt(messages), "formatter": lambda _: f"{day}: {messages:,}"}


def _dates(days: Sequence[date], *, most: int) -> dict[date, str]:
    """Which days have a label below the axis, and which one."""
    months = {(day.year, day.month): day for day in reversed(days)}
    firsts = sorted(months.values())[1:]
    if len(firsts) > most // 2:
        labelled = firsts[:: -(-len(firsts) // most)]
        return {day: f"{day:%b %Y}" for day in labelled}
    labelled = list(days[:: -(-len(days) // most)])
    return {day: f"{day.day} {day:%b}" for day in labelled}


def _named(name: str) -> Any:
    return lambda value: f"{name}: {value:,}"


def _options(size: Size) -> dict[str, Any]:
    fonts = dict.fromkeys(("label_font_size", "major_label_font_size"), _FONT_SIZE)
    return {
        **size._asdict(),
        "margin": 2,
        "margin_right": 12,
        "spacing": 6,
        "css": [],
        "js": [],
        "no_prefix": True,
        "show_legend": False,
        "truncate_label": -1,
        "max_scale": 6,
        "include_x_axis": True,
        "no_data_text": "No messages",
        "value_formatter": lambda value: f"{value:,.0f}",
        "style": Style(**fonts),
    }


def _svg(chart: Any, label: str) -> str:
    """What pygal draws, without what the page has itself or has no use for."""
    ET.register_namespace("", _NAMESPACE)
    root = ET.fromstring(chart.render())  # noqa: S314  it is pygal's
    root.attrib.pop("id")
    root.attrib.update({"class": "chart", "role": "img", "aria-label": label})
    _tidy(root)
    return ET.tostring(root, encoding="unicode")


def _tidy(node: ET.Element) -> None:
    facts = {each.get("class"): each.text for each in node if _name(each) == "desc"}
    for child in list(node):
        classes = set(child.get("class", "").split())
        if _name(child) in _LEFT_OUT or classes & _LEFT_OUT_CLASSES:
            node.remove(child)
        else:
            _tidy(child)
    if "value" in facts:
        title = ET.SubElement(node, f"{{{_NAMESPACE}}}title")
        title.text = ", ".join(filter(None, (facts.get("x_label"), facts["value"])))
    for key in _LENGTHS & node.attrib.keys():
        node.set(key, _DECIMAL.sub(lambda number: f"{float(number[0]):.1f}", node.attrib[key]))


def _name(node: ET.Element) -> str:
    return str(node.tag).rpartition("}")[2]
