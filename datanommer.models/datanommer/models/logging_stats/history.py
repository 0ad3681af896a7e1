"""The runs of a script that syncs logs, read from the database, and what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import times
from datanommer.models.errors import NoSuchRun
from datanommer.models.filtering import predicates
from datanommer.models.filtering.filters import Filters
from datanommer.models.logging_stats.findings import OLDER_THAN, SYNCED_DAYS, Finding, Judge
from datanommer.models.logging_stats.runs import Run, reconstruct
from datanommer.models.logging_stats.sync_events import TOPIC, Event
from datanommer.models.tables import sync_events

_e = sync_events.c
# The ids of runs with at least one matching event. Each of these queries has an index of its own.
_ALL = sa.select(_e.run_id).where(_e.run_id.is_not(None)).distinct()
_UNFINISHED = (
    sa.select(_e.run_id)
    .where(_e.kind.in_(("start", "finish")))
    .group_by(_e.run_id)
    .having(
        sa.func.count().filter(_e.kind == "start") > sa.func.count().filter(_e.kind == "finish")
    )
)
_ACTIVE_BETWEEN = """
    SELECT DISTINCT run_id FROM sync_events
    WHERE timestamp BETWEEN :first AND CAST(:last AS timestamptz) + :window
"""
# The ids come as a list, not from a subquery: the planner cannot know how few runs a subquery
# returns, and would read the whole table.
_EVENTS = f"SELECT {', '.join(Event._fields)} FROM sync_events WHERE run_id = ANY(:run_ids)"
#: How many runs are judged at a time, so that any number of runs fits in memory.
_GROUP_SIZE = 100


class Judged(NamedTuple):
    """A run and what is wrong with it.

    Attributes:
        run: the run.
        findings: what is wrong with it, worst first.
        is_alive: whether it still goes on, as far as its messages show.
    """

    run: Run
    findings: list[Finding]
    is_alive: bool


def find(
    engine: sa.Engine,
    filters: Filters,
    *,
    run_id: str | None = None,
    unfinished: bool = False,
    older_than: timedelta = OLDER_THAN,
    now: datetime | None = None,
) -> Iterator[Judged]:
    """The runs, newest first; memory holds about a hundred at a time.

    Args:
        engine: of the database.
        filters: only runs that sent a message between its `since` and `before`; the other filters
            are ignored.
        run_id: only this run.
        unfinished: only runs that started and did not finish (yet).
        older_than: how long an unfinished run may be silent before it counts as dead.
        now: the current time (naive is UTC); by default that of the clock.

    Raises:
        NoSuchRun: there is no run with that `run_id`.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    run_starts = _run_starts(engine, filters, run_id, unfinished=unfinished)
    if run_id is not None and not run_starts:
        raise NoSuchRun(run_id)
    moment = times.naive_utc(times.as_utc(now or datetime.now(UTC)))
    return (
        judged
        for group in _groups(run_starts)
        for judged in _judge(engine, group, moment, older_than)
    )


def count_without_run(engine: sa.Engine, filters: Filters) -> int:
    """How many messages about syncs do not say which run they belong to.

    Args:
        engine: of the database.
        filters: only messages between its `since` and `before`; the other filters are ignored.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = sa.select(sa.func.count()).where(
        _e.run_id.is_(None), *predicates.in_time(filters, _e.timestamp)
    )
    with engine.connect() as connection:
        return connection.scalars(query).one()


def is_filled(engine: sa.Engine) -> bool:
    """Whether `sync_events` goes back to the oldest message; if not, ``datanommer-reindex`` helps.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = """
        SELECT coalesce(
            (SELECT min(timestamp) FROM sync_events) <= min(first_seen), min(first_seen) IS NULL
        )
        FROM topics WHERE topic ~ :topics
    """
    parameters = {"topics": rf"(^|\.){TOPIC.replace('.', '[.]')}."}
    with engine.connect() as connection:
        return bool(connection.scalars(sa.text(query), parameters).one())


#: The id of a run and the time of its first message (naive, in UTC).
_RunStart = tuple[str, datetime]


def _run_starts(
    engine: sa.Engine, filters: Filters, run_id: str | None, *, unfinished: bool
) -> list[_RunStart]:
    """The runs that match, newest first."""
    queries: list[sa.Select[Any]] = []
    if in_time := predicates.in_time(filters, _e.timestamp):
        queries.append(sa.select(_e.run_id).where(*in_time).distinct())
    if run_id is not None:
        queries.append(sa.select(_e.run_id).where(_e.run_id == run_id).limit(1))
    if unfinished:
        queries.append(_UNFINISHED)
    matching = sa.intersect(*queries or [_ALL]).subquery()
    own = sync_events.alias()
    first = (
        sa.select(sa.func.min(own.c.timestamp).label("first"))
        .where(own.c.run_id == matching.c.run_id)
        .lateral("first_event")
    )
    query = (
        sa.select(matching.c.run_id, first.c.first)
        .select_from(matching.join(first, sa.true()))
        .where(matching.c.run_id.is_not(None))
        .order_by(first.c.first.desc(), matching.c.run_id.desc())
    )
    with engine.connect() as connection:
        return [(name, start) for name, start in connection.execute(query)]


def _groups(run_starts: Sequence[_RunStart]) -> Iterator[list[_RunStart]]:
    """Runs to judge together: close to each other in time, and at most `_GROUP_SIZE`."""
    group: list[_RunStart] = []
    for name, first in run_starts:
        if group and (len(group) == _GROUP_SIZE or group[-1][1] - first > SYNCED_DAYS):
            yield group
            group = []
        group.append((name, first))
    if group:
        yield group


def _judge(
    engine: sa.Engine, group: Sequence[_RunStart], now: datetime, older_than: timedelta
) -> Iterator[Judged]:
    first, last = (times.as_utc(group[index][1]) for index in (-1, 0))
    between = {"first": first, "last": last, "window": SYNCED_DAYS}
    with engine.connect() as connection:
        run_ids = list(connection.scalars(sa.text(_ACTIVE_BETWEEN), between))
        rows = connection.execute(sa.text(_EVENTS), {"run_ids": run_ids})
        events = [
            Event(row_id, times.naive_utc(timestamp), *rest) for row_id, timestamp, *rest in rows
        ]
    runs = {run.run_id: run for run in reconstruct(events)}
    judge = Judge(runs.values(), now=now, older_than=older_than)
    for name, _ in group:
        if name in runs:  # else it was deleted meanwhile
            run = runs[name]
            yield Judged(run, judge.judge(run), judge.is_alive(run))
