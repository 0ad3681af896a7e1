"""Runs of a script that syncs logs: what they did, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from classic import execute
from datanommer.models import add_all
from datanommer.models.database.binding import bound_engine
from datanommer.models.errors import NoSuchRun
from datanommer.models.filtering.filters import Filters
from datanommer.models.logging_stats import history
from datanommer.models.logging_stats.history import Judged
from shell import ROOT, Run, on_a_terminal
from syncs import Script, moment, three_nights

PAGE = (ROOT / "docs" / "runs.rst").read_text(encoding="utf-8")
NIGHT = moment(2021, 7, 19, 1)
DAY = timedelta(days=1)
P1, P2 = "proxy01", "proxy02"
#: A date that each of three nights from `NIGHT` on syncs.
DATE = "2021-07-18"


def script(run_id: str = "r", begin: datetime = NIGHT, **options: Any) -> Script:
    return Script(run_id, begin, **options)


def judged(*scripts: Script, now: datetime = NIGHT + 30 * DAY, **options: Any) -> list[Judged]:
    """Store what scripts say, and find their runs."""
    add_all([message for each in scripts for message in each.sent])
    return list(find(now=now, **options))


def find(since: datetime | None = None, **options: Any) -> Iterator[Judged]:
    """The runs that sent a message at this time or later."""
    return history.find(bound_engine(), Filters.of_options(since), **options)


def said(found: Iterable[Judged]) -> dict[str, list[tuple[str, ...]]]:
    """The findings of each run: severity, kind, and what it is about."""
    return {
        each.run.run_id: [
            (
                finding.severity.name.lower(),
                finding.kind,
                *filter(None, (finding.synced_host, finding.log_date)),
            )
            for finding in each.findings
        ]
        for each in found
    }


@pytest.mark.usefixtures("archive")
class TestOneRun:
    def test_that_went_well(self) -> None:
        ((run, findings, is_alive),) = judged(
            script().say("start").host(P1, DATE, "2021-07-17").host(P2, DATE).say("finish")
        )
        assert (findings, is_alive) == ([], False)
        assert (run.run_id, run.host, run.started) == ("r", "log01.example.org", NIGHT)
        assert run.finished is not None
        assert run.duration == run.finished - NIGHT == timedelta(seconds=5 * 11 + 3 * 20)
        assert [(name, host.outcome) for name, host in run.hosts.items()] == [
            (P1, "done"),
            (P2, "done"),
        ]
        assert [date.duration for date in run.dates] == [timedelta(seconds=25)] * 3

    def test_that_never_finished(self) -> None:
        run = script().say("start").host(P1, DATE)
        run.say("host.start", P2).say("host.logdate.start", P2, DATE)
        assert said(judged(run)) == {
            "r": [
                ("critical", "never finished"),
                ("critical", "not finished", P2),
                ("critical", "not finished", P2, DATE),
            ]
        }

    def test_that_goes_on(self) -> None:
        run = script().say("start").say("host.start", P1).say("host.logdate.start", P1, DATE)
        (found,) = judged(run, now=run.now + timedelta(hours=5))
        assert (found.findings, found.is_alive) == ([], True)
        (found,) = judged(now=run.now + timedelta(hours=5), older_than=timedelta(hours=4))
        assert not found.is_alive
        assert found.findings[0].kind == "never finished"

    def test_that_goes_on_for_long(self) -> None:
        run = script().say("start").wait(hours=8).host(P1, DATE)
        found = judged(run, now=run.now + timedelta(hours=1))
        assert said(found) == {"r": [("warning", "still running")]}

    def test_that_started_in_the_future(self) -> None:
        begin = NIGHT + timedelta(minutes=6)
        found = judged(script(begin=begin).say("start").host(P1).say("finish"), now=NIGHT)
        assert said(found) == {"r": [("warning", "in the future")]}
        # A clock that is a little ahead is none.
        assert said(judged(now=NIGHT + timedelta(minutes=1))) == {"r": []}

    def test_whose_start_is_missing(self) -> None:
        assert said(judged(script().host(P1, DATE).say("finish"))) == {
            "r": [("warning", "finish without start")]
        }

    def test_of_which_only_the_middle_is_there(self) -> None:
        assert said(judged(script().host(P1, DATE))) == {
            "r": [("critical", "never finished"), ("warning", "no start")]
        }

    def test_that_came_to_no_host(self) -> None:
        assert said(judged(script().say("start").say("finish"))) == {"r": [("warning", "no hosts")]}

    def test_whose_hosts_and_dates_finish_without_a_start(self) -> None:
        run = script().say("start").say("host.logdate.finish", P1, DATE)
        assert said(judged(run.say("host.finish", P1).say("finish"))) == {
            "r": [
                ("warning", "finish without start", P1),
                ("warning", "finish without start", P1, DATE),
            ]
        }

    def test_that_skipped_a_host(self) -> None:
        run = script().say("start").say("host.skip", P1, reason="Synced host unknown")
        (found,) = judged(run.say("finish"))
        assert said([found]) == {"r": [("warning", "skipped", P1)]}
        assert found.run.hosts[P1].outcome == "skipped"
        assert "Synced host unknown" in found.findings[0].text

    def test_that_came_to_a_host_twice(self) -> None:
        run = script().say("start").host(P1, DATE).host(P2).host(P1, DATE).say("finish")
        assert said(judged(run)) == {"r": [("warning", "listed twice", P1)]}

    def test_that_came_to_a_host_twice_at_the_same_time(self) -> None:
        run = script().say("start").say("host.start", P1).say("host.start", P1)
        run.say("host.finish", P1).say("host.finish", P1).say("finish")
        assert said(judged(run)) == {"r": [("warning", "listed twice", P1)]}

    def test_that_came_back_to_a_host_after_a_failure(self) -> None:
        run = script().say("start").say("host.start", P1).say("host.logdate.start", P1, DATE)
        run.fail(P1, DATE, "timed out").say("host.finish", P1).host(P1, DATE).say("finish")
        (found,) = judged(run)
        assert found.findings == []
        assert [date.retries for date in found.run.dates] == [1]


@pytest.mark.usefixtures("archive")
class TestADate:
    def date(self, *says: tuple[str, str], finish: bool = True) -> Judged:
        run = script().say("start").say("host.start", P1).say("host.logdate.start", P1, DATE)
        for how, reason in says:
            run.fail(P1, DATE, reason, how)
        if finish:
            run.say("host.logdate.finish", P1, DATE)
        (found,) = judged(run.say("host.finish", P1).say("finish"))
        return found

    def test_that_failed_for_good(self) -> None:
        found = self.date(("retry", "a"), ("final", "timed out"), finish=False)
        assert said([found]) == {"r": [("critical", "failed", P1, DATE)]}
        assert found.findings[0].text == "failed for good: timed out"
        assert found.run.hosts[P1].outcome == "failed"

    def test_that_says_it_finished_though_it_failed_for_good(self) -> None:
        found = self.date(("final", "timed out"))
        assert said([found]) == {"r": [("critical", "failed", P1, DATE)]}

    def test_that_finished_after_failures_may_have_failed_at_last(self) -> None:
        found = self.date(("retry", "a"), ("retry", "Error code: 12"))
        assert said([found]) == {"r": [("warning", "retried", P1, DATE)]}
        assert "2 times: Error code: 12" in found.findings[0].text
        assert found.run.hosts[P1].outcome == "done"

    def test_that_was_to_be_retried_and_was_not(self) -> None:
        found = self.date(("retry", "timed out"), finish=False)
        assert said([found]) == {"r": [("critical", "not finished", P1, DATE)]}
        assert "timed out" in found.findings[0].text


@pytest.mark.usefixtures("archive")
class TestSeveralRuns:
    def test_a_later_run_makes_a_failure_good_within_three_days(self) -> None:
        bad = script("bad").say("start").say("host.start", P1)
        bad.say("host.logdate.start", P1, DATE).fail(P1, DATE, "timed out", "final")
        bad.say("host.finish", P1).say("host.skip", P2).say("finish")
        good = script("good", NIGHT + DAY).say("start").host(P1, DATE).host(P2).say("finish")
        found = judged(bad, good)
        assert said(found) == {
            "good": [],
            "bad": [("note", "failed", P1, DATE), ("note", "skipped", P2)],
        }
        assert {finding.made_good_by for finding in found[1].findings} == {"good"}

    @pytest.mark.parametrize("case", ["too late", "earlier", "another date", "another log host"])
    def test_and_no_other_run_does(self, case: str) -> None:
        bad = script("bad").say("start").say("host.start", P1)
        bad.say("host.logdate.start", P1, DATE).fail(P1, DATE, "timed out", "final")
        begin = NIGHT + {"too late": 4 * DAY, "earlier": -DAY}.get(case, DAY)
        host = "log02" if case == "another log host" else "log01.example.org"
        date = "2021-07-17" if case == "another date" else DATE
        other = script("other", begin, host=host).say("start").host(P1, date).say("finish")
        found = said(judged(bad.say("host.finish", P1).say("finish"), other))
        assert found == {"bad": [("critical", "failed", P1, DATE)], "other": []}

    def test_a_later_run_makes_good_one_that_died_if_it_does_all_of_it(self) -> None:
        dead = script("dead").say("start").host(P1).say("host.start", P2)
        part = script("part", NIGHT + DAY).say("start").host(P1).say("finish")
        assert said(judged(dead, part))["dead"][0] == ("critical", "never finished")
        whole = script("whole", NIGHT + 2 * DAY).say("start").host(P1).host(P2).say("finish")
        assert said(judged(whole))["dead"] == [
            ("note", "never finished"),
            ("note", "not finished", P2),
        ]

    def test_runs_that_overlap_and_share_a_host(self) -> None:
        one = script("one").say("start").host(P1).host(P2).say("finish")
        two = script("two", NIGHT + timedelta(seconds=10)).say("start").host(P1).say("finish")
        after = script("after", one.now + timedelta(seconds=1)).say("start").host(P1).say("finish")
        found = judged(one, two, after)
        assert said(found) == {
            "one": [("warning", "overlap")],
            "two": [("warning", "overlap")],
            "after": [],
        }
        assert found[1].findings[0].text == (
            "overlaps the run one, which started 2021-07-19T01:00:00Z: both came to proxy01"
        )

    def test_runs_that_share_the_work_may_overlap(self) -> None:
        one = script("one").say("start").host(P1).say("finish")
        two = script("two").say("start").host(P2).say("finish")
        elsewhere = script("elsewhere", host="log02").say("start").host(P1).say("finish")
        assert said(judged(one, two, elsewhere)) == {
            "one": [("note", "overlap")],
            "two": [("note", "overlap")],
            "elsewhere": [],
        }

    def test_come_newest_first_whatever_order_they_are_stored_in(self) -> None:
        nights = [script(f"{n:03}", NIGHT + n * DAY).say("start").host(P1) for n in range(250)]
        found = judged(*reversed(nights[::2]), *nights[1::2], now=NIGHT + 300 * DAY)
        assert [each.run.run_id for each in found] == [f"{n:03}" for n in reversed(range(250))]
        # Whichever are looked at together, each is seen with those after it.
        assert all(len(each.run.hosts) == 1 for each in found)

    def test_a_failure_is_made_good_across_any_number_of_runs(self) -> None:
        """Judged in groups: no edge of a group may hide what comes after it."""
        runs = []
        for n in range(120):
            run = script(f"{n:03}", NIGHT + n * timedelta(hours=1)).say("start")
            run.say("host.start", P1).say("host.logdate.start", P1, DATE)
            if n % 2 == 0:
                run.fail(P1, DATE, "timed out", "final")
            runs.append(
                run.say("host.logdate.finish", P1, DATE).say("host.finish", P1).say("finish")
            )
        severities = {finding.severity.name for each in judged(*runs) for finding in each.findings}
        assert severities == {"NOTE"}

    def test_are_found_since_a_time_with_all_that_they_did(self) -> None:
        over_midnight = script("a", NIGHT).say("start").host(P1).wait(hours=2).say("finish")
        before = script("b", NIGHT - DAY).say("start").host(P1).say("finish")
        (found,) = judged(over_midnight, before, since=NIGHT + timedelta(hours=1))
        assert (found.run.run_id, found.run.started, found.findings) == ("a", NIGHT, [])

    def test_those_unfinished_are_found(self) -> None:
        good = script("good", NIGHT + DAY).say("start").host(P1).say("finish")
        old = script("old", NIGHT - 400 * DAY).say("start").host(P1)
        assert list(said(judged(script("dead").say("start"), good, old, unfinished=True))) == [
            "dead",
            "old",
        ]
        recent = find(unfinished=True, since=NIGHT - DAY)
        assert [each.run.run_id for each in recent] == ["dead"]

    def test_one_is_found_and_another_is_not_there(self) -> None:
        found = judged(script("x").say("start"), script("y").say("start"), run_id="x")
        assert [each.run.run_id for each in found] == ["x"]
        with pytest.raises(NoSuchRun, match="datanommer-runs"):
            find(run_id="z")

    @pytest.mark.parametrize("begin", [moment(1970, 1, 1), moment(9999, 12, 31)])
    def test_at_the_ends_of_time(self, begin: datetime) -> None:
        run = script("edge", begin)
        found = judged(run.say("start").say("host.start", P1), now=NIGHT)
        assert [each.run.run_id for each in found] == ["edge"]


class TestTheCommand:
    @pytest.fixture
    def nights(self, archive: str) -> str:
        """The URL of a database with the three nights of the documentation."""
        add_all(three_nights())
        return archive

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
    def test_prints_what_the_documentation_shows(
        self, nights: str, run: Run, zone: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", zone)
        examples = re.findall(
            r"^    \$ (datanommer-runs --(?!check).*)\n((?:    .*\n)+)", PAGE, re.MULTILINE
        )
        assert len(examples) == 2
        for command, shown in examples:
            result = run(*command.split(), "--url", nights)
            assert (result.returncode, result.stderr) == (0, "")
            assert result.stdout == re.sub("^    ", "", shown, flags=re.MULTILINE)

    def test_fits_a_narrow_terminal(self, nights: str) -> None:
        shown = on_a_terminal("datanommer-runs", "--url", nights).splitlines()
        assert shown[:3] == [
            "c9a1d2de-3c44-4d0b-8a53-5b8f6f1d7a20",
            "    started 2021-07-21T01:00:04Z, finished never, took -",
            "    hosts done 1, skipped 0, failed 1; dates retried 0, failed 0",
        ]
        wide = on_a_terminal("datanommer-runs", "--url", nights, COLUMNS="160")
        assert wide.startswith("START ")

    def test_prints_json(self, nights: str, run: Run) -> None:
        result = run("datanommer-runs", "--url", nights, "--format", "json")
        assert result.stderr == ""
        third, second, first = json.loads(result.stdout)
        assert first["findings"] == [
            {
                "severity": "note",
                "kind": "failed",
                "text": "failed for good: timed out (made good by the run "
                "6f4dfec9-80d7-49e6-80e0-f2357b63422c)",
                "synced_host": "proxy02.example.org",
                "log_date": "2021-07-18",
                "made_good_by": "6f4dfec9-80d7-49e6-80e0-f2357b63422c",
            }
        ]
        assert (first["started"], first["finished"]) == (
            "2021-07-19T01:00:04Z",
            "2021-07-19T01:03:14Z",
        )
        assert (first["state"], first["duration"]) == ("finished", 190)
        assert first["hosts"] == {"done": 1, "skipped": 0, "failed": 1}
        assert first["dates"] == {"retried": 1, "failed": 1}
        assert second["synced_hosts"][2]["reason"] == "Synced host unknown"
        assert (third["state"], third["finished"]) == ("never finished", None)
        assert third["synced_hosts"][1]["log_dates"] == [
            {
                "log_date": "2021-07-20",
                "started": "2021-07-21T01:01:54Z",
                "finished": None,
                "duration": None,
                "outcome": "unfinished",
                "retries": 0,
                "reason": None,
            }
        ]

    def test_prints_nothing_of_nothing(self, archive: str, run: Run) -> None:
        table = run("datanommer-runs", "--url", archive)
        assert (table.returncode, table.stdout, table.stderr) == (0, "", "")
        as_json = run("datanommer-runs", "--url", archive, "--format", "json")
        assert json.loads(as_json.stdout) == []

    def test_one_run_as_json_is_a_list_of_one(self, nights: str, run: Run) -> None:
        options = ["--run-id", "6f4dfec9-80d7-49e6-80e0-f2357b63422c", "--format", "json"]
        (found,) = json.loads(run("datanommer-runs", "--url", nights, *options).stdout)
        assert found["findings"][0]["kind"] == "skipped"

    def test_a_run_that_is_not_there(self, nights: str, run: Run) -> None:
        result = run("datanommer-runs", "--url", nights, "--run-id", "x")
        assert (result.returncode, result.stdout) == (1, "")
        assert "no run with the id 'x'" in result.stderr

    def test_shows_only_those_unfinished(self, nights: str, run: Run) -> None:
        result = run("datanommer-runs", "--url", nights, "--unfinished")
        assert "c9a1d2de" in result.stdout
        assert "6f4dfec9-80d7-49e6-80e0-f2357b63422c" not in result.stdout

    def test_what_senders_write_commands_no_terminal(self, archive: str, run: Run) -> None:
        bad = script("r\x1b[2J").say("start").say("host.skip", "h\n", reason="\x07é")
        add_all(bad.say("finish").sent)
        for options in ([], ["--run-id", "r\x1b[2J"]):
            shown = run("datanommer-runs", "--url", archive, *options).stdout
            assert "\\x1b[2J" in shown
            assert "\x1b" not in shown
            assert "h\\n" in shown
            assert "\\x07é" in shown

    def test_messages_of_no_run_are_spoken_of(self, archive: str, run: Run) -> None:
        lost = script().say("start").sent
        del lost[0]["body"]["msg"]["run_id"]
        add_all(lost)
        result = run("datanommer-runs", "--url", archive)
        assert (result.stdout, "1 messages" in result.stderr) == ("", True)

    def test_says_what_to_do_where_older_messages_are_not_known(
        self, nights: str, run: Run
    ) -> None:
        execute(nights, "DELETE FROM sync_events")
        assert "datanommer-reindex" in run("datanommer-runs", "--url", nights).stderr

    @pytest.mark.parametrize("value", ["6", "h", "6 h", "-1h", "1w", "999999999h", ""])
    def test_a_length_of_time_that_is_none(self, run: Run, value: str) -> None:
        result = run("datanommer-runs", "--older-than", value)
        assert result.returncode == 2
        assert "90m, 6h or 2d" in result.stderr


class TestTheCheck:
    """One line on standard output, and the exit codes that monitors know."""

    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)

    def check(self, run: Run, url: str, *options: str) -> tuple[int, str]:
        result = run("datanommer-runs", "--check", "--url", url, *options)
        assert result.stdout.count("\n") == 1
        assert "Traceback" not in result.stderr
        return result.returncode, result.stdout

    def script(self, run_id: str = "r", **ago: int) -> Script:
        return script(run_id, self.now - timedelta(**(ago or {"hours": 3})))

    def test_all_well(self, archive: str, run: Run) -> None:
        add_all(self.script().say("start").host(P1, DATE).say("finish").sent)
        code, said = self.check(run, archive)
        assert code == 0
        assert re.fullmatch(
            r"OK: 1 run since \S+Z; the newest started \S+Z and took 0:00:45\n", said
        )

    def test_a_warning(self, archive: str, run: Run) -> None:
        skipped = self.script().say("start").say("host.skip", P1, reason="a | b\n").say("finish")
        add_all(skipped.sent)
        code, said = self.check(run, archive)
        assert code == 1
        assert said.startswith("WARNING: 0 critical and 1 warnings in 1 run since ")
        assert said.endswith("; run r: proxy01: skipped: a / b\\n\n")

    def test_critical(self, archive: str, run: Run) -> None:
        well = self.script("well").say("start").say("host.skip", P1).say("finish").sent
        add_all([*self.script("dead", hours=20).say("start").sent, *well])
        code, said = self.check(run, archive)
        assert code == 2
        assert said.startswith("CRITICAL: 1 critical and 1 warnings in 2 runs since ")
        assert "run dead: never finished" in said
        assert self.check(run, archive, "--older-than", "1d")[0] == 1

    def test_what_is_made_good_is_well(self, archive: str, run: Run) -> None:
        dead = self.script("dead", hours=20).say("start").say("host.start", P1).sent
        add_all([*dead, *self.script("good").say("start").host(P1).say("finish").sent])
        assert self.check(run, archive)[0] == 0
        assert self.check(run, archive, "--run-id", "dead")[0] == 0

    def test_no_run_at_all(self, archive: str, run: Run) -> None:
        assert self.check(run, archive)[0] == 2

    def test_no_new_run(self, archive: str, run: Run) -> None:
        add_all(self.script(hours=40).say("start").host(P1).say("finish").sent)
        code, said = self.check(run, archive)
        assert code == 2
        assert re.fullmatch(r"CRITICAL: no run started for 1 day, 16:\d\d:\d\d\n", said)
        assert self.check(run, archive, "--max-age", "2d")[0] == 0
        assert self.check(run, archive, "--run-id", "r")[0] == 0

    @pytest.mark.parametrize("finished", [False, True])
    def test_a_run_of_the_future_is_a_warning_and_hides_no_missing_one(
        self, archive: str, run: Run, finished: bool
    ) -> None:
        future = script("future", moment(9999, 12, 31)).say("start")
        add_all(future.host(P1).say("finish").sent if finished else future.sent)
        code, said = self.check(run, archive)
        assert (code, said.startswith("CRITICAL: there is no run since ")) == (2, True)
        add_all(self.script("old", hours=40).say("start").host(P1).say("finish").sent)
        code, said = self.check(run, archive)
        assert (code, said.startswith("CRITICAL: no run started for 1 day, 16:")) == (2, True)
        add_all(self.script("new").say("start").host(P1).say("finish").sent)
        code, said = self.check(run, archive)
        assert (code, said.startswith("WARNING: 0 critical and 1 warnings in 3 runs")) == (1, True)
        assert "run future: in the future" in said
        assert self.check(run, archive, "--run-id", "future")[0] == 1

    def test_runs_of_long_ago_do_not_count_unless_asked(self, archive: str, run: Run) -> None:
        add_all(self.script("old", days=9).say("start").sent)
        add_all(self.script().say("start").host(P1).say("finish").sent)
        assert self.check(run, archive)[0] == 0
        assert self.check(run, archive, "--since", "1970-01-01")[0] == 2

    def test_messages_of_no_run_are_a_warning(self, archive: str, run: Run) -> None:
        well = self.script().say("start").host(P1).say("finish").sent
        lost = self.script().say("start").sent
        del lost[0]["body"]["msg"]["run_id"]
        add_all([*well, *lost])
        assert self.check(run, archive)[0] == 1

    @pytest.mark.parametrize(
        "options",
        [
            ["--url", "postgresql://nobody@127.0.0.1:1/none"],
            ["--url", "nonsense"],
            ["--no-such-option"],
            ["--since", "some day"],
            ["--older-than", "6"],
            ["--unfinished"],
            ["--format", "json"],
            ["--run-id", "x"],
        ],
    )
    def test_what_cannot_be_told_is_unknown(
        self, archive: str, run: Run, options: list[str]
    ) -> None:
        code, said = self.check(run, archive, *options)
        assert code == 3
        assert said.startswith("UNKNOWN: ")

    def test_a_database_that_is_behind_is_unknown(self, archive: str, run: Run) -> None:
        execute(archive, "UPDATE alembic_version SET version_num = '7b90d2f5c61a'")
        code, said = self.check(run, archive)
        assert (code, "alembic upgrade" in said) == (3, True)
