"""What is wrong with the runs of a script that syncs logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from datanommer.models import times
from datanommer.models.logging_stats.runs import DateSync, HostSync, Outcome, Run

#: Each run syncs the logs of this many days back, so for this long a later run can make good what
#: failed.
SYNCED_DAYS = timedelta(days=3)
#: How long an unfinished run may be silent before it counts as dead. The sync of one date may wait
#: for a host three times for two hours without a message.
OLDER_THAN = timedelta(hours=6)

#: How far a script's clock may be ahead of ours before its run counts as one in the future.
CLOCK_SKEW = timedelta(minutes=5)


class Severity(IntEnum):
    """How bad a finding is. The values are the exit codes of Nagios plug-ins."""

    NOTE = 0
    WARNING = 1
    CRITICAL = 2


class Finding(NamedTuple):
    """Something that is wrong with a run.

    Attributes:
        severity: how bad it is; what a later run made good is a note.
        kind: a short constant: ``never finished``, ``still running``,
            ``in the future``, ``finish without start``, ``no start``, ``no hosts``,
            ``not finished``, ``failed``, ``retried``, ``skipped``, ``listed twice`` or ``overlap``.
        text: the finding in words, with the reason that the script reported.
        synced_host: the host that it is about, if any.
        log_date: the date of that host, if any.
        made_good_by: the id of the later run that made it good.
    """

    severity: Severity
    kind: str
    text: str
    synced_host: str | None = None
    log_date: str | None = None
    made_good_by: str | None = None


class Judge:
    """Finds what is wrong with runs, in view of the runs before and after them.

    Args:
        runs: the runs to judge, and all that overlap one of them or began within `SYNCED_DAYS`
            after it.
        now: the time (naive, in UTC).
        older_than: how long an unfinished run may be silent before it counts as dead, and how long
            a run may take before that is worth a warning.
    """

    def __init__(
        self, runs: Iterable[Run], *, now: datetime, older_than: timedelta = OLDER_THAN
    ) -> None:
        self._runs = sorted(runs, key=lambda run: run.first)
        self._now = now
        self._older_than = older_than
        self._successes = _successes(self._runs)

    def judge(self, run: Run) -> list[Finding]:
        """The findings about a run, worst first."""
        findings = [
            *self._run_findings(run),
            *self._overlaps(run),
            *(finding for host in run.hosts.values() for finding in self._host_findings(run, host)),
        ]
        return sorted(findings, key=lambda finding: -finding.severity)

    def is_alive(self, run: Run) -> bool:
        """Whether a run still goes on, as far as its messages show."""
        return run.is_open and self._now - run.last <= self._older_than

    def _run_findings(self, run: Run) -> Iterator[Finding]:
        if self.is_alive(run):
            if self._now - run.first > self._older_than:
                text = f"still running after {_format_age(self._now - run.first)}"
                yield Finding(Severity.WARNING, "still running", text)
        elif run.is_open:
            finding = Finding(
                Severity.CRITICAL,
                "never finished",
                f"never finished: its last message was sent {times.to_text(run.last)}",
            )
            yield _made_good(finding, self._successor(run))
        if run.first > self._now + CLOCK_SKEW:
            text = f"in the future: its first message was sent {times.to_text(run.first)}"
            yield Finding(Severity.WARNING, "in the future", text)
        if run.finishes > run.starts:
            text = "finished, but did not start"
            yield Finding(Severity.WARNING, "finish without start", text)
        elif not run.starts:
            yield Finding(Severity.WARNING, "no start", "did not say that it started")
        if not run.hosts and not run.is_open:
            yield Finding(Severity.WARNING, "no hosts", "finished, but came to no host")

    def _host_findings(self, run: Run, host: HostSync) -> Iterator[Finding]:
        name = host.synced_host
        made_good_by = self._later_success(run, name)
        if host.outcome is Outcome.SKIPPED:
            text = f"skipped{_because(host.reason)}"
            yield _made_good(Finding(Severity.WARNING, "skipped", text, name), made_good_by)
        if host.is_open and not self.is_alive(run):
            text = "started and did not finish"
            yield _made_good(Finding(Severity.CRITICAL, "not finished", text, name), made_good_by)
        if host.finishes > host.starts:
            text = "finished, but did not start"
            yield Finding(Severity.WARNING, "finish without start", text, name)
        if host.times_listed > 1:
            text = f"listed twice: the run came to it {host.times_listed} times"
            yield Finding(Severity.WARNING, "listed twice", text, name)
        for date in host.dates.values():
            yield from self._date_findings(run, name, date)

    def _date_findings(self, run: Run, host: str | None, date: DateSync) -> Iterator[Finding]:
        finding = self._failure(run, date)
        if finding:
            finding = finding._replace(synced_host=host, log_date=date.log_date)
            yield _made_good(finding, self._later_success(run, host, date.log_date))
        if date.finishes > date.starts:
            text = "finished, but did not start"
            yield Finding(Severity.WARNING, "finish without start", text, host, date.log_date)

    def _failure(self, run: Run, date: DateSync) -> Finding | None:
        reason = _because(date.reason)
        if date.outcome is Outcome.FAILED:
            return Finding(Severity.CRITICAL, "failed", f"failed for good{reason}")
        if date.outcome is Outcome.RETRIED:
            times = "once" if date.retries == 1 else f"{date.retries} times"
            text = f"failed {times}{reason}; then finished, but that may be after another failure"
            return Finding(Severity.WARNING, "retried", text)
        if date.outcome is Outcome.OPEN and not self.is_alive(run):
            return Finding(Severity.CRITICAL, "not finished", f"did not finish{reason}")
        return None

    def _overlaps(self, run: Run) -> Iterator[Finding]:
        for other in self._runs:
            if other.first >= self._end(run):
                break
            if other is run or other.host != run.host or run.first >= self._end(other):
                continue
            shared = sorted(name for name in run.hosts.keys() & other.hosts.keys() if name)
            text = f"overlaps the run {other.run_id}, which started {times.to_text(other.first)}"
            if shared:
                more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
                text = f"{text}: both came to {shared[0]}{more}"
            # Runs that divide the hosts between them overlap on purpose.
            yield Finding(Severity.WARNING if shared else Severity.NOTE, "overlap", text)

    def _end(self, run: Run) -> datetime:
        return self._now if self.is_alive(run) else run.last

    def _successor(self, run: Run) -> str | None:
        """The id of the first later run that finished, if later ones synced all of the hosts."""
        for other in self._runs:
            if (
                _can_make_good(run, other)
                and other.host == run.host
                and not other.is_open
                and other.count_hosts(Outcome.DONE)
                and all(self._later_success(run, name) for name in run.hosts)
            ):
                return other.run_id
        return None

    def _later_success(
        self, run: Run, synced_host: str | None, log_date: str | None = None
    ) -> str | None:
        """The id of the first later run that synced a host, or a date of it."""
        for other in self._successes.get((run.host, synced_host, log_date), ()):
            if _can_make_good(run, other):
                return other.run_id
        return None


#: The host that the script runs on, the host that it syncs, and the date; None for the whole host.
_Sync = tuple[str | None, str | None, str | None]


def _successes(runs: Iterable[Run]) -> dict[_Sync, list[Run]]:
    """The runs that synced a host, or a date of it, in the order of `runs`."""
    successes: defaultdict[_Sync, list[Run]] = defaultdict(list)
    for run in runs:
        for name, host in run.hosts.items():
            if host.outcome is Outcome.DONE and name:
                successes[run.host, name, None].append(run)
            for date in host.dates.values():
                if date.outcome is Outcome.DONE and name and date.log_date:
                    successes[run.host, name, date.log_date].append(run)
    return successes


def _can_make_good(run: Run, other: Run) -> bool:
    """Whether the other run comes later, and soon enough to sync the same dates."""
    return timedelta(0) < other.first - run.first <= SYNCED_DAYS


def _made_good(finding: Finding, run_id: str | None) -> Finding:
    """The finding as a note, if a run made it good."""
    if run_id is None:
        return finding
    text = f"{finding.text} (made good by the run {run_id})"
    return finding._replace(severity=Severity.NOTE, text=text, made_good_by=run_id)


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _format_age(age: timedelta) -> str:
    return str(timedelta(seconds=int(age.total_seconds())))
