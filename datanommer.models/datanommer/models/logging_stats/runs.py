"""The runs of a script that syncs logs, reconstructed from the events that it reported.

A run syncs hosts, and for each host the logs of some dates. This module judges nothing;
`datanommer.models.logging_stats.findings` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from datanommer.models.logging_stats.sync_events import Event


class Outcome(StrEnum):
    """How the sync of a host, or of one date of a host, ended in a run.

    Values:
        DONE: it finished.
        RETRIED: it failed, was to be tried again, and finished. Whether that attempt succeeded is
            unknown: some scripts report a finish even after the last attempt has failed.
        SKIPPED: it was not tried (hosts only).
        FAILED: it failed for good; for a host, one of its dates failed or did not finish.
        OPEN: it did not finish.
    """

    DONE = "done"
    RETRIED = "retried"
    SKIPPED = "skipped"
    FAILED = "failed"
    OPEN = "open"


@dataclass(slots=True)
class Span:
    """A piece of work that starts and finishes. Its times are those of the messages, naive in UTC.

    Attributes:
        starts: how many starts were reported.
        finishes: how many finishes were reported.
        started: the time of the first start.
        last_finish: the time of the last finish.
    """

    starts: int = 0
    finishes: int = 0
    started: datetime | None = None
    last_finish: datetime | None = None

    def start(self, timestamp: datetime) -> None:
        """Record a start. Call this in the order of time."""
        self.starts += 1
        self.started = self.started or timestamp

    def finish(self, timestamp: datetime) -> None:
        """Record a finish. Call this in the order of time."""
        self.finishes += 1
        self.last_finish = timestamp

    @property
    def is_open(self) -> bool:
        """Whether it started more often than it finished."""
        return self.starts > self.finishes

    @property
    def finished(self) -> datetime | None:
        """When it finished; None if it did not."""
        return None if self.is_open else self.last_finish

    @property
    def duration(self) -> timedelta | None:
        """The time from start to finish; None if one of them is unknown."""
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started


@dataclass(slots=True)
class DateSync(Span):
    """The sync of the logs of one date from one host, in one run.

    Attributes:
        log_date: the date, as the script wrote it; None if it did not.
        retries: how many failures were to be tried again.
        reason: why it failed last.
    """

    log_date: str | None = None
    retries: int = 0
    reason: str | None = None
    _last_attempt: Outcome = Outcome.DONE
    _abandoned_starts: int = 0

    def start(self, timestamp: datetime) -> None:
        """Record a start. After a failure it is another attempt; the failed one is abandoned."""
        if self.is_open and self._last_attempt is not Outcome.DONE:
            self._abandoned_starts += 1
        Span.start(self, timestamp)
        self._last_attempt = Outcome.DONE

    @property
    def is_open(self) -> bool:
        """Whether it started more often than it finished, abandoned attempts left out."""
        return self.starts - self._abandoned_starts > self.finishes

    def fail(self, reason: str | None, *, for_good: bool) -> None:
        """Record a failure."""
        self.reason = reason or self.reason
        if for_good:
            self._last_attempt = Outcome.FAILED
        else:
            self.retries += 1
            self._last_attempt = Outcome.RETRIED

    @property
    def outcome(self) -> Outcome:
        """How it ended. A finish does not undo a failure for good."""
        if self._last_attempt is not Outcome.FAILED and (self.is_open or not self.finishes):
            return Outcome.OPEN
        return self._last_attempt


@dataclass(slots=True)
class HostSync(Span):
    """The sync of the logs of one host, in one run.

    Attributes:
        synced_host: the name of the host; None if the script did not report it.
        skips: how many times it was skipped.
        reason: why it was skipped.
        dates: the syncs of its dates by date, in the order in which they began.
        starts_after_retry: how many of its starts followed a failure that was to be tried again.
    """

    synced_host: str | None = None
    skips: int = 0
    reason: str | None = None
    dates: dict[str | None, DateSync] = field(default_factory=dict)
    starts_after_retry: int = 0

    def start(self, timestamp: datetime) -> None:
        """Record a start. After a failure it may be another attempt."""
        if any(date.retries for date in self.dates.values()):
            self.starts_after_retry += 1
        Span.start(self, timestamp)

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
        """How often the script came to the host, not counting attempts after a failure."""
        return self.starts - self.starts_after_retry + self.skips


@dataclass(slots=True)
class Run(Span):
    """One run of the script.

    Attributes:
        run_id: the id of the run, which the script made.
        first: when its first message was sent.
        last: when its last message was sent.
        host: the host that the script ran on; None if it did not report that.
        hosts: the syncs of hosts by host, in the order in which they began.
    """

    run_id: str = field(kw_only=True)
    first: datetime = field(kw_only=True)
    last: datetime = field(kw_only=True)
    host: str | None = None
    hosts: dict[str | None, HostSync] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it did not finish. A run whose start is unknown must have started, too."""
        return max(self.starts, 1) > self.finishes

    def count_hosts(self, outcome: Outcome) -> int:
        """How many hosts had this outcome."""
        return sum(host.outcome is outcome for host in self.hosts.values())

    @property
    def dates(self) -> list[DateSync]:
        """The syncs of the dates of all hosts."""
        return [date for host in self.hosts.values() for date in host.dates.values()]


def reconstruct(events: Iterable[Event]) -> list[Run]:
    """The runs that the events belong to, oldest first.

    Args:
        events: in any order; those without a run_id are ignored.
    """
    runs: dict[str, Run] = {}
    for event in sorted(events, key=lambda event: (event.timestamp, event.msg)):
        if event.run_id is None:
            continue
        timestamp = event.timestamp
        new = Run(run_id=event.run_id, first=timestamp, last=timestamp)
        _apply(event, runs.setdefault(event.run_id, new))
    return sorted(runs.values(), key=lambda run: (run.first, run.run_id))


def _apply(event: Event, run: Run) -> None:
    run.last = event.timestamp
    run.host = run.host or event.host
    scope, _, action = event.kind.rpartition(".")
    if not scope:
        _apply_to_span(action, event, run)
    elif scope == "host":
        _apply_to_host(action, event, _host_sync(event, run))
    elif scope == "host.logdate":
        _apply_to_span(action, event, _date_sync(event, run))
    elif scope == "host.logdate.fail" and action in {"retry", "final"}:
        _date_sync(event, run).fail(event.reason, for_good=action == "final")


def _apply_to_span(action: str, event: Event, span: Span) -> None:
    if action == "start":
        span.start(event.timestamp)
    elif action == "finish":
        span.finish(event.timestamp)


def _apply_to_host(action: str, event: Event, host: HostSync) -> None:
    if action == "skip":
        host.skips += 1
        host.reason = event.reason or host.reason
    else:
        _apply_to_span(action, event, host)


def _host_sync(event: Event, run: Run) -> HostSync:
    host = event.synced_host
    return run.hosts.setdefault(host, HostSync(synced_host=host))


def _date_sync(event: Event, run: Run) -> DateSync:
    date = event.log_date
    return _host_sync(event, run).dates.setdefault(date, DateSync(log_date=date))
