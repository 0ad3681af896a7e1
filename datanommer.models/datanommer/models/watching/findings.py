"""What is wrong: with the database, the archive, the hub, its spool and its certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from datanommer.models.inspecting.archive import Archive
from datanommer.models.inspecting.server import Standby
from datanommer.models.inspecting.silence import Silent
from datanommer.models.inspecting.unseen import Unseen
from datanommer.models.signing.documents import Ending
from datanommer.models.watching import spool
from datanommer.models.watching.hub import Hub
from datanommer.models.watching.limits import Limits
from datanommer.models.watching.spool import SpoolView
from datanommer.models.watching.status import Status

#: What expires within this time is reported.
SOON = timedelta(days=30)


class Severity(IntEnum):
    """How bad a finding is. The values are the exit codes of Nagios plug-ins."""

    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Finding(NamedTuple):
    """Something that is wrong, or a limit that nobody can judge.

    Attributes:
        severity: how bad it is.
        text: what it is, in words, without a full stop.
    """

    severity: Severity
    text: str


def find(status: Status, limits: Limits, *, wants_hub: bool) -> list[Finding]:
    """All that is wrong, the worst first.

    Args:
        status: what was seen.
        limits: of the monitor.
        wants_hub: whether there has to be a hub on this host.
    """
    findings = [
        *_of_archive(status.archive, limits),
        *_of_hub(status.hub, wants_hub=wants_hub),
        *_of_spool(status.spool, limits),
        *_of_endings(status.endings, status.moment),
    ]
    order = (Severity.CRITICAL, Severity.WARNING, Severity.UNKNOWN)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _of_archive(archive: Archive | Unseen, limits: Limits) -> Iterator[Finding]:
    if isinstance(archive, Unseen):
        severity = Severity.CRITICAL if archive.is_away else Severity.UNKNOWN
        yield Finding(severity, _clause(archive.reason))
        return
    state = archive.schema
    if state.fault:
        yield Finding(Severity.CRITICAL, _clause(state.fault))
    elif state.is_empty:
        yield Finding(Severity.CRITICAL, "the database has no tables: run datanommer-create-db")
    elif state.steps:
        steps = "1 step" if state.steps == 1 else f"{state.steps} steps"
        yield Finding(
            Severity.WARNING,
            f"the database is {steps} behind this version: make a backup, and upgrade it with "
            "alembic",
        )
    if not isinstance(archive.standbys, Unseen):
        yield from _of_standbys(archive.standbys)
    yield from _of_ages(archive, limits)
    if not isinstance(archive.silent, Unseen):
        yield from map(_of_silence, archive.silent)
    yield from _of_rejects(archive, limits)


def _of_standbys(standbys: list[Standby]) -> Iterator[Finding]:
    for each in standbys:
        if each.is_streaming is False:
            lag = "" if each.lag is None else f"; it is {_length(each.lag)} behind"
            yield Finding(Severity.WARNING, f"{each.name}, a standby, gets nothing{lag}")


def _of_silence(silent: Silent) -> Finding:
    return Finding(
        Severity.WARNING,
        f"{silent.category} has been silent for {_length(silent.silence)}; its longest gap in 30 "
        f"days was {_length(silent.longest_gap)}",
    )


def _of_ages(archive: Archive, limits: Limits) -> Iterator[Finding]:
    for category, longest in limits.max_age.items():
        of = f" of {category}" if category else ""
        if isinstance(archive.newest, Unseen):
            yield Finding(Severity.UNKNOWN, f"the age{of}: {_clause(archive.newest.reason)}")
            continue
        age = archive.newest.age_of(category)
        if age is not None and age > longest:
            text = f"the newest message{of} was stored {_length(age)} ago"
            yield Finding(Severity.CRITICAL, text)
        elif age is None and archive.newest.has(category):
            text = f"nobody knows when the newest message{of} was stored"
            yield Finding(Severity.UNKNOWN, text)
        elif age is None:
            yield Finding(Severity.CRITICAL, f"there is no message{of}")


def _of_rejects(archive: Archive, limits: Limits) -> Iterator[Finding]:
    for category, most in limits.max_rejected.items():
        of = f" of {category}" if category else ""
        rejected = archive.rejected
        if isinstance(rejected, Unseen):
            yield Finding(Severity.UNKNOWN, f"the rejects{of}: {_clause(rejected.reason)}")
            continue
        number = rejected[category] if category else rejected.total()
        if number > most:
            yield Finding(Severity.CRITICAL, f"{_messages(number)}{of} rejected today")


def _of_hub(hub: Hub | Unseen, *, wants_hub: bool) -> Iterator[Finding]:
    if isinstance(hub, Unseen):
        yield Finding(Severity.UNKNOWN, f"the hub: {_clause(hub.reason)}")
    elif hub.fault:
        yield Finding(Severity.CRITICAL, f"the hub is dead: {hub.fault}")
    elif not hub.is_alive and wants_hub:
        yield Finding(Severity.CRITICAL, "no hub runs on this host")
    if isinstance(hub, Hub) and hub.state and hub.state.lost:
        yield Finding(
            Severity.CRITICAL, f"{_messages(hub.state.lost)} lost since the start of the hub"
        )


def _of_spool(seen: SpoolView | Unseen, limits: Limits) -> Iterator[Finding]:
    if isinstance(seen, SpoolView) and not seen.has_room:
        yield Finding(
            Severity.WARNING,
            f"the disk of the spool {seen.folder} has too little room: {seen.free} bytes, and "
            f"{seen.min_free} stay free",
        )
    for category, most in limits.max_waiting.items():
        of = f" of {category}" if category else ""
        number = _waiting(seen, category, most)
        if isinstance(number, Unseen):
            yield Finding(Severity.UNKNOWN, f"what waits{of}: {_clause(number.reason)}")
        elif number > most:
            more = "more than " if category else ""  # the count stops there
            shown = most if category else number
            yield Finding(Severity.CRITICAL, f"{more}{_messages(shown)}{of} waiting on disk")


def _waiting(seen: SpoolView | Unseen, category: str | None, most: int) -> int | Unseen:
    if isinstance(seen, Unseen):
        return seen
    if category is not None:
        return spool.count(seen, category, most)
    return seen.waiting if isinstance(seen.waiting, Unseen) else seen.waiting.messages


def _of_endings(endings: list[Ending] | Unseen, now: datetime) -> Iterator[Finding]:
    for each in () if isinstance(endings, Unseen) else endings:
        if each.end is None or each.end > now + SOON:
            continue
        name = f"{each.name} {each.place}"
        if each.end <= now:
            yield Finding(Severity.CRITICAL, f"{name} expired at {each.end:%Y-%m-%d %H:%M}")
        else:
            days = (each.end - now).days
            yield Finding(
                Severity.WARNING, f"{name} expires at {each.end:%Y-%m-%d %H:%M}, in {days} days"
            )


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number:,} messages"


def _length(length: timedelta) -> str:
    return str(timedelta(seconds=int(length.total_seconds())))


def _clause(sentence: str) -> str:
    """A sentence as a part of another one."""
    return sentence.rstrip(".")
