"""The runs of a script that syncs logs: as a table, as a tree, and as fields."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from datanommer.commands.output.formatting import format_counts, format_duration, printable
from datanommer.models import times

if TYPE_CHECKING:
    from datanommer.models.logging_stats.findings import Finding
    from datanommer.models.logging_stats.history import Judged
    from datanommer.models.logging_stats.runs import DateSync, HostSync, Span

#: The fields of a run.
FIELDS = (
    *("run_id", "host", "started", "finished", "duration", "state", "hosts", "dates"),
    *("findings", "synced_hosts"),
)
_ROW = "{:<21} {:<21} {:>10}  {:>10} {:>7} {:>6}  {:>13} {:>6}  {}"
_HEAD = _ROW.format(
    *("START", "FINISH", "DURATION"),
    *("HOSTS DONE", "SKIPPED", "FAILED"),
    *("DATES RETRIED", "FAILED"),
    "RUN",
)
#: The width of a line whose run has the usual id, a UUID.
_WIDTH = len(_HEAD) - len("RUN") + 36


def table(runs: Iterable[Judged]) -> Iterator[str]:
    """A line for each run and, indented below it, one for each finding; first a head.

    On a terminal that is too narrow for that, three lines for each run.
    """
    if sys.stdout.isatty() and shutil.get_terminal_size().columns < _WIDTH:
        yield from _narrow_table(runs)
        return
    for index, judged in enumerate(runs):
        if index == 0:
            yield _HEAD
        run = judged.run
        counts = _count_outcomes(judged)
        yield _ROW.format(
            _start(run),
            _finish(judged),
            _duration(run),
            *counts["hosts"].values(),
            *counts["dates"].values(),
            printable(run.run_id),
        )
        yield from _finding_lines(judged)


def _narrow_table(runs: Iterable[Judged]) -> Iterator[str]:
    for judged in runs:
        run = judged.run
        yield printable(run.run_id)
        yield f"    started {_start(run)}, finished {_finish(judged)}, took {_duration(run)}"
        counts = _count_outcomes(judged)
        yield "    " + "; ".join(
            f"{name} {format_counts(numbers)}" for name, numbers in counts.items()
        )
        yield from _finding_lines(judged)


def tree(runs: Iterable[Judged]) -> Iterator[str]:
    """For each run, its hosts, below each host its dates, and then the findings."""
    for judged in runs:
        run = judged.run
        on_host = f" on {printable(run.host)}" if run.host else ""
        yield f"{printable(run.run_id)}{on_host}"
        yield f"started {_start(run)}, finished {_finish(judged)}, duration {_duration(run)}"
        for host in run.hosts.values():
            yield _tree_line(0, host.synced_host, _outcome(host, judged), host, host.reason)
            for date in host.dates.values():
                yield _tree_line(1, date.log_date, _outcome(date, judged), date, date.reason)
        yield from _finding_lines(judged)


def _tree_line(depth: int, name: str | None, outcome: str, span: Span, reason: str | None) -> str:
    indent = "|   " * depth + "|-- "
    width = 40 - len(indent)
    shown = printable(name or "-")
    because = f"  ({printable(reason)})" if reason else ""
    return f"{indent}{shown:<{width}} {outcome:<8} {_start(span):<21} {_duration(span):>9}{because}"


def cells(judged: Judged, fields: Sequence[str]) -> list[str]:
    """A run for `datanommer.commands.output.forms`.

    Args:
        judged: the run.
        fields: names of `FIELDS`.
    """
    values = _run_object(judged)
    return [json.dumps(values[name]) for name in fields]


def finding_text(finding: Finding) -> str:
    """A finding in words, with the host and the date that it is about."""
    about = " ".join(filter(None, (finding.synced_host, finding.log_date)))
    return printable(f"{about}: {finding.text}" if about else finding.text)


def _finding_lines(judged: Judged) -> Iterator[str]:
    for finding in judged.findings:
        yield f"    {finding.severity.name.lower():<8}  {finding_text(finding)}"


def _start(span: Span) -> str:
    return "-" if span.started is None else times.to_text(span.started)


def _finish(judged: Judged) -> str:
    if judged.run.finished is not None:
        return times.to_text(judged.run.finished)
    return "running" if judged.is_alive else "never"


def _duration(span: Span) -> str:
    return "-" if span.duration is None else format_duration(span.duration)


def _outcome(sync: HostSync | DateSync, judged: Judged) -> str:
    """How the sync of a host or a date ended, or whether it is still running."""
    if sync.outcome != "open":
        return str(sync.outcome)
    return "running" if judged.is_alive else "unfinished"


def _count_outcomes(judged: Judged) -> dict[str, dict[str, int]]:
    run = judged.run
    hosts = [_outcome(host, judged) for host in run.hosts.values()]
    return {
        "hosts": {
            "done": hosts.count("done"),
            "skipped": hosts.count("skipped"),
            "failed": hosts.count("failed") + hosts.count("unfinished"),
        },
        "dates": {
            "retried": sum(date.retries > 0 for date in run.dates),
            "failed": sum(date.outcome == "failed" for date in run.dates),
        },
    }


def _run_object(judged: Judged) -> dict[str, Any]:
    run = judged.run
    return {
        "run_id": run.run_id,
        "host": run.host,
        **_times(run),
        "state": "finished" if run.finished else "running" if judged.is_alive else "never finished",
        **_count_outcomes(judged),
        "findings": [
            {**finding._asdict(), "severity": finding.severity.name.lower()}
            for finding in judged.findings
        ],
        "synced_hosts": [_host_object(host, judged) for host in run.hosts.values()],
    }


def _host_object(host: HostSync, judged: Judged) -> dict[str, Any]:
    return {
        "synced_host": host.synced_host,
        **_times(host),
        "outcome": _outcome(host, judged),
        "reason": host.reason,
        "log_dates": [_date_object(date, judged) for date in host.dates.values()],
    }


def _date_object(date: DateSync, judged: Judged) -> dict[str, Any]:
    return {
        "log_date": date.log_date,
        **_times(date),
        "outcome": _outcome(date, judged),
        "retries": date.retries,
        "reason": date.reason,
    }


def _times(span: Span) -> dict[str, Any]:
    return {
        "started": None if span.started is None else times.to_text(span.started),
        "finished": None if span.finished is None else times.to_text(span.finished),
        "duration": None if span.duration is None else span.duration.total_seconds(),
    }
