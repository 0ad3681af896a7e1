"""``datanommer-runs``: what the runs of a script that syncs logs did, and what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from datanommer.commands import run_forms
from datanommer.commands.monitor import CRITICAL, OK, WARNING, MonitoredCommand, answer
from datanommer.commands.options import Duration, Moment, Text, with_database
from datanommer.commands.text import date, seconds

if TYPE_CHECKING:
    from datanommer.models.sync_findings import Finding
    from datanommer.models.sync_history import Judged

_CHECKED = timedelta(days=3)
_FORMS = {"table": run_forms.table, "json": run_forms.as_json}


@click.command(cls=MonitoredCommand)
@click.option(
    "--since",
    type=Moment(),
    metavar="DATE",
    help="Only runs that sent a message at this time (ISO 8601; UTC unless it says) or later. "
    "With --check: three days ago, unless you say otherwise.",
)
@click.option(
    "--run-id", type=Text(), metavar="ID", help="Only this run, with all its hosts and dates."
)
@click.option("--unfinished", is_flag=True, help="Only runs that started and did not finish.")
@click.option(
    "--older-than",
    type=Duration(),
    default="6h",
    show_default=True,
    metavar="DURATION",
    help="A run that did not finish, and has been silent for longer than this, never will.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMS)),
    default="table",
    metavar="table|json",
    help="A table for people (the default), or JSON: a list with an object for each run.",
)
@click.option(
    "--check",
    is_flag=True,
    help="For a monitor: print one line, and end with 0 (all well), 1 (warnings), 2 (critical) or "
    "3 (this cannot be told).",
)
@click.option(
    "--max-age",
    type=Duration(),
    default="26h",
    show_default=True,
    metavar="DURATION",
    help="With --check: it is critical where the newest run started longer ago than this.",
)
@with_database
@click.pass_context
def main(
    ctx: click.Context,
    since: datetime | None,
    run_id: str | None,
    unfinished: bool,
    older_than: timedelta,
    form: str,
    check: bool,
    max_age: timedelta,
) -> None:
    """Print the runs of a script that syncs logs, newest first, and what is wrong with each.

    They are made of the messages that it sends under logging.stats.sync.
    """
    from datanommer.models import sync_history

    now = datetime.now(UTC).replace(tzinfo=None)
    if check and (unfinished or form != "table"):
        raise click.UsageError("--check goes with neither --unfinished nor --format.")
    if check and since is None and run_id is None:
        since = now - _CHECKED
    found = sync_history.find(
        since=since, run_id=run_id, unfinished=unfinished, older_than=older_than, now=now
    )
    lost = 0 if run_id is not None else sync_history.count_without_run(since)
    if check:
        tally = _Tally.of(found, now)
        window = f" since {date(since)}" if since else ""
        overdue = None if run_id is not None else _overdue(tally, now, max_age, window)
        answer(ctx, *(overdue or _verdict(tally, lost, window)))
    show = run_forms.tree if run_id is not None and form == "table" else _FORMS[form]
    for line in show(found):
        click.echo(line)
    if lost:
        click.echo(f"Of no run, because they have no run_id: {lost} messages.", err=True)
    if run_id is None and not sync_history.is_filled():
        click.echo(
            "Some messages about syncs were stored before this version, and are not looked at. "
            "To see their runs as well, run datanommer-reindex.",
            err=True,
        )


@dataclass(slots=True)
class _Tally:
    """What the verdict is made of, without keeping all runs; none of the future is the newest."""

    runs: int = 0
    severities: Counter[int] = field(default_factory=Counter)
    newest: Judged | None = None
    worst: tuple[Judged, Finding] | None = None

    @classmethod
    def of(cls, found: Iterable[Judged], now: datetime) -> _Tally:
        from datanommer.models.sync_findings import CLOCK_SKEW

        tally = cls()
        for judged in found:
            tally.runs += 1
            if judged.run.first <= now + CLOCK_SKEW:
                tally.newest = tally.newest or judged
            tally.severities.update(int(finding.severity) for finding in judged.findings)
            worst_here = judged.findings[:1]
            if worst_here and (
                tally.worst is None or worst_here[0].severity > tally.worst[1].severity
            ):
                tally.worst = (judged, worst_here[0])
        return tally


_Verdict = tuple[int, str]


def _overdue(tally: _Tally, now: datetime, max_age: timedelta, window: str) -> _Verdict | None:
    """What to say where there is no run, or no new one."""
    if tally.newest is None:
        return CRITICAL, f"there is no run{window}"
    age = now - tally.newest.run.first
    if age > max_age:
        return CRITICAL, f"no run started for {seconds(age)}"
    return None


def _verdict(tally: _Tally, lost: int, window: str) -> _Verdict:
    """The state of the runs for the monitor, and what to say."""
    critical, warnings = tally.severities[CRITICAL], tally.severities[WARNING]
    runs = f"{tally.runs} run{'s' if tally.runs > 1 else ''}{window}"
    if critical or warnings:
        assert tally.worst
        judged, finding = tally.worst
        example = f"run {judged.run.run_id}: {run_forms.finding_text(finding)}"
        state = CRITICAL if critical else WARNING
        return state, f"{critical} critical and {warnings} warnings in {runs}; {example}"
    if lost:
        return WARNING, f"{runs}, and {lost} messages without a run_id"
    assert tally.newest  # else all are in the future, and that is a warning
    newest = tally.newest.run
    took = "is running" if newest.duration is None else f"took {seconds(newest.duration)}"
    return OK, f"{runs}; the newest started {date(newest.first)} and {took}"
