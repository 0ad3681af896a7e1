"""``datanommer-latest`` and ``datanommer-stats`` print what the operating procedure shows."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from datanommer.models import add_all
from datanommer.models.counting.activity import KEYS
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope
from shell import Run, on_a_terminal

MOMENT = 1361166918  # 2013-02-18 05:55:18 UTC
NEW = "org.example.dev.bodhi.update.new"


@pytest.fixture
def full(archive: str) -> str:
    """The URL of a database with messages of three categories, bodhi's newest from the SOP."""
    add_all(
        [
            envelope("org.example.dev.wiki.article.edit", timestamp=MOMENT - 10 * 365 * 86400),
            envelope("org.example.dev.wiki.article.edit", timestamp=MOMENT - 9 * 365 * 86400),
            envelope("org.example.dev.wiki.upload.complete", timestamp=MOMENT - 9 * 365 * 86400),
            envelope("org.example.dev.fas.user.create", timestamp=MOMENT + 0.75),
            envelope("org.example.dev.fas.user.update", timestamp=MOMENT - 1),
            envelope(BODHI_TOPIC, msg=BODHI_MSG, timestamp=MOMENT),
            envelope("org.example.dev.bodhi.update.new", timestamp=MOMENT - 1),
        ]
    )
    return archive


def latest(run: Run, url: str, *options: str) -> Any:
    return json.loads(run("datanommer-latest", "--url", url, *options).stdout)


class TestLatest:
    def test_prints_the_message_in_the_form_of_the_procedure(self, full: str, run: Run) -> None:
        shown = run("datanommer-latest", "--url", full, "--category", "bodhi").stdout
        assert shown.startswith(
            """[{"bodhi": {
  "topic": "org.fedoraproject.stg.bodhi.update.comment",
  "msg": {
    "comment": {
      "group": null,
      "author": "ralph",
      "text": "Testing for latest datanommer.",
      "karma": 0,
      "anonymous": false,
      "timestamp": 1360349639.0,
      "update_title": "xmonad-0.10-10.fc17"
    },
    "agent": "ralph"
  },
"""
        )
        assert shown.endswith("\n}}]\n")
        (found,) = json.loads(shown)
        assert list(found["bodhi"])[:2] == ["topic", "msg"]
        assert found["bodhi"]["timestamp"] == MOMENT
        assert found["bodhi"]["users"] == ["ralph"]

    def test_without_options_it_is_of_each_category_however_old(self, full: str, run: Run) -> None:
        found = latest(run, full)
        assert [list(entry) for entry in found] == [["bodhi"], ["fas"], ["wiki"]]
        assert found[0]["bodhi"]["topic"] == BODHI_TOPIC
        assert found[1]["fas"]["topic"] == "org.example.dev.fas.user.create"
        # Of one time, the one that came last.
        assert found[2]["wiki"]["topic"] == "org.example.dev.wiki.upload.complete"

    def test_of_a_topic(self, full: str, run: Run) -> None:
        (found,) = latest(run, full, "--topic", "org.example.dev.fas.user.update")
        assert found["fas"]["timestamp"] == MOMENT - 1

    def test_of_a_topic_in_another_category_there_is_none(self, full: str, run: Run) -> None:
        assert latest(run, full, "--topic", BODHI_TOPIC, "--category", "wiki") == []

    def test_overall(self, full: str, run: Run) -> None:
        (found,) = latest(run, full, "--overall")
        assert list(found) == ["fas"]

    @pytest.mark.parametrize("options", [[], ["--overall"], ["--category", "none"]])
    @pytest.mark.parametrize("form", [[], ["--timestamp"], ["--timesince", "--human"]])
    def test_of_nothing_prints_an_empty_list(
        self, archive: str, run: Run, options: list[str], form: list[str]
    ) -> None:
        result = run("datanommer-latest", "--url", archive, *options, *form)
        assert (result.returncode, result.stdout) == (0, "[]\n")

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
    def test_prints_times_whatever_the_zone(
        self, full: str, run: Run, zone: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("PGTZ", zone)

        def shown(*options: str) -> str:
            command = ["--url", full, "--category", "bodhi", *options]
            return str(run("datanommer-latest", *command).stdout)

        assert shown("--timestamp") == "[1361166918.0]\n"
        assert shown("--timestamp", "--human") == '["2013-02-18 05:55:18"]\n'
        (age,) = json.loads(shown("--timesince"))
        assert isinstance(age, int)
        assert abs(time.time() - MOMENT - age) < 60
        assert re.fullmatch(
            r"\[\d{4} days, \d+:\d\d:\d\d\.\d{6}\]\n", shown("--timesince", "--human")
        )

    def test_prints_an_age_of_minutes_as_the_procedure_does(self, archive: str, run: Run) -> None:
        start = time.time()
        add_all([envelope(timestamp=start - 763)])
        shown = run("datanommer-latest", "--url", archive, "--timesince", "--human").stdout
        clock = re.fullmatch(r"\[0:(\d\d):(\d\d\.\d{6})\]\n", shown)
        assert clock
        assert 763 <= int(clock[1]) * 60 + float(clock[2]) <= 763 + (time.time() - start)

    def test_says_that_the_newest_is_dated_in_the_future(self, archive: str, run: Run) -> None:
        late = envelope(timestamp=253402300799)
        add_all([late, envelope("org.example.dev.git.push", timestamp=int(time.time()) + 60)])
        result = run("datanommer-latest", "--url", archive, "--timestamp", "--overall")
        assert result.returncode == 0
        assert json.loads(result.stdout) == [253402300799]
        assert result.stderr == (
            "The newest message of demo is dated in the future: 9999-12-31 23:59:59 "
            f"({late['body']['msg_id']}).\n"
        )

    def test_prints_the_age_of_a_message_from_the_future(self, archive: str, run: Run) -> None:
        add_all([envelope(timestamp=int(time.time()) + 3600)])
        assert re.match(
            r"\[-0:59:", run("datanommer-latest", "--url", archive, "--timesince", "--human").stdout
        )

    def test_prints_a_time_for_each_category(self, full: str, run: Run) -> None:
        assert latest(run, full, "--timestamp") == [MOMENT, MOMENT + 0.75, MOMENT - 9 * 365 * 86400]

    @pytest.mark.parametrize("options", [["--human"], ["--timestamp", "--timesince"]])
    def test_options_that_make_no_sense_together(
        self, archive: str, run: Run, options: list[str]
    ) -> None:
        result = run("datanommer-latest", "--url", archive, *options)
        assert result.returncode == 2
        assert "--" in result.stderr


class TestStats:
    def test_counts_by_category(self, full: str, run: Run) -> None:
        assert run("datanommer-stats", "--url", full).stdout == (
            "wiki has 3 entries\nbodhi has 2 entries\nfas has 2 entries\n"
        )

    def test_counts_by_topic(self, full: str, run: Run) -> None:
        assert run("datanommer-stats", "--url", full, "--topic").stdout == (
            "org.example.dev.wiki.article.edit has 2 entries\n"
            "org.example.dev.bodhi.update.new has 1 entries\n"
            "org.example.dev.fas.user.create has 1 entries\n"
            "org.example.dev.fas.user.update has 1 entries\n"
            "org.example.dev.wiki.upload.complete has 1 entries\n"
            "org.fedoraproject.stg.bodhi.update.comment has 1 entries\n"
        )

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--category", "wiki"], "wiki has 3 entries\n"),
            (
                ["--category", "bodhi", "--topic"],
                (
                    "org.example.dev.bodhi.update.new has 1 entries\n"
                    "org.fedoraproject.stg.bodhi.update.comment has 1 entries\n"
                ),
            ),
            (["--category", "none"], ""),
        ],
    )
    def test_narrows_to_a_category(
        self, full: str, run: Run, options: list[str], expected: str
    ) -> None:
        assert run("datanommer-stats", "--url", full, *options).stdout == expected

    def test_what_senders_write_commands_no_terminal(self, archive: str, run: Run) -> None:
        add_all([envelope("org.example.dev.demo.\x1b[2J\n\xe9")])
        shown = run("datanommer-stats", "--url", archive, "--topic").stdout
        assert shown == "org.example.dev.demo.\\x1b[2J\\n\xe9 has 1 entries\n"

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (
                ["--topic", "org.example.*.wiki.#"],
                (
                    "org.example.dev.wiki.article.edit has 2 entries\n"
                    "org.example.dev.wiki.upload.complete has 1 entries\n"
                ),
            ),
            (["--topic", "org.example.*.wiki.#", "--by", "category"], "wiki has 3 entries\n"),
            (["--topic", "--topic", "bodhi.update.new"], f"{NEW} has 1 entries\n"),
            (["--category", "bodhi", "--topic", "-n", "1"], f"{NEW} has 1 entries\n"),
            (
                ["--not-category", "wiki", "--since", "2013", "-n", "1"],
                "bodhi has 2 entries\n",
            ),
            (["--field", "agent=ralph"], "bodhi has 1 entries\n"),
            (["--contains", "karma", "--by", "topic"], f"{BODHI_TOPIC} has 1 entries\n"),
            (["--by", "user"], "ralph has 1 entries\n"),
            (["--by", "package", "--user", "ralph"], "xmonad has 1 entries\n"),
        ],
    )
    def test_takes_the_filters_of_grep(
        self, full: str, run: Run, options: list[str], expected: str
    ) -> None:
        result = run("datanommer-stats", "--url", full, *options)
        assert (result.stdout, result.stderr) == (expected, "")

    @pytest.mark.parametrize(
        ("options", "lines"),
        [
            (["--by", "hour", "--since", "2013-02-18", "-n", "1"], ["2013-02-18T05Z  4"]),
            (
                ["--by", "day", "--since", "2013-02-17", "--before", "2013-02-19"],
                ["2013-02-17  0", "2013-02-18  4", "2013-02-19  0"],
            ),
            (
                ["--by", "week", "--since", "2013-W07", "--before", "2013-W08"],
                ["2013-W07  0", "2013-W08  4"],
            ),
            (
                ["--by", "month", "--category", "wiki", "--before", "2004-04"],
                [
                    *("2003-02  1", *(f"2003-{month:02}  0" for month in range(3, 13))),
                    *("2004-01  0", "2004-02  2", "2004-03  0", "2004-04  0"),
                ],
            ),
            (["--by", "day", "--category", "none"], []),
        ],
    )
    def test_counts_by_time(
        self, full: str, run: Run, options: list[str], lines: list[str]
    ) -> None:
        assert run("datanommer-stats", "--url", full, *options).stdout.splitlines() == lines

    @pytest.mark.parametrize("span", ["hour", "day", "week", "month"])
    def test_a_time_that_it_prints_can_be_asked_for(self, full: str, run: Run, span: str) -> None:
        command = ("datanommer-stats", "--url", full, "--by", span)
        (line,) = run(*command, "-n", "1", "--since", "2013").stdout.splitlines()
        time_, number = line.split()
        asked = run(*command, "--since", time_, "--before", time_).stdout
        assert asked.split() == [time_, number] == [time_, "4"]

    def test_says_until_now_whether_messages_still_come(self, archive: str, run: Run) -> None:
        add_all([envelope(timestamp=time.time() - 3 * 86400)])
        shown = run("datanommer-stats", "--url", archive, "--by", "day", "--since", "-5d").stdout
        numbers = [line.split()[1] for line in shown.splitlines()]
        assert numbers == ["0", "0", "1", "0", "0", "0"]

    def test_draws_a_bar_for_each_time_on_a_terminal(self, full: str) -> None:
        options = ("--by", "month", "--since", "2004-02", "--before", "2004-03")
        lines = on_a_terminal("datanommer-stats", "--url", full, *options, NO_COLOR="1")
        assert lines == f"2004-02  2  {'█' * 68}\n2004-03  0\n"
        coloured = on_a_terminal("datanommer-stats", "--url", full, *options)
        assert f"\x1b[36m{'█' * 68}\x1b[0m" in coloured

    def test_draws_the_bars_in_ascii_where_the_terminal_knows_no_more(self, full: str) -> None:
        options = ("--by", "day", "--since", "2013-02-18", "--before", "2013-02-18")
        shown = on_a_terminal(
            "datanommer-stats", "--url", full, *options, NO_COLOR="1", PYTHONIOENCODING="ascii"
        )
        assert shown == f"2013-02-18  4  {'#' * 65}\n"

    def test_counts_by_all_that_messages_can_be_counted_by(self, full: str, run: Run) -> None:
        for key in KEYS:
            counted = run("datanommer-stats", "--url", full, "--by", key, "--format", "csv")
            assert (counted.returncode, counted.stdout.splitlines()[0]) == (0, f"{key},messages")

    def test_says_when_the_first_and_the_last_were_sent(self, full: str, run: Run) -> None:
        fields = "topic,category,first_seen,last_seen"
        options = ("--topic", "wiki.article.edit", "--fields", fields, "--format", "csv")
        assert run("datanommer-stats", "--url", full, *options).stdout.splitlines() == [
            fields,
            "org.example.dev.wiki.article.edit,wiki,2003-02-21T05:55:18Z,2004-02-21T05:55:18Z",
        ]

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--topic", "--by", "day"], "--topic alone counts by topic"),
            (["--topic", ""], "it is empty"),
            (["--by", "year"], "'hour', 'day'"),
            (["--by", "user", "--fields", "topic"], "count --by topic"),
            (["--fields", "nothing"], "there is no 'nothing'"),
        ],
    )
    def test_refuses_what_makes_no_sense(
        self, full: str, run: Run, options: list[str], said: str
    ) -> None:
        result = run("datanommer-stats", "--url", full, *options)
        assert (result.returncode, result.stdout) == (2, "")
        assert said in result.stderr
