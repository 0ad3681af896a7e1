"""The page of the report: what a summary says, in charts, tables and words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from datanommer.commands.output.formatting import format_bytes, printable
from datanommer.commands.reporting import charts
from datanommer.commands.reporting.charts import Band, Size
from datanommer.models.counting.summary import SILENCE, Day, Name, Summary

#: How many categories have a colour of their own; all others share one. There are not many more
#: colours that everybody can tell apart.
_MOST_BANDS = 7
#: How many categories are listed that have fallen silent.
_MOST_SILENT = 12
#: Growth is measured over this many days, the last complete ones.
_GROWTH_DAYS = 30
_DAY = timedelta(days=1)
# A chart has one size for wide screens and paper, and one for phones.
_DAYS_SIZES = (Size(1160, 340), Size(370, 260))
_WEEK_SIZES = (Size(560, 240), Size(370, 190))


class Growth(NamedTuple):
    """How fast the archive grows.

    Attributes:
        days: in how many days it was measured.
        messages: how many come a day.
        size: what a message takes on the disk, in bytes, with all that belongs to it.
    """

    days: int
    messages: float
    size: float

    @classmethod
    def of(cls, summary: Summary) -> Growth | None:
        """The growth of the last days; None if no day is complete yet or there are no messages."""
        days = min(_GROWTH_DAYS, (summary.last_day - summary.first_day).days)
        if not days or not summary.totals.messages:
            return None
        start = summary.last_day - days * _DAY
        sent = sum(each.messages for each in summary.days if start <= each.day < summary.last_day)
        size = sum(each.size for each in summary.sizes)
        return cls(days, sent / days, size / summary.totals.messages)


def page(summary: Summary, *, archive: str, now: datetime, version: str) -> str:
    """The report as HTML that needs no other file.

    Args:
        summary: what it says.
        archive: the name of the archive.
        now: when it is made (naive, in UTC).
        version: of datanommer.
    """
    first, last = summary.first_day, summary.last_day
    bands = _bands(summary.days)
    template = _environment().get_template("page.html")
    return template.render(
        summary=summary,
        archive=archive,
        now=now,
        version=version,
        legend=[Name(band.name, sum(band.messages.values())) for band in bands],
        days=_charts(lambda size: charts.by_day(bands, first, last, size), _DAYS_SIZES),
        is_by_week=charts.step_of(first, last) > 1,
        week=_charts(lambda size: charts.by_hour(summary.hours, last, size), _WEEK_SIZES),
        busiest={
            "topics": _without_prefix(summary.topics),
            "users": summary.users,
            "packages": summary.packages,
        },
        prefix=_prefix(summary.topics),
        growth=Growth.of(summary),
        size=sum(each.size for each in summary.sizes),
        silence=SILENCE.days,
        most_silent=_MOST_SILENT,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters.update(day=_day, moment=_moment, number=_number, bytes=format_bytes)
    return environment


def _printable(value: Any) -> Any:
    """A value of the page, with control characters escaped: senders choose many of the texts."""
    return printable(value) if type(value) is str else value


def _bands(days: Sequence[Day]) -> list[Band]:
    """The busiest categories, the busiest first, and then all others as one."""
    totals: Counter[str] = Counter()
    by_category: dict[str, dict[date, int]] = defaultdict(dict)
    for day, category, messages in days:
        totals[category] += messages
        by_category[category][day] = messages
    names = sorted(totals, key=lambda name: (-totals[name], name))
    most = _MOST_BANDS if len(names) > _MOST_BANDS + 1 else len(names)
    bands = [Band(name, by_category[name]) for name in names[:most]]
    others = names[most:]
    if others:
        together: Counter[date] = Counter()
        for name in others:
            together.update(by_category[name])
        bands.append(Band(f"{len(others)} others", together))
    return bands


def _charts(draw: Callable[[Size], str], sizes: tuple[Size, Size]) -> dict[str, Markup]:
    wide, narrow = (Markup(draw(size)) for size in sizes)  # noqa: S704  escaped by ElementTree
    return {"wide": wide, "narrow": narrow}


def _prefix(topics: Sequence[Name]) -> str:
    """What all of the topics begin with: whole parts, and never all of a topic."""
    parts = [each.name.split(".")[:-1] for each in topics]
    common = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        common.append(f"{column[0]}.")
    return "".join(common)


def _without_prefix(topics: Sequence[Name]) -> list[Name]:
    prefix = _prefix(topics)
    return [Name(each.name.removeprefix(prefix), each.messages) for each in topics]


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _number(value: float) -> str:
    return f"{value:,.0f}"
