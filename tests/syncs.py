"""A script that syncs logs, as it is heard on the bus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from envelopes import envelope

PREFIX = "org.fedoraproject.prod.logging.stats.sync"


def moment(*parts: int) -> datetime:
    """A naive time in UTC."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc, arg-type]


class Script:
    """One run of the script; each call is a message, sent five seconds after the one before.

    Args:
        run_id: the id of the run.
        begin: when the first message is sent (naive, in UTC).
        host: the host that it runs on.
    """

    def __init__(self, run_id: str, begin: datetime, host: str | None = "log01.example.org"):
        self.now = begin
        self.sent: list[dict[str, Any]] = []
        self._always = {"run_id": run_id, **({"host": host} if host else {})}

    def say(self, kind: str, *about: str, **fields: Any) -> Script:
        """Send a message of a kind about a host, or about a date of it."""
        msg = {**self._always, **dict(zip(("synced_host", "log_date"), about, strict=False))}
        timestamp = int(self.now.replace(tzinfo=UTC).timestamp())
        self.sent.append(envelope(f"{PREFIX}.{kind}", msg={**msg, **fields}, timestamp=timestamp))
        return self.wait(seconds=5)

    def wait(self, **span: int) -> Script:
        """Let time pass."""
        self.now += timedelta(**span)
        return self

    def date(self, host: str, log_date: str) -> Script:
        """Sync a date of a host, without trouble."""
        self.say("host.logdate.start", host, log_date).wait(seconds=20)
        return self.say("host.logdate.finish", host, log_date)

    def host(self, host: str, *log_dates: str) -> Script:
        """Sync dates of a host, without trouble."""
        self.say("host.start", host)
        for log_date in log_dates:
            self.date(host, log_date)
        return self.say("host.finish", host)

    def fail(self, host: str, log_date: str, reason: str, how: str = "retry") -> Script:
        """Say that the sync of a date failed."""
        return self.say(f"host.logdate.fail.{how}", host, log_date, reason=reason)


def three_nights() -> list[dict[str, Any]]:
    """What the documentation shows: a failure made good, a host skipped, a run that dies."""
    one, two = "proxy01.example.org", "proxy02.example.org"
    first = Script("0b1f7e0c-5a0e-4d8e-9f3b-6f2f0c3a9d11", moment(2021, 7, 19, 1, 0, 4))
    first.say("start").host(one, "2021-07-18", "2021-07-17", "2021-07-16")
    first.say("host.start", two).say("host.logdate.start", two, "2021-07-18")
    first.fail(two, "2021-07-18", "Error code: 12").fail(two, "2021-07-18", "timed out", "final")
    first.date(two, "2021-07-17").date(two, "2021-07-16").say("host.finish", two).say("finish")
    second = Script("6f4dfec9-80d7-49e6-80e0-f2357b63422c", moment(2021, 7, 20, 1, 0, 3))
    second.say("start").host(one, "2021-07-19", "2021-07-18", "2021-07-17")
    second.host(two, "2021-07-19", "2021-07-18", "2021-07-17")
    second.say("host.skip", "proxy03.example.org", reason="Synced host unknown").say("finish")
    third = Script("c9a1d2de-3c44-4d0b-8a53-5b8f6f1d7a20", moment(2021, 7, 21, 1, 0, 4))
    third.say("start").host(one, "2021-07-20", "2021-07-19", "2021-07-18")
    third.say("host.start", two).say("host.logdate.start", two, "2021-07-20")
    return first.sent + second.sent + third.sent
