"""What is wrong with runs of a script that syncs logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from datanommer.models.sync_runs import DateSync, HostSync, Outcome, Run

#: Each run syncs the logs of so many days back: so long, a later one can make good what failed.
WINDOW = timedelta(days=3)
#: How long a run may be silent before it counts as dead. The sync of one date may wait for a host
#: three times for two hours without a word.
OLDER_THAN = timedelta(hours=6)

#: How far the clock of a script may be ahead of ours before a run counts as one of the future.
CLOCK_SKEW = timedelta(minutes=5)


class Severity(IntEnum):
    """How bad it is; the values are the exit codes that monitors know."""

    NOTE = 0
    WARNING = 1
    CRITICAL = 2


class Finding(NamedTuple):
    """Something that is wrong with a run.

    Attributes:
        severity: how bad it is; what a later run made good is a note.
        kind: what it is, a short constant: ``never finished``, ``still running``,
            ``in the future``, ``finish without start``, ``no start``, ``no hosts``,
            ``not finished``, ``failed``, ``retried``, ``skipped``, ``listed twice`` or ``overlap``.
        text: the same for people, with the reason that the script gave.
        synced_host: the host that it is about, if any.
        log_date: the date of that host, if any.
        made_good_by: the id of the run that made it good later.
    """

    severity: Severity
    kind: str
    text: str
    synced_host: str | None = None
    log_date: str | None = None
    made_good_by: str | None = None


class Judge:
    """Looks at runs with an eye on those before and after them.

    Args:
        runs: the runs to judge, with all that overlap one of them or began up to `WINDOW` later.
        now: the time (naive, in UTC).
        older_than: how long a run that did not finish may be silent before it counts as dead, and
            how long it may take before that is worth a warning.
    """

    def __init__(
        self, runs: Iterable[Run], *, now: datetime, older_than: timedelta = OLDER_THAN
    ) -> None:
        self._runs = sorted(runs, key=lambda run: run.first)
        self._now = now
        self._older_than = older_than
        self._done = _done(self._runs)

    def judge(self, run: Run) -> list[Finding]:
        """What is wrong with a run, worst first."""
        found = [
            *self._of_run(run),
            *self._overlaps(run),
            *(finding for host in run.hosts.values() for finding in self._of_host(run, host)),
        ]
        return sorted(found, key=lambda finding: -finding.severity)

    def is_alive(self, run: Run) -> bool:
        """Whether a run goes on, as far as one can know."""
        return run.is_open and self._now - run.last <= self._older_than

    def _of_run(self, run: Run) -> Iterator[Finding]:
        if self.is_alive(run):
            if self._now - run.first > self._older_than:
                text = f"still running after {_clock(self._now - run.first)}"
                yield Finding(Severity.WARNING, "still running", text)
        elif run.is_open:
            finding = Finding(
                Severity.CRITICAL,
                "never finished",
                f"never finished: its last message was sent {_date(run.last)}",
            )
            yield _made_good(finding, self._successor(run))
        if run.first > self._now + CLOCK_SKEW:
            text = f"in the future: its first message was sent {_date(run.first)}"
            yield Finding(Severity.WARNING, "in the future", text)
        if run.finishes > run.starts:
            text = "finished, but did not start"
            yield Finding(Severity.WARNING, "finish without start", text)
        elif not run.starts:
            yield Finding(Severity.WARNING, "no start", "did not say that it started")
        if not run.hosts and not run.is_open:
            yield Finding(Severity.WARNING, "no hosts", "finished, but came to no host")

    def _of_host(self, run: Run, host: HostSync) -> Iterator[Finding]:
        name = host.synced_host
        later = self._later(run, name, None)
        if host.outcome is Outcome.SKIPPED:
            text = f"skipped{_because(host.reason)}"
            yield _made_good(Finding(Severity.WARNING, "skipped", text, name), later)
        if host.is_open and not self.is_alive(run):
            text = "started and did not finish"
            yield _made_good(Finding(Severity.CRITICAL, "not finished", text, name), later)
        if host.finishes > host.starts:
            text = "finished, but did not start"
            yield Finding(Severity.WARNING, "finish without start", text, name)
        if host.times_listed > 1:
            text = f"listed twice: the run came to it {host.times_listed} times"
            yield Finding(Severity.WARNING, "listed twice", text, name)
        for date in host.dates.values():
            found = self._of_date(run, date)
            if found:
                about = found._replace(synced_host=name, log_date=date.log_date)
                yield _made_good(about, self._later(run, name, date.log_date))
            if date.finishes > date.starts:
                text = "finished, but did not start"
                yield Finding(Severity.WARNING, "finish without start", text, name, date.log_date)

    def _of_date(self, run: Run, date: DateSync) -> Finding | None:
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
            text = f"overlaps the run {other.run_id}, which started {_date(other.first)}"
            if shared:
                more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
                text = f"{text}: both came to {shared[0]}{more}"
            # Runs that share the work between them are meant to.
            yield Finding(Severity.WARNING if shared else Severity.NOTE, "overlap", text)

    def _end(self, run: Run) -> datetime:
        return self._now if self.is_alive(run) else run.last

    def _successor(self, run: Run) -> str | None:
        """The later run that did all that a run which never finished had come to."""
        for other in self._runs:
            if (
                _can_make_good(run, other)
                and other.host == run.host
                and not other.is_open
                and other.count_hosts(Outcome.DONE)
                and all(self._later(run, name, None) for name in run.hosts)
            ):
                return other.run_id
        return None

    def _later(self, run: Run, synced_host: str | None, log_date: str | None) -> str | None:
        """The first later run that did a host, or a date of it."""
        for other in self._done.get((run.host, synced_host, log_date), ()):
            if _can_make_good(run, other):
                return other.run_id
        return None


_What = tuple[str | None, str | None, str | None]


def _done(runs: Iterable[Run]) -> dict[_What, list[Run]]:
    """The runs that did a host (without a date), or a date of it, oldest first."""
    done: defaultdict[_What, list[Run]] = defaultdict(list)
    for run in runs:
        for name, host in run.hosts.items():
            if host.outcome is Outcome.DONE and name:
                done[run.host, name, None].append(run)
            for date in host.dates.values():
                if date.outcome is Outcome.DONE and name and date.log_date:
                    done[run.host, name, date.log_date].append(run)
    return done


def _can_make_good(run: Run, other: Run) -> bool:
    """Whether the other one comes later, and soon enough to sync the same dates."""
    return timedelta(0) < other.first - run.first <= WINDOW


def _made_good(finding: Finding, by: str | None) -> Finding:
    if by is None:
        return finding
    text = f"{finding.text} (made good by the run {by})"
    return finding._replace(severity=Severity.NOTE, text=text, made_good_by=by)


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _date(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='seconds')}Z"


def _clock(age: timedelta) -> str:
    return str(timedelta(seconds=int(age.total_seconds())))
