"""``datanommer-report`` writes a page with the numbers of the archive, which needs nothing else."""

from __future__ import annotations

import os
import re
import stat
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pytest
import sqlalchemy as sa

from classic import execute
from datanommer.models import add_all
from datanommer.models.database.binding import bound_engine
from datanommer.models.preparing.preparation import prepare
from datanommer.models.storing.batch import Batch, store
from envelopes import envelope
from roles import Roles, may_be_made
from services import leave_out
from shell import Run

_DAY = 86_400
_XHTML = "{http://www.w3.org/1999/xhtml}"
_SVG = "{http://www.w3.org/2000/svg}"
#: What a sender may put into a topic, to be run by whoever looks at it.
EVIL = "<script>alert(1)</script>&amp;\x1b[2J"
SHOWN = "<script>alert(1)</script>&amp;\\x1b[2J"


class Page:
    """A report, as a parser of XML reads it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = ET.fromstring(text)

    @property
    def facts(self) -> dict[str, str]:
        """What stands at its head."""
        words = [_words(each) for tag in ("dt", "dd") for each in self._all(tag)]
        half = len(words) // 2
        return dict(zip(words[:half], words[half:], strict=True))

    @property
    def legend(self) -> list[str]:
        return [_words(each) for each in self._all("li")]

    def rows(self, title: str) -> list[list[str]]:
        """The rows of a table, by the heading above it."""
        section = self.section(title)
        rows = [[_words(cell) for cell in row] for row in section.iter(f"{_XHTML}tr")]
        return [row for row in rows if row[0] not in {"Category", "Kind"}]

    def section(self, title: str) -> ET.Element:
        (found,) = (each for each in self._all("section") if _words(each[0]) == title)
        return found

    def charts(self, title: str) -> list[ET.Element]:
        return list(self.section(title).iter(f"{_SVG}svg"))

    def _all(self, tag: str) -> Iterator[ET.Element]:
        return self.root.iter(f"{_XHTML}{tag}")


def _words(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


class Sent(NamedTuple):
    """A message, and whom it concerns."""

    topic: str
    days_ago: float
    users: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


def send(*messages: Sent) -> None:
    for topic, days_ago, users, packages in messages:
        item: Any = prepare(envelope(topic, timestamp=time.time() - days_ago * _DAY))
        item.users, item.packages = users, packages
        store(bound_engine(), Batch.of([item]))


@pytest.fixture
def report(bound: str, run: Run) -> Any:
    """Make a report of the archive, with some options."""

    def report(*options: str, url: str = bound) -> Page:
        made = run("datanommer-report", "--url", url, *options, "-")
        assert (made.returncode, made.stderr) == (0, "")
        return Page(made.stdout)

    return report


def test_the_numbers_are_those_of_the_archive(bound: str, report: Any) -> None:
    send(
        Sent("org.example.dev.bodhi.update.comment", 20, ("ralph",), ("fedmsg", "xmonad")),
        Sent("org.example.dev.bodhi.update.comment", 12, ("ralph", "toshio"), ("fedmsg",)),
        Sent("org.example.dev.wiki.article.edit", 1, ("toshio",)),
        Sent("org.example.dev.wiki.article.edit", 0, ("toshio",)),
        Sent("org.example.dev.wiki.article.edit", 0),
    )
    refused = envelope(i=2**63)
    add_all([refused, refused])
    page = report()
    assert page.facts["Messages in all"] == "5"
    assert page.facts["Topics"] == "2"
    assert page.facts["Categories"] == "2"
    assert page.facts["Rejects"] == "1"
    assert page.legend == ["wiki 3", "bodhi 2"]
    assert page.rows("Busiest topics") == [
        ["wiki.article.edit", "3"],
        ["bodhi.update.comment", "2"],
    ]
    assert "All begin with org.example.dev." in _words(page.section("Busiest topics"))
    assert page.rows("Busiest users") == [["toshio", "3"], ["ralph", "2"]]
    assert page.rows("Busiest packages") == [["fedmsg", "2"], ["xmonad", "1"]]
    [[category, last_seen, messages]] = page.rows("Fallen silent")
    assert (category, messages) == ("bodhi", "2")
    seen = (
        "SELECT to_char(max(last_seen), 'YYYY-MM-DD HH24:MI') FROM topics WHERE category = 'bodhi'"
    )
    assert execute(bound, seen) == [(last_seen,)]
    [[kind, reason, _, times]] = page.rows("Rejects")
    assert [(kind, reason)] == execute(bound, "SELECT kind, reason FROM rejected")
    assert times == "2"
    tables = {row[0] for row in page.rows("Size and growth")}
    assert {"messages", "user_messages", "topic_days", "rejected"} <= tables


def test_a_page_without_messages_says_so(report: Any) -> None:
    page = report()
    assert "The archive is empty: no message has been stored." in page.text
    assert page.facts["Messages in all"] == "0"
    assert "Newest message" not in page.facts
    assert "all that came is stored" in _words(page.section("Rejects"))
    assert not list(page.root.iter(f"{_SVG}svg"))


def test_a_page_of_days_without_messages_says_when_the_newest_was_sent(report: Any) -> None:
    add_all([envelope(timestamp=1361166918)])
    page = report()
    assert "The newest one of the archive was sent 2013-02-18 05:55 UTC" in page.text
    assert page.facts["Messages in all"] == "1"
    assert report("--since", "2013-02").legend == ["demo 1"]


def test_all_categories_beside_the_busiest_are_one(report: Any) -> None:
    topics = [f"org.example.dev.category{number}.a" for number in range(9)]
    send(*(Sent(topic, 1) for topic in topics[:8]))
    assert [words.split()[0] for words in report().legend] == [
        f"category{number}" for number in range(8)
    ]
    send(*(Sent(topic, 1) for topic in topics))
    assert report().legend == [*(f"category{number} 2" for number in range(7)), "2 others 3"]


@pytest.mark.parametrize(
    ("days", "kind", "heading"),
    [
        (0, "stackedbar-graph", "Messages by day and category"),
        (90, "stackedbar-graph", "Messages by day and category"),
        (300, "stackedline-graph", "Messages by day and category"),
        (3000, "stackedline-graph", "Messages by week and category"),
    ],
)
def test_few_days_are_bars_many_are_areas_and_years_are_weeks(
    report: Any, days: int, kind: str, heading: str
) -> None:
    send(Sent("org.example.dev.wiki.a", days), Sent("org.example.dev.wiki.a", 0))
    wide, narrow = report("--since", "2000").charts(heading)
    assert kind in ET.tostring(wide, encoding="unicode")
    for chart in (wide, narrow):
        labels = [each.text for each in chart.iter(f"{_SVG}text")]
        assert "0" in labels
        assert len(labels) < 40


def test_bars_and_dots_say_their_numbers(report: Any) -> None:
    send(*[Sent("org.example.dev.wiki.a", 0)] * 3)
    page = report()
    for heading in ("Messages by day and category", "The last seven days by hour"):
        for chart in page.charts(heading):
            titles = [each.text or "" for each in chart.iter(f"{_SVG}title")]
            assert any(title.endswith(": 3") for title in titles)
            assert chart.get("role") == "img"
            assert chart.get("aria-label")


def test_what_senders_chose_is_text_and_nothing_else(bound: str, report: Any) -> None:
    topic = f"org.example.dev.{EVIL}.{EVIL}"
    send(Sent(topic, 20, (EVIL,), (EVIL,)), Sent("org.example.dev.wiki.a", 0))
    execute(
        bound,
        "INSERT INTO rejected (kind, reason, raw, sha256) VALUES ('invalid', %s, 'x', 'x')",
        [EVIL],
    )
    page = report()
    assert f"{SHOWN} 1" in page.legend
    assert page.rows("Busiest users") == page.rows("Busiest packages") == [[SHOWN, "1"]]
    assert [f"{SHOWN}.{SHOWN}", "1"] in page.rows("Busiest topics")
    assert page.rows("Fallen silent")[0][0] == SHOWN
    assert page.rows("Rejects")[0][1] == SHOWN
    assert "\x1b" not in page.text


def test_the_page_needs_nothing_else(report: Any) -> None:
    send(Sent("org.example.dev.wiki.a", 300, ("ralph",)), Sent("org.example.dev.wiki.a", 0))
    page = report()
    tags = {str(each.tag).rpartition("}")[2] for each in page.root.iter()}
    assert {"svg", "style", "table"} <= tags
    assert not tags & {"script", "link", "img", "image", "iframe", "object", "use", "foreignObject"}
    for element in page.root.iter():
        for name, value in element.attrib.items():
            assert name.rpartition("}")[2] not in {"src", "href", "srcset"}
            assert not name.startswith("on")
            assert "http:" not in value
            assert "https:" not in value
    assert not re.search(r"url\(|@import|<!ENTITY", page.text)
    policy = next(each for each in page.root.iter(f"{_XHTML}meta") if "http-equiv" in each.attrib)
    assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'"


def test_it_says_when_it_was_made_and_by_which_version(report: Any, run: Run) -> None:
    version = run("datanommer-report", "--version").stdout.split()[-1]
    footer = _words(next(report().root.iter(f"{_XHTML}footer")))
    assert re.match(rf"Made \d{{4}}-\d\d-\d\d \d\d:\d\d UTC by datanommer {version}\.", footer)


def test_a_reader_may_make_it_and_their_password_is_not_in_it(
    server: sa.URL, bound: str, report: Any
) -> None:
    if not may_be_made(server):
        leave_out("the tests are not connected as a superuser")
    send(Sent("org.example.dev.wiki.a", 0))
    roles = Roles(server, bound)
    try:
        roles.install()
        url = sa.make_url(roles.member("datanommer_reader"))
        page = report(url=url.render_as_string(hide_password=False))
    finally:
        roles.remove()
    assert page.legend == ["wiki 1"]
    name = _words(next(page.root.iter(f"{_XHTML}h1")))
    assert name.startswith(f"postgresql://{url.username}:***@")
    password = str(url.password)
    assert password not in page.text
    assert urllib.parse.quote(password) not in page.text


class TestTheFile:
    """FILE is there as a whole, or as it was before."""

    def test_is_replaced_and_keeps_its_mode(self, bound: str, run: Run, tmp_path: Path) -> None:
        file, link = tmp_path / "report.html", tmp_path / "link.html"
        file.write_text("old")
        file.chmod(0o640)
        link.symlink_to(file.name)
        before = file.stat().st_ino
        made = run("datanommer-report", "--url", bound, str(link))
        assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
        assert file.read_text().startswith("<!DOCTYPE html>")
        assert link.is_symlink()
        assert file.stat().st_ino != before
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert sorted(tmp_path.iterdir()) == [link, file]

    def test_may_be_read_by_a_web_server(self, bound: str, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "report.html"
        assert run("datanommer-report", "--url", bound, str(file), umask=0o022).returncode == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o644

    def test_cannot_be_in_a_folder_that_is_not_there(
        self, bound: str, run: Run, tmp_path: Path
    ) -> None:
        file = tmp_path / "reports" / "report.html"
        made = run("datanommer-report", "--url", bound, str(file))
        assert made.returncode == 74
        reason = f"there is no folder {file.parent}"
        assert made.stderr == f"Error: {file} cannot be written: {reason}.\n"

    def test_cannot_be_a_folder(self, bound: str, run: Run, tmp_path: Path) -> None:
        made = run("datanommer-report", "--url", bound, str(tmp_path))
        assert made.returncode == 2
        assert "is a directory" in made.stderr

    def test_cannot_be_where_nobody_may_write(self, bound: str, run: Run, tmp_path: Path) -> None:
        # Root may write into any folder on a disk, but not into this one.
        folder = Path("/proc/self") if os.geteuid() == 0 else tmp_path
        tmp_path.chmod(0o500)
        made = run("datanommer-report", "--url", bound, str(folder / "report.html"))
        assert made.returncode == 74
        assert "cannot be written" in made.stderr

    def test_stays_as_it_was_where_the_disk_is_full(self, bound: str, run: Run) -> None:
        made = run("datanommer-report", "--url", bound, "/dev/full")
        assert made.returncode == 74
        assert made.stderr == "Error: /dev/full cannot be written: No space left on device.\n"
        assert Path("/dev/full").is_char_device()
