"""Runs of a script that syncs logs, made of what it said on the bus.

A run syncs hosts, and of each host the logs of some dates. Nothing here judges what it sees; that
is done in `datanommer.models.sync_findings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from datanommer.models.sync_events import Event


class Outcome(StrEnum):
    """How a host or a date of it ended in a run.

    Values:
        DONE: it finished.
        RETRIED: it failed, was to be tried again, and finished. Whether that attempt succeeded is
            not known: some scripts say that they finished even after the last attempt has failed.
        SKIPPED: it was not tried (hosts only).
        FAILED: it failed for good; of a host, one of its dates failed or did not finish.
        OPEN: it did not finish.
    """

    DONE = "done"
    RETRIED = "retried"
    SKIPPED = "skipped"
    FAILED = "failed"
    OPEN = "open"


@dataclass(slots=True)
class Span:
    """Something that starts and finishes, both at times of the messages (naive, in UTC).

    Attributes:
        starts: how often it said that it started.
        finishes: how often it said that it finished.
        started: when it did first.
        last_finish: when it finished last.
    """

    starts: int = 0
    finishes: int = 0
    started: datetime | None = None
    last_finish: datetime | None = None

    def start(self, at: datetime) -> None:
        """Take note of a start; they come in the order of time."""
        self.starts += 1
        self.started = self.started or at

    def finish(self, at: datetime) -> None:
        """Take note of a finish; they come in the order of time."""
        self.finishes += 1
        self.last_finish = at

    @property
    def is_open(self) -> bool:
        """Whether it started more often than it finished."""
        return self.starts > self.finishes

    @property
    def finished(self) -> datetime | None:
        """When it finished; None where it did not."""
        return None if self.is_open else self.last_finish

    @property
    def duration(self) -> timedelta | None:
        """From start to finish; None where one of them is not known."""
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started


@dataclass(slots=True)
class DateSync(Span):
    """The logs of one date of a host, in one run.

    Attributes:
        log_date: the date, as the script wrote it; None where it did not.
        retries: how often it failed and was to be tried again.
        failures: how often it failed for good.
        reason: what went wrong last.
    """

    log_date: str | None = None
    retries: int = 0
    failures: int = 0
    reason: str | None = None
    _attempt: Outcome = Outcome.DONE
    _given_up: int = 0

    def start(self, at: datetime) -> None:
        """Take note of a start: whatever failed before is tried anew."""
        if self.is_open and self._attempt is not Outcome.DONE:
            self._given_up += 1
        Span.start(self, at)
        self._attempt = Outcome.DONE

    @property
    def is_open(self) -> bool:
        """Whether it started more often than it finished, or failed and was tried anew."""
        return self.starts - self._given_up > self.finishes

    def fail(self, reason: str | None, *, for_good: bool) -> None:
        """Take note of a failure."""
        self.reason = reason or self.reason
        if for_good:
            self.failures += 1
            self._attempt = Outcome.FAILED
        else:
            self.retries += 1
            self._attempt = Outcome.RETRIED

    @property
    def outcome(self) -> Outcome:
        """How it ended. That it finished does not undo that it failed for good."""
        if self._attempt is not Outcome.FAILED and (self.is_open or not self.finishes):
            return Outcome.OPEN
        return self._attempt


@dataclass(slots=True)
class HostSync(Span):
    """One host that logs are synced from, in one run.

    Attributes:
        synced_host: its name; None where the script did not say.
        skips: how often it was skipped.
        reason: why it was.
        dates: its dates in the order in which they began.
        starts_after_retry: how many of its starts followed a failure that was to be retried.
    """

    synced_host: str | None = None
    skips: int = 0
    reason: str | None = None
    dates: dict[str | None, DateSync] = field(default_factory=dict)
    starts_after_retry: int = 0

    def start(self, at: datetime) -> None:
        """Take note of a start: after a failure, it may be another try."""
        if any(date.retries for date in self.dates.values()):
            self.starts_after_retry += 1
        Span.start(self, at)

    @property
    def outcome(self) -> Outcome:
        """How it ended, with all of its dates."""
        if self.skips and not self.starts:
            return Outcome.SKIPPED
        if self.is_open:
            return Outcome.OPEN
        if any(date.outcome in {Outcome.FAILED, Outcome.OPEN} for date in self.dates.values()):
            return Outcome.FAILED
        return Outcome.DONE

    @property
    def times_listed(self) -> int:
        """How often the script came to it on its list; another try after a failure is none."""
        return self.starts - self.starts_after_retry + self.skips


@dataclass(slots=True)
class Run(Span):
    """One run of the script.

    Attributes:
        run_id: its id, which the script made.
        first: when its first message was sent.
        last: when its last message was sent.
        host: the host that it ran on; None where it did not say.
        hosts: those that it synced logs from, in the order in which they began.
    """

    run_id: str = field(kw_only=True)
    first: datetime = field(kw_only=True)
    last: datetime = field(kw_only=True)
    host: str | None = None
    hosts: dict[str | None, HostSync] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it did not finish; one whose start is not known must have started, too."""
        return max(self.starts, 1) > self.finishes

    def count_hosts(self, outcome: Outcome) -> int:
        """How many hosts ended like that."""
        return sum(host.outcome is outcome for host in self.hosts.values())

    @property
    def dates(self) -> list[DateSync]:
        """The dates of all hosts."""
        return [date for host in self.hosts.values() for date in host.dates.values()]


def reconstruct(events: Iterable[Event]) -> list[Run]:
    """The runs that events tell of, oldest first.

    Args:
        events: in any order; those without a run_id are left out.
    """
    runs: dict[str, Run] = {}
    for event in sorted(events, key=lambda event: (event.timestamp, event.msg)):
        if event.run_id is None:
            continue
        at = event.timestamp
        run = runs.setdefault(event.run_id, Run(run_id=event.run_id, first=at, last=at))
        _apply(event, run)
    return sorted(runs.values(), key=lambda run: (run.first, run.run_id))


def _apply(event: Event, run: Run) -> None:
    run.last = event.timestamp
    run.host = run.host or event.host
    scope, _, what = event.kind.rpartition(".")
    if not scope:
        _apply_to_span(what, event, run)
    elif scope == "host":
        _apply_to_host(what, event, _host(event, run))
    elif scope == "host.logdate":
        _apply_to_span(what, event, _date(event, run))
    elif scope == "host.logdate.fail" and what in {"retry", "final"}:
        _date(event, run).fail(event.reason, for_good=what == "final")


def _apply_to_span(what: str, event: Event, span: Span) -> None:
    if what == "start":
        span.start(event.timestamp)
    elif what == "finish":
        span.finish(event.timestamp)


def _apply_to_host(what: str, event: Event, host: HostSync) -> None:
    if what == "skip":
        host.skips += 1
        host.reason = event.reason or host.reason
    else:
        _apply_to_span(what, event, host)


def _host(event: Event, run: Run) -> HostSync:
    name = event.synced_host
    return run.hosts.setdefault(name, HostSync(synced_host=name))


def _date(event: Event, run: Run) -> DateSync:
    date = event.log_date
    return _host(event, run).dates.setdefault(date, DateSync(log_date=date))
