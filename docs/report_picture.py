"""Draw report.png, the picture of a report in these docs: python docs/report_picture.py

The archive in it is made up. Needs the extra datanommer.commands[report], and Debian's packages
chromium and pngquant.
"""

from __future__ import annotations

import contextlib
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path

from datanommer.commands import __version__
from datanommer.commands.reporting.page import page
from datanommer.models.counting.summary import (
    Day,
    Hour,
    Name,
    Reason,
    Silent,
    Size,
    Summary,
    Totals,
)

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from chromium import Chromium  # noqa: E402  one of the tests' real parts

_NOW = datetime(2026, 11, 29, 16, 2, 44)  # noqa: DTZ001  naive UTC
_FIRST = date(2025, 11, 30)
_SATURDAY, _WEEKEND = 5, 0.45
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_MASS_REBUILD = range(date(2026, 7, 20).toordinal(), date(2026, 7, 25).toordinal())
_HOLIDAYS = range(date(2025, 12, 23).toordinal(), date(2026, 1, 2).toordinal())
#: The last day of those that fall silent.
_SILENT = {"askbot": date(2026, 11, 4), "trac": date(2026, 6, 16)}
#: How many messages each category has on a day of work.
_CATEGORIES = {
    "buildsys": 9000,
    "git": 3200,
    "bodhi": 2600,
    "copr": 2400,
    "pagure": 1500,
    "koschei": 1300,
    "github": 900,
    "openqa": 700,
    "anitya": 420,
    "mailman": 300,
    "hotness": 210,
    "fedbadges": 180,
    "wiki": 120,
    "planet": 60,
    "meetbot": 30,
    "askbot": 40,
    "trac": 9,
}
# In thousandths of all messages.
_TOPICS = {
    "buildsys.build.state.change": 220,
    "git.receive": 120,
    "buildsys.tag": 110,
    "bodhi.update.comment": 70,
    "copr.build.start": 50,
    "copr.build.end": 49,
    "koschei.package.state.change": 40,
    "pagure.pull-request.comment.added": 32,
    "openqa.job.done": 20,
    "anitya.project.version.update": 15,
}
_USERS = {
    "releng": 100,
    "koschei": 60,
    "bodhi": 50,
    "ralph": 21,
    "toshio": 17,
    "pbrobinson": 16,
    "kevin": 12,
    "adamwill": 9,
    "lmacken": 8,
    "pingou": 6,
}
_PACKAGES = {
    "kernel": 20,
    "rust-bindgen": 13,
    "python3.14": 11,
    "firefox": 9,
    "glibc": 8,
    "texlive": 7.5,
    "fedmsg": 6,
    "mesa": 5,
    "qt6-qtwebengine": 4,
    "systemd": 3.9,
}
# In bytes a message.
_SIZES = {
    "messages": 1900,
    "package_messages": 150,
    "user_messages": 140,
    "sync_events": 5,
    "topic_days": 3,
    "packages": 0.3,
    "users": 0.2,
    "rejected": 0.1,
    "topics": 0.05,
}
_REASONS = [
    Reason("invalid", "timestamp is no number of seconds", 12, 4711, _NOW - 18 * _HOUR),
    Reason("conflict", "its id belongs to another message", 31, 31, _NOW - 9 * _DAY),
    Reason("too large", "the message has 271,114,002 bytes", 2, 9, _NOW - 88 * _DAY),
]


def main() -> None:
    """Draw the picture."""
    text = page(
        _summary(random.Random(0)),  # noqa: S311  no secret
        archive="postgresql://datanommer@db.example.com/datanommer",
        now=_NOW,
        version=__version__,
    )
    with tempfile.NamedTemporaryFile("w", suffix=".html") as file:
        file.write(text)
        file.flush()
        with contextlib.closing(Chromium()) as browser:
            browser.open(Path(file.name).as_uri())
            picture = browser.picture()
    # In 128 colours, nobody sees a difference, and it is a third of the size.
    command = ["pngquant", "--speed", "1", "128", "-"]
    small = subprocess.run(command, input=picture, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603
    (DOCS / "report.png").write_bytes(small)


def _summary(choice: random.Random) -> Summary:
    days = list(_days(choice))
    messages = sum(day.messages for day in days)
    of_all = 2 * messages
    first_seen = datetime.combine(date(2024, 2, 18), time(5, 55))
    return Summary(
        first_day=_FIRST,
        last_day=_NOW.date(),
        totals=Totals(of_all, 214, len(_CATEGORIES), first_seen, _NOW),
        days=days,
        hours=list(_hours(choice)),
        topics=_names({f"org.fedoraproject.prod.{key}": n for key, n in _TOPICS.items()}, messages),
        users=_names(_USERS, messages),
        packages=_names(_PACKAGES, messages),
        silent=[
            Silent(
                name,
                sum(day.messages for day in days if day.category == name),
                datetime.combine(last, time(9, 12)),
            )
            for name, last in _SILENT.items()
        ],
        reasons=_REASONS,
        rejects=45,
        sizes=[Size(name, int(each * of_all)) for name, each in _SIZES.items()],
    )


def _days(choice: random.Random) -> Iterator[Day]:
    for number in range((_NOW.date() - _FIRST).days + 1):
        day = _FIRST + number * _DAY
        for category, usual in _CATEGORIES.items():
            busy = _WEEKEND if day.weekday() >= _SATURDAY else 1.0
            if day.toordinal() in _HOLIDAYS:
                busy *= 0.4
            if day.toordinal() in _MASS_REBUILD and category in {"buildsys", "git"}:
                busy *= 2.4
            if category == "copr":  # it grows
                busy *= 1 + number / 365
            sent = int(usual * busy * choice.lognormvariate(0, 0.12))
            if sent and day <= _SILENT.get(category, day):
                yield Day(day, category, sent)


def _hours(choice: random.Random) -> Iterator[Hour]:
    start = datetime.combine(_NOW.date() - 6 * _DAY, time())
    while start <= _NOW:
        busy = _WEEKEND if start.weekday() >= _SATURDAY else 1.0
        by_day = 300 + 1300 * math.exp(-(((start.hour - 14.5) / 4.5) ** 2))
        yield Hour(start, int(busy * by_day * choice.lognormvariate(0, 0.15)))
        start += _HOUR


def _names(shares: Mapping[str, float], messages: int) -> list[Name]:
    return [Name(name, int(share * messages / 1000)) for name, share in shares.items()]


if __name__ == "__main__":
    main()
