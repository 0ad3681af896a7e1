"""The forms in which `datanommer-runs` shows runs: a table, a tree, JSON; each as lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from datanommer.commands.text import date, printable, seconds

if TYPE_CHECKING:
    from datanommer.models.sync_findings import Finding
    from datanommer.models.sync_history import Judged
    from datanommer.models.sync_runs import DateSync, HostSync, Span

_ROW = "{:<21} {:<21} {:>10}  {:>10} {:>7} {:>6}  {:>13} {:>6}  {}"
_HEAD = _ROW.format(
    *("START", "FINISH", "DURATION"),
    *("HOSTS DONE", "SKIPPED", "FAILED"),
    *("DATES RETRIED", "FAILED"),
    "RUN",
)


def table(found: Iterable[Judged]) -> Iterator[str]:
    """A line for each run, and indented below it, one for each finding."""
    for number, judged in enumerate(found):
        if not number:
            yield _HEAD
        run = judged.run
        counts = _counts(judged)
        yield _ROW.format(
            "-" if run.started is None else date(run.started),
            _end(judged),
            _duration(run),
            *counts["hosts"].values(),
            *counts["dates"].values(),
            printable(run.run_id),
        )
        yield from _findings(judged)


def tree(found: Iterable[Judged]) -> Iterator[str]:
    """A run with its hosts, and below each, its dates; then the findings."""
    for judged in found:
        run = judged.run
        place = f" on {printable(run.host)}" if run.host else ""
        yield f"{printable(run.run_id)}{place}"
        began = "-" if run.started is None else date(run.started)
        yield f"started {began}, finished {_end(judged)}, duration {_duration(run)}"
        for host in run.hosts.values():
            yield _branch(0, host.synced_host, _outcome(host, judged), host, host.reason)
            for day in host.dates.values():
                yield _branch(1, day.log_date, _outcome(day, judged), day, day.reason)
        yield from _findings(judged)


def _branch(depth: int, name: str | None, outcome: str, span: Span, reason: str | None) -> str:
    indent = "|   " * depth + "|-- "
    began = "-" if span.started is None else date(span.started)
    why = f"  ({printable(reason)})" if reason else ""
    width = 40 - len(indent)
    shown = printable(name or "-")
    return f"{indent}{shown:<{width}} {outcome:<8} {began:<21} {_duration(span):>9}{why}"


def as_json(found: Iterable[Judged]) -> Iterator[str]:
    """A list of objects, one a line."""
    waiting = None
    yield "["
    for judged in found:
        if waiting:
            yield f"{waiting},"
        waiting = json.dumps(_object(judged))
    if waiting:
        yield waiting
    yield "]"


def finding_text(finding: Finding) -> str:
    """A finding, with the host and the date that it is about."""
    about = " ".join(filter(None, (finding.synced_host, finding.log_date)))
    return printable(f"{about}: {finding.text}" if about else finding.text)


def _findings(judged: Judged) -> Iterator[str]:
    for finding in judged.findings:
        yield f"    {finding.severity.name.lower():<8}  {finding_text(finding)}"


def _end(judged: Judged) -> str:
    if judged.run.finished is not None:
        return date(judged.run.finished)
    return "running" if judged.is_alive else "never"


def _duration(span: Span) -> str:
    return "-" if span.duration is None else seconds(span.duration)


def _outcome(part: HostSync | DateSync, judged: Judged) -> str:
    """How a host or a date ended; what is open in a run that goes on is running."""
    if part.outcome != "open":
        return str(part.outcome)
    return "running" if judged.is_alive else "unfinished"


def _counts(judged: Judged) -> dict[str, dict[str, int]]:
    run = judged.run
    hosts = [_outcome(host, judged) for host in run.hosts.values()]
    return {
        "hosts": {
            "done": hosts.count("done"),
            "skipped": hosts.count("skipped"),
            "failed": hosts.count("failed") + hosts.count("unfinished"),
        },
        "dates": {
            "retried": sum(day.retries > 0 for day in run.dates),
            "failed": sum(day.outcome == "failed" for day in run.dates),
        },
    }


def _object(judged: Judged) -> dict[str, Any]:
    run = judged.run
    return {
        "run_id": run.run_id,
        "host": run.host,
        **_times(run),
        "state": "finished" if run.finished else "running" if judged.is_alive else "never finished",
        **_counts(judged),
        "findings": [
            {**finding._asdict(), "severity": finding.severity.name.lower()}
            for finding in judged.findings
        ],
        "synced_hosts": [
            {
                "synced_host": host.synced_host,
                **_times(host),
                "outcome": _outcome(host, judged),
                "reason": host.reason,
                "log_dates": [
                    {
                        "log_date": day.log_date,
                        **_times(day),
                        "outcome": _outcome(day, judged),
                        "retries": day.retries,
                        "reason": day.reason,
                    }
                    for day in host.dates.values()
                ],
            }
            for host in run.hosts.values()
        ],
    }


def _times(span: Span) -> dict[str, Any]:
    return {
        "started": None if span.started is None else date(span.started),
        "finished": None if span.finished is None else date(span.finished),
        "duration": None if span.duration is None else span.duration.total_seconds(),
    }
