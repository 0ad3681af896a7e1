"""Times as people write them, and what the commands print, are read the same way everywhere."""

from __future__ import annotations

from datetime import datetime

import pytest

from datanommer.commands.options.times import parse
from datanommer.models import add_all
from envelopes import envelope
from shell import Run

NOW = datetime(2023, 11, 30, 12, 34, 56, 789)  # noqa: DTZ001  naive UTC, as in the API
MOMENT = 1361166918  # 2013-02-18 05:55:18 UTC, a Monday


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2023-11-01", "2023-11-01", "2023-11-01T23:59:59.999999"),
        ("20231101", "2023-11-01", "2023-11-01T23:59:59.999999"),
        ("2023-02", "2023-02-01", "2023-02-28T23:59:59.999999"),
        ("2024", "2024-01-01", "2024-12-31T23:59:59.999999"),
        ("9999-12-31", "9999-12-31", "9999-12-31T23:59:59.999999"),
        ("2023-W48", "2023-11-27", "2023-12-03T23:59:59.999999"),
        ("2023-W48-2", "2023-11-28", "2023-11-28T23:59:59.999999"),
        ("today", "2023-11-30", "2023-11-30T23:59:59.999999"),
        ("Yesterday", "2023-11-29", "2023-11-29T23:59:59.999999"),
        ("2023-11-01T05", "2023-11-01T05:00:00", "2023-11-01T05:59:59.999999"),
        ("2023-11-01T05:55", "2023-11-01T05:55:00", "2023-11-01T05:55:59.999999"),
        ("2023-11-01 05:55:18", "2023-11-01T05:55:18", "2023-11-01T05:55:18.999999"),
        ("2023-11-01T05:55:18+01:00", "2023-11-01T04:55:18", "2023-11-01T04:55:18.999999"),
        ("20231101T055518Z", "2023-11-01T05:55:18", "2023-11-01T05:55:18.999999"),
        ("2023-11-01T05:55:18.25Z", "2023-11-01T05:55:18.25", "2023-11-01T05:55:18.25"),
        ("1698800000", "2023-11-01T00:53:20", "2023-11-01T00:53:20"),
        ("1698800000.5", "2023-11-01T00:53:20.5", "2023-11-01T00:53:20.5"),
        ("now", "2023-11-30T12:34:56.000789", "2023-11-30T12:34:56.000789"),
        ("-2h", "2023-11-30T10:34:56.000789", "2023-11-30T10:34:56.000789"),
        ("-90m", "2023-11-30T11:04:56.000789", "2023-11-30T11:04:56.000789"),
        ("2 hours ago", "2023-11-30T10:34:56.000789", "2023-11-30T10:34:56.000789"),
        ("an hour ago", "2023-11-30T11:34:56.000789", "2023-11-30T11:34:56.000789"),
        ("3w ago", "2023-11-09T12:34:56.000789", "2023-11-09T12:34:56.000789"),
        ("9 months ago", "2023-02-28T12:34:56.000789", "2023-02-28T12:34:56.000789"),
        ("-1y", "2022-11-30T12:34:56.000789", "2022-11-30T12:34:56.000789"),
    ],
)
def test_a_text_means_a_point_or_all_of_a_span(text: str, start: str, end: str) -> None:
    assert parse(text, NOW) == (datetime.fromisoformat(start), datetime.fromisoformat(end))


@pytest.mark.parametrize(
    "text",
    [
        *("", "garbage", "2023-13", "2023-02-30", "0000", "12345678", "1698800000000", "2h"),
        *("-2", "-2 fortnights", "5 ago", "-99999999999d", "9999999999999 years ago", "-h", "١٢٣"),
    ],
)
def test_what_means_none_is_a_usage_error(run: Run, text: str) -> None:
    result = run("datanommer-dump", "--since", text)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"{text!r} is not a time. Write it like 2013-02-18," in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("window", "found"),
    [
        ("--since 2013-02-18 --before 2013-02-18", [0, 1, 2, 3]),
        ("--since 2013-W08 --before 2013-W08", [0, 1, 2, 3, 4]),
        ("--since 2013-02 --before 2013-02", [0, 1, 2, 3, 4]),
        ("--since 2013-02-18T05:55 --before 2013-02-18T05:55", [1, 2]),
        ("--since 2013-02-18T05:55:18 --before 2013-02-18T05:55:18", [1, 2]),
        ("--since 1361166918.5 --before 1361166918.5", [2]),
    ],
)
def test_before_includes_all_of_its_span(
    archive: str, run: Run, window: str, found: list[int]
) -> None:
    day = MOMENT // 86400 * 86400
    moments = [day, MOMENT, MOMENT + 0.5, day + 86399.999999, day + 86400, day + 20 * 86400]
    add_all([envelope(msg=n, timestamp=moment) for n, moment in enumerate(moments)])
    shown = run("datanommer-grep", "--url", archive, "--fields", "msg", *window.split())
    assert list(map(int, shown.stdout.split())) == found


def test_what_is_printed_can_be_given_back(archive: str, run: Run) -> None:
    add_all([envelope(msg=n, timestamp=MOMENT + n + 0.25) for n in range(3)])
    options = ["--url", archive, "--topic", "demo.hello"]
    texts = [
        run("datanommer-latest", *options, "--timestamp").stdout.strip("[]\n"),
        run("datanommer-latest", *options, "--timestamp", "--human").stdout.strip('["]\n'),
        run("datanommer-grep", *options, "--fields", "time").stdout.split()[-1],
        run("datanommer-grep", *options).stdout.splitlines()[-1].split()[0],
    ]
    for text in texts:
        window = ["--since", text, "--before", text, "--fields", "msg"]
        assert run("datanommer-grep", *options, *window).stdout == "2\n"
