"""Points and spans of time, as people write them: all of them in UTC."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

import click

from datanommer.models import times

_MIDNIGHT = time()
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
#: How exact a time is that ends like this.
_PRECISIONS = {
    re.compile(r".*[T ]\d\d(Z|[+-].*)?", re.ASCII): timedelta(hours=1),
    re.compile(r".*[T ]\d\d:?\d\d(Z|[+-].*)?", re.ASCII): timedelta(minutes=1),
    re.compile(r".*[T ]\d\d:?\d\d:?\d\d(Z|[+-].*)?", re.ASCII): timedelta(seconds=1),
}
_YEAR_OR_MONTH = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")
_WEEK = re.compile(r"[0-9]{4}-?W[0-9]{2}")
#: At least nine digits: a shorter number may be a date.
_EPOCH = re.compile(r"[0-9]{9,}(\.[0-9]*)?")
_AGO = re.compile(r"(?:-\s*([0-9]+)\s*([a-z]+)|([0-9]+|an?)\s*([a-z]+)\s+ago)")
_UNITS = {
    "seconds": ("s", "sec", "secs", "second", "seconds"),
    "minutes": ("m", "min", "mins", "minute", "minutes"),
    "hours": ("h", "hr", "hrs", "hour", "hours"),
    "days": ("d", "day", "days"),
    "weeks": ("w", "week", "weeks"),
    "months": ("month", "months"),
    "years": ("y", "year", "years"),
}
_UNIT_OF = {name: unit for unit, names in _UNITS.items() for name in names}
_HELP = "a date, -2h, yesterday, 2013-02, 2013-W08 or epoch seconds"


class Span(NamedTuple):
    """What a text about time means: a point, or all of a day, say.

    Attributes:
        start: its first microsecond (naive, in UTC).
        end: its last one.
    """

    start: datetime
    end: datetime

    @classmethod
    def of(cls, start: datetime, length: timedelta) -> Span:
        """The span with this start and length."""
        return cls(start, start + (length - _MICROSECOND))


def parse(text: str, now: datetime) -> Span:
    """The span that a text means. ISO 8601 comes first: ``20131101`` is a date.

    Args:
        text: what somebody wrote.
        now: the current time (naive, in UTC).

    Raises:
        ValueError, OverflowError: it means none.
    """
    for read in (_iso_span, _iso_point, _epoch, _named, _ago):
        span = read(text.strip(), now)
        if span is not None:
            return span
    raise ValueError(text)


def _iso_span(text: str, _now: datetime) -> Span | None:
    """A day, a week, a month or a year."""
    if match := _YEAR_OR_MONTH.fullmatch(text):
        year, month = int(match[1]), int(match[2] or 1)
        start = datetime.combine(date(year, month, 1), _MIDNIGHT)
        days = calendar.monthrange(year, month)[1] if match[2] else 365 + calendar.isleap(year)
        return Span.of(start, days * _DAY)
    try:
        start = datetime.combine(date.fromisoformat(text), _MIDNIGHT)
    except ValueError:
        return None
    return Span.of(start, 7 * _DAY if _WEEK.fullmatch(text) else _DAY)


def _iso_point(text: str, _now: datetime) -> Span | None:
    try:
        moment = times.naive_utc(times.as_utc(datetime.fromisoformat(text)))
    except ValueError:
        return None
    for expression, length in _PRECISIONS.items():
        if expression.fullmatch(text):
            return Span.of(moment, length)
    return Span(moment, moment)


def _epoch(text: str, _now: datetime) -> Span | None:
    if not _EPOCH.fullmatch(text):
        return None
    moment = times.from_epoch(float(text))
    return Span(moment, moment)


def _named(text: str, now: datetime) -> Span | None:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "now": Span(now, now),
        "today": Span.of(today, _DAY),
        "yesterday": Span.of(today - _DAY, _DAY),
    }.get(text.lower())


def _ago(text: str, now: datetime) -> Span | None:
    match = _AGO.fullmatch(text.lower())
    unit = _UNIT_OF.get(match[2] or match[4]) if match else None
    if match is None or unit is None:
        return None
    number = match[1] or match[3]
    count = 1 if number in {"a", "an"} else int(number)
    if unit in {"months", "years"}:
        moment = _months_before(now, count * (12 if unit == "years" else 1))
    else:
        moment = now - timedelta(**{unit: count})
    return Span(moment, moment)


def _months_before(now: datetime, count: int) -> datetime:
    year, month = divmod(now.year * 12 + now.month - 1 - count, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last_day))


class _TimeSpan(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A point or a span of time, as people write it."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        try:
            return parse(value, datetime.now(UTC).replace(tzinfo=None))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a time. Write it like 2013-02-18, 2013-02-18T05:55:18, 2013-02, "
                "2013-W08, -2h, '3 days ago' or yesterday, in UTC, or in seconds (not "
                "milliseconds) since 1970.",
                param,
                ctx,
            )


def time_options(events: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--since`` and ``--before``, as naive datetimes in UTC.

    Args:
        events: what the times belong to, for the help: "messages sent".
    """
    since = since_option(f"Only {events} at this time or later: {_HELP}; in UTC.")
    before = before_option(
        f"Only {events} at this time or earlier. All of a day, a week or a month counts."
    )
    return lambda function: since(before(function))


def since_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--since``, as a naive datetime in UTC.

    Args:
        text: its help.
    """
    return click.option(
        "--since",
        type=_TimeSpan(),
        metavar="TIME",
        callback=lambda ctx, param, span: _require_order(ctx, param, span and span.start),
        help=text,
    )


def before_option(
    text: str, *, required: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--before``, as a naive datetime in UTC.

    Args:
        text: its help.
        required: whether it must be given.
    """
    return click.option(
        "--before",
        type=_TimeSpan(),
        metavar="TIME",
        required=required,
        callback=lambda ctx, param, span: _require_order(ctx, param, span and span.end),
        help=text,
    )


def _require_order(
    ctx: click.Context, param: click.Parameter, value: datetime | None
) -> datetime | None:
    # Called for both options, in the order of the command line: the second call has both values.
    values = {**ctx.params, str(param.name): value}
    since, before = values.get("since"), values.get("before")
    if since and before and since > before:
        raise click.UsageError(
            f"--since {since.isoformat()}Z is after --before {before.isoformat()}Z: swap them."
        )
    return value
