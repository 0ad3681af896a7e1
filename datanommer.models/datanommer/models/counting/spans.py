"""Hours, days, weeks and months: the spans that messages are counted by, in UTC.

A span is named by its start, a naive datetime in UTC. A week begins on its Monday.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from datanommer.models import times
from datanommer.models.counting.activity import Count
from datanommer.models.filtering.filters import Filters

_LENGTHS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
_MONTHS_OF_A_YEAR = 12


def start_of(span: str, moment: datetime) -> datetime:
    """The start of the span that has a moment.

    Args:
        span: one of `datanommer.models.counting.activity.SPANS`.
        moment: naive, in UTC.
    """
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if span == "hour":
        return hour
    day = hour.replace(hour=0)
    if span == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if span == "month" else day


def without_gaps(
    span: str, counts: Sequence[Count], filters: Filters, now: datetime
) -> list[Count]:
    """The counts, and a 0 for each span that has no message.

    The first span is that of `since`, or else of the first message. The last one is that of
    `before`; with `since` alone that of now, to show whether messages still come; without both
    that of the last message.

    Args:
        span: what the messages are counted by.
        counts: in order of time.
        filters: which messages were counted.
        now: the current time (aware).
    """
    if not counts:
        return []
    by_start = {count.key: count for count in counts}
    start, end = counts[0].key, counts[-1].key
    assert isinstance(start, datetime)
    assert isinstance(end, datetime)
    if filters.since is not None:
        # No message is older than 1970.
        since = max(times.naive_utc(filters.since), times.EPOCH)
        start = min(start, start_of(span, since))
    if filters.since is not None or filters.before is not None:
        end = max(end, start_of(span, times.naive_utc(min(filters.before or now, now))))
    complete = []
    while start < end:
        complete.append(by_start.get(start) or Count(start, 0))
        start = _next_start(span, start)
    return [*complete, by_start.get(end) or Count(end, 0)]


def _next_start(span: str, start: datetime) -> datetime:
    if span in _LENGTHS:
        return start + _LENGTHS[span]
    years, month = divmod(start.month, _MONTHS_OF_A_YEAR)
    return start.replace(year=start.year + years, month=month + 1)
