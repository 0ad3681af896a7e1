"""Which runs of a script that syncs logs there were, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from datanommer.models import message
from datanommer.models.database import bound_engine
from datanommer.models.errors import NoSuchRun
from datanommer.models.sync_events import TOPIC, Event
from datanommer.models.sync_findings import OLDER_THAN, WINDOW, Finding, Judge
from datanommer.models.sync_runs import Run, reconstruct

# Each of these has an index of its own.
_ALL = "SELECT DISTINCT run_id FROM sync_events WHERE run_id IS NOT NULL"
_SINCE = "SELECT DISTINCT run_id FROM sync_events WHERE timestamp >= :since"
_ONE = "SELECT run_id FROM sync_events WHERE run_id = :run_id LIMIT 1"
_UNFINISHED = """
    SELECT run_id FROM sync_events WHERE kind IN ('start', 'finish') GROUP BY run_id
    HAVING count(*) FILTER (WHERE kind = 'start') > count(*) FILTER (WHERE kind = 'finish')
"""
_NEWEST_FIRST = """
    SELECT run_id, first FROM ({asked}) asked CROSS JOIN LATERAL (
        SELECT min(timestamp) AS first FROM sync_events WHERE run_id = asked.run_id
    ) its_begin
    WHERE run_id IS NOT NULL ORDER BY first DESC, run_id DESC
"""
_REACHING_INTO = """
    SELECT DISTINCT run_id FROM sync_events
    WHERE timestamp BETWEEN :first AND CAST(:last AS timestamptz) + :window
"""
# A list, and not what a query finds: the planner cannot know how few runs those are, and would
# read the whole table.
_EVENTS = f"SELECT {', '.join(Event._fields)} FROM sync_events WHERE run_id = ANY(:run_ids)"
#: The most runs that are judged at a time, so that memory holds any number of them.
_GROUP = 100


class Judged(NamedTuple):
    """A run and what is wrong with it.

    Attributes:
        run: the run.
        findings: what is wrong with it, worst first.
        is_alive: whether it goes on, as far as one can know.
    """

    run: Run
    findings: list[Finding]
    is_alive: bool


def find(
    *,
    since: datetime | None = None,
    run_id: str | None = None,
    unfinished: bool = False,
    older_than: timedelta = OLDER_THAN,
    now: datetime | None = None,
) -> Iterator[Judged]:
    """The runs, newest first; memory holds a hundred or so at a time.

    Args:
        since: only those that sent a message at this time or later (naive is UTC).
        run_id: only this one.
        unfinished: only those that started and did not finish (yet).
        older_than: how long a run that did not finish may be silent before it counts as dead.
        now: the time (naive is UTC), instead of that of the clock.

    Raises:
        NoSuchRun: there is no run with that `run_id`.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    begins = _begins(since, run_id, unfinished=unfinished)
    if run_id is not None and not begins:
        raise NoSuchRun(run_id)
    moment = message.naive_utc(message.as_utc(now or datetime.now(UTC)))
    return (judged for group in _groups(begins) for judged in _judge(group, moment, older_than))


def count_without_run(since: datetime | None = None) -> int:
    """How many messages about syncs do not say which run they are of.

    Args:
        since: only those sent at this time or later (naive is UTC).

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = "SELECT count(*) FROM sync_events WHERE run_id IS NULL"
    if since is not None:
        query = f"{query} AND timestamp >= :since"
    with bound_engine().connect() as connection:
        parameters = {"since": since and message.as_utc(since)}
        return int(connection.scalars(sa.text(query), parameters).one())


def is_filled() -> bool:
    """Whether the oldest messages about syncs are known; `reindexing.reindex` makes it so.

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
    with bound_engine().connect() as connection:
        return bool(connection.scalars(sa.text(query), parameters).one())


_Begin = tuple[str, datetime]


def _begins(since: datetime | None, run_id: str | None, *, unfinished: bool) -> list[_Begin]:
    """The ids of the runs that are asked for, with their first times, newest first."""
    asked = {_SINCE: since is not None, _ONE: run_id is not None, _UNFINISHED: unfinished}
    queries = [f"({sql})" for sql, is_asked in asked.items() if is_asked] or [_ALL]
    query = sa.text(_NEWEST_FIRST.format(asked=" INTERSECT ".join(queries)))
    parameters = {"since": since and message.as_utc(since), "run_id": run_id}
    with bound_engine().connect() as connection:
        return [(name, first) for name, first in connection.execute(query, parameters)]


def _groups(begins: Sequence[_Begin]) -> Iterator[list[_Begin]]:
    """Runs that are judged together: near each other in time, and not too many."""
    group: list[_Begin] = []
    for name, first in begins:
        if group and (len(group) == _GROUP or group[-1][1] - first > WINDOW):
            yield group
            group = []
        group.append((name, first))
    if group:
        yield group


def _judge(group: Sequence[_Begin], now: datetime, older_than: timedelta) -> Iterator[Judged]:
    between = {"first": group[-1][1], "last": group[0][1], "window": WINDOW}
    with bound_engine().connect() as connection:
        run_ids = list(connection.scalars(sa.text(_REACHING_INTO), between))
        found = connection.execute(sa.text(_EVENTS), {"run_ids": run_ids})
        events = [
            Event(number, message.naive_utc(timestamp), *rest) for number, timestamp, *rest in found
        ]
    runs = {run.run_id: run for run in reconstruct(events)}
    judge = Judge(runs.values(), now=now, older_than=older_than)
    for name, _ in group:
        if name in runs:  # else it was deleted meanwhile
            run = runs[name]
            yield Judged(run, judge.judge(run), judge.is_alive(run))
