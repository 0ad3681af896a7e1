"""``datanommer-runs``: shows the runs of a script that syncs logs, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from datanommer.commands.nagios import CRITICAL, OK, WARNING, MonitoredCommand, answer
from datanommer.commands.options.database import with_database_to_read
from datanommer.commands.options.output import fields_option, format_option
from datanommer.commands.options.times import since_option
from datanommer.commands.options.values import Duration, Text
from datanommer.commands.output import forms, run_formats
from datanommer.commands.output.formatting import format_duration
from datanommer.models import times

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.logging_stats.findings import Finding
    from datanommer.models.logging_stats.history import Judged

#: How far back --check looks, unless --since says otherwise.
_CHECKED_TIME = timedelta(days=3)


@click.command(
    cls=MonitoredCommand,
    examples=[
        "datanommer-runs --since -3d",
        "datanommer-runs --run-id 42",
    ],
)
@since_option(
    "Only runs that sent a message at this time or later. With --check, the default is three days "
    "ago."
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
    help="An unfinished run that has been silent for longer than this counts as dead.",
)
@format_option("table", "json", "ndjson", "csv", "tsv", default="table")
@fields_option(run_formats.FIELDS)
@click.option(
    "--check",
    is_flag=True,
    help="For a monitor: print one line, and end with 0 (all well), 1 (warnings), 2 (critical) or "
    "3 (unknown).",
)
@click.option(
    "--max-age",
    type=Duration(),
    default="26h",
    show_default=True,
    metavar="DURATION",
    help="With --check: it is critical if the newest run started longer ago than this.",
)
@with_database_to_read
@click.pass_context
def main(
    ctx: click.Context,
    engine: sa.Engine,
    since: datetime | None,
    run_id: str | None,
    unfinished: bool,
    older_than: timedelta,
    form: str,
    fields: Sequence[str] | None,
    check: bool,
    max_age: timedelta,
) -> None:
    """Print the runs of a script that syncs logs, newest first, and what is wrong with each.

    The runs are reconstructed from the messages that the script sends under logging.stats.sync.
    """
    from datanommer.models.filtering.filters import Filters
    from datanommer.models.logging_stats import history

    now = datetime.now(UTC).replace(tzinfo=None)
    if check and (unfinished or form != "table" or fields):
        raise click.UsageError("--check cannot be used with --unfinished, --format or --fields.")
    if check and since is None and run_id is None:
        since = now - _CHECKED_TIME
    filters = Filters.of_options(since)
    runs = history.find(
        engine, filters, run_id=run_id, unfinished=unfinished, older_than=older_than, now=now
    )
    without_run = 0 if run_id is not None else history.count_without_run(engine, filters)
    if check:
        summary = _Summary.of(runs, now)
        window = f" since {times.to_text(since)}" if since else ""
        overdue = None if run_id is not None else _overdue(summary, now, max_age, window)
        answer(ctx, *(overdue or _state(summary, without_run, window)))
    if form == "table" and not fields:
        make_lines = run_formats.tree if run_id is not None else run_formats.table
        forms.write_lines(make_lines(runs))
    else:
        columns = fields or run_formats.FIELDS
        forms.write(form, columns, (run_formats.cells(judged, columns) for judged in runs))
    if without_run:
        click.echo(f"Not shown: {without_run} messages without a run_id.", err=True)
    if run_id is None and not history.is_filled(engine):
        click.echo(
            "Not shown: the runs of messages about syncs that were stored before this version. "
            "To see them as well, run datanommer-reindex.",
            err=True,
        )


@dataclass(slots=True)
class _Summary:
    """What a monitor's answer needs to know about the runs; memory need not hold them all.

    Attributes:
        runs: how many there are.
        severities: how many findings have each severity.
        newest: the newest run that is not in the future.
        worst: the run with the worst finding, and that finding.
    """

    runs: int = 0
    severities: Counter[int] = field(default_factory=Counter)
    newest: Judged | None = None
    worst: tuple[Judged, Finding] | None = None

    @classmethod
    def of(cls, runs: Iterable[Judged], now: datetime) -> _Summary:
        from datanommer.models.logging_stats.findings import CLOCK_SKEW

        summary = cls()
        for judged in runs:
            summary.runs += 1
            if judged.run.first <= now + CLOCK_SKEW:
                summary.newest = summary.newest or judged
            summary.severities.update(int(finding.severity) for finding in judged.findings)
            for finding in judged.findings[:1]:
                if summary.worst is None or finding.severity > summary.worst[1].severity:
                    summary.worst = (judged, finding)
        return summary


#: A state of `datanommer.commands.nagios`, and the text for it.
_Answer = tuple[int, str]


def _overdue(summary: _Summary, now: datetime, max_age: timedelta, window: str) -> _Answer | None:
    """The answer if there is no run, or no recent one; else None."""
    if summary.newest is None:
        return CRITICAL, f"there is no run{window}"
    age = now - summary.newest.run.first
    if age > max_age:
        return CRITICAL, f"no run started for {format_duration(age)}"
    return None


def _state(summary: _Summary, without_run: int, window: str) -> _Answer:
    """The answer about the runs that there are."""
    critical, warnings = summary.severities[CRITICAL], summary.severities[WARNING]
    runs = f"{summary.runs} run{'s' if summary.runs > 1 else ''}{window}"
    if critical or warnings:
        assert summary.worst
        judged, finding = summary.worst
        example = f"run {judged.run.run_id}: {run_formats.finding_text(finding)}"
        state = CRITICAL if critical else WARNING
        return state, f"{critical} critical and {warnings} warnings in {runs}; {example}"
    if without_run:
        return WARNING, f"{runs}, and {without_run} messages without a run_id"
    assert summary.newest  # else all are in the future, and that is a warning
    newest = summary.newest.run
    took = "is running" if newest.duration is None else f"took {format_duration(newest.duration)}"
    return OK, f"{runs}; the newest started {times.to_text(newest.first)} and {took}"
