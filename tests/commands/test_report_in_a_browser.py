"""A real browser shows the report: all of it, on phones and screens, and it asks for nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import chromium
from chromium import Chromium
from datanommer.models import add_all
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope
from shell import Run

pytestmark = pytest.mark.needs_program(chromium.PROGRAM)

_LONG = "a-name-that-somebody-has-made-as-long-as-it-may-be" * 5
_MESSAGES = 21
#: The sizes of the charts that are shown, in pixels.
_CHARTS = (
    "[...document.querySelectorAll('svg')].map(chart => chart.getBoundingClientRect())"
    ".map(box => [box.width, box.height]).filter(([width, height]) => width || height)"
)
#: How far the page reaches beyond the window, in pixels.
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: How bright the page is below the text, and the text itself, of 255.
_BRIGHTNESS = (
    "['backgroundColor', 'color'].map(name => "
    "Math.max(...getComputedStyle(document.body)[name].match(/\\d+/g).map(Number)))"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with contextlib.closing(Chromium()) as browser:
        yield browser


@pytest.fixture
def page(bound: str, run: Run, tmp_path: Path) -> str:
    """The address of a report that has something of everything, and names as long as can be."""
    add_all(
        [
            envelope(BODHI_TOPIC, msg=BODHI_MSG),
            *(envelope(f"org.example.dev.{_LONG}{number}.{_LONG}") for number in range(9)),
            *(envelope(timestamp=1361166918 + 86400 * day) for day in range(_MESSAGES - 10)),
            envelope(i=2**63, timestamp=_LONG),
        ]
    )
    file = tmp_path / "report.html"
    made = run("datanommer-report", "--url", bound, "--since", "2013", str(file))
    assert made.returncode == 0, made.stderr
    return file.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200, 1600])
def test_it_is_shown_whole_and_asks_for_nothing(
    browser: Chromium, page: str, width: int, scheme: str
) -> None:
    opened = browser.open(page, width=width, scheme=scheme)
    assert opened.requests == []
    assert opened.errors == []
    assert browser.evaluate("document.querySelector('dd').textContent") == str(_MESSAGES)
    sizes = browser.evaluate(_CHARTS)
    assert len(sizes) == 2
    assert all(min(size) > 100 for size in sizes)
    assert browser.evaluate(_OVERFLOW) <= 0


def test_its_colours_are_those_that_people_prefer(browser: Chromium, page: str) -> None:
    browser.open(page, scheme="light")
    paper, ink = browser.evaluate(_BRIGHTNESS)
    assert (paper > 200, ink < 60) == (True, True)
    browser.open(page, scheme="dark")
    paper, ink = browser.evaluate(_BRIGHTNESS)
    assert (paper < 60, ink > 200) == (True, True)


def test_a_page_that_asks_for_something_would_be_found_out(
    browser: Chromium, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    wanted = "http://127.0.0.1:9/picture.png"
    style = "<style>h1 { background: url(picture.svg); width: 2000px }</style>"
    file.write_text(f"{style}<h1>Hello</h1><img src='{wanted}'><script>missing()</script>")
    opened = browser.open(file.as_uri(), width=400)
    assert set(opened.requests) == {wanted, file.with_name("picture.svg").as_uri()}
    assert any("Failed to load" in error for error in opened.errors)
    assert any("Uncaught" in error for error in opened.errors)
    assert browser.evaluate(_OVERFLOW) > 0
    assert browser.evaluate(_CHARTS) == []
