"""``datanommer-grep`` finds messages by any mixture of filters, and follows those that arrive."""

from __future__ import annotations

import csv
import io
import json
import queue
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

from datanommer.models import add, add_all
from datanommer.models.database.binding import bound_engine
from datanommer.models.exchange import parser
from datanommer.models.storing.batch import Batch, store
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope
from shell import Run, on_a_terminal, script

MOMENT = 1361166918  # 2013-02-18 05:55:18 UTC
PREFIX = "org.fedoraproject.prod"

Grep = Callable[..., list[str]]
Count = Callable[..., int]


def message(name: str, topic: str = "wiki.article.edit", **fields: Any) -> dict[str, Any]:
    """A line of a dump, whose id is short."""
    defaults = {"msg": {"name": name}, "i": 1, "timestamp": MOMENT}
    nobody: dict[str, Any] = {"users": [], "packages": [], "agent": None}
    return {"topic": f"{PREFIX}.{topic}", "msg_id": f"2013-{name}", **defaults, **nobody, **fields}


OTHER = {"build": {"state": "1"}, "tags": ["f17", "f18"], "matrix": [[1, 2], [3]]}


@pytest.fixture
def some(archive: str) -> str:
    """The URL of an archive with five messages, a second after each other."""
    messages = [
        message(
            "edit", users=["ralph"], username="ralph", msg={"page": "Fedora", "build": {"state": 1}}
        ),
        message(
            "comment",
            "bodhi.update.comment",
            users=["ralph", "toshio"],
            packages=["nethack"],
            agent="toshio",
            username="bodhi",
        ),
        message("request", "bodhi.update.request.stable", users=["toshio"], packages=["xmonad"]),
        message("nul", "koji.build", msg={"build": {"state": 1}, "log": "a\0b", "who": "wörld"}),
        message(
            "other",
            "koji.build",
            msg={"build": {"state": "1"}, "tags": ["f17", "f18"], "matrix": [[1, 2], [3]]},
        ),
    ]
    for second, each in enumerate(messages):
        each["timestamp"] += second
    store(bound_engine(), Batch.of(map(parser.parse, messages)))
    return archive


@pytest.fixture
def grep(run: Run, some: str) -> Grep:
    """What it finds: the ids of the messages, without their year."""

    def grep(*options: str) -> list[str]:
        result = run("datanommer-grep", "--url", some, "--fields", "msg_id", *options)
        assert result.returncode == 0, result.stderr
        return [each.removeprefix("2013-") for each in result.stdout.split()]

    return grep


@pytest.fixture
def count(run: Run, some: str) -> Count:
    """How many messages it finds."""
    return lambda *options: int(run("datanommer-grep", "--url", some, "--count", *options).stdout)


ALL = ["edit", "comment", "request", "nul", "other"]


class TestFilters:
    @pytest.mark.parametrize(
        ("options", "found"),
        [
            ("", ALL),
            ("--user ralph", ["edit", "comment"]),
            ("--user ralph --user toshio", ["edit", "comment", "request"]),
            ("--not-user ralph", ["request", "nul", "other"]),
            ("--package nethack", ["comment"]),
            ("--package nethack --package xmonad --not-package xmonad", ["comment"]),
            ("--agent toshio", ["comment"]),
            ("--agent toshio --agent ralph", ["edit", "comment"]),
            ("--user ralph --not-agent toshio", ["edit"]),
            ("--agent bodhi", []),
            ("--category bodhi", ["comment", "request"]),
            ("--category bodhi --category wiki", ["edit", "comment", "request"]),
            ("--not-category bodhi --not-category wiki", ["nul", "other"]),
            ("--user toshio --package xmonad", ["request"]),
            ("--contains Fedora", ["edit"]),
            ("--contains Fedora --contains wörld", ["edit", "nul"]),
            ("--not-contains Fedora --not-contains name", ["nul", "other"]),
            ("--category Bodhi", []),
            ("--since 2013-02-18T05:55:20", ["request", "nul", "other"]),
            ("--since 2013-02-18T05:55:19 --before 2013-02-18T05:55:20", ["comment", "request"]),
        ],
    )
    def test_passes_what_fits_any_value_of_each_filter(
        self, grep: Grep, count: Count, options: str, found: list[str]
    ) -> None:
        assert grep(*options.split()) == found
        assert count(*options.split()) == len(found)

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("org.fedoraproject.prod.koji.build", ["nul", "other"]),
            ("koji.build", ["nul", "other"]),
            ("org.fedoraproject.*.bodhi.#", ["comment", "request"]),
            ("bodhi.#", ["comment", "request"]),
            ("bodhi.update.*", ["comment"]),
            ("#.stable", ["request"]),
            ("#", ALL),
            ("#.update.#", ["comment", "request"]),
            ("*.build", ["nul", "other"]),
            ("bodhi", []),
            ("koji.build.#", ["nul", "other"]),
            ("koji.buil", []),
            ("koji?build", []),
            ("#.#.stable.#.#", ["request"]),
            (".".join(["#"] * 100 + ["x"]), []),
        ],
    )
    def test_a_topic_is_a_name_or_a_pattern_with_or_without_the_prefix(
        self, grep: Grep, pattern: str, found: list[str]
    ) -> None:
        assert grep("--topic", pattern) == found
        assert grep("--not-topic", pattern) == [each for each in ALL if each not in found]

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            (["build.state=1"], ["edit", "nul", "other"]),
            (["build.state=1", "who=wörld"], ["nul"]),
            (["page=Fedora", "page=Debian"], ["edit"]),
            (["build.state=true"], []),
            (["build.state=1.0"], ["edit", "nul"]),
            (['build={"state": 1}'], ["edit", "nul"]),
            (["tags=f18"], ["other"]),
            (["tags.0=f17"], ["other"]),
            (["tags.0=f18"], []),
            (["state=1"], []),
            (["build.state.none=1"], []),
            (["log=a"], []),
            (["matrix.0=2"], ["other"]),
            (["matrix.0=3"], []),
            (["matrix.1.0=3"], ["other"]),
            (["matrix.0.0.0=1"], []),
        ],
    )
    def test_looks_for_a_value_inside_the_content(
        self, grep: Grep, count: Count, fields: list[str], found: list[str]
    ) -> None:
        options = [f"--field={each}" for each in fields]
        assert grep(*options) == found
        assert count(*options) == len(found)
        assert grep(*options, "-n", "1") == found[-1:]

    def test_a_key_may_have_a_dot(self, archive: str, run: Run) -> None:
        add(envelope(msg={"a.b": {"c": None}}))
        for path in ("a.b.c=null", "a.b.c="):
            result = run("datanommer-grep", "--url", archive, "--count", "--field", path)
            assert result.stdout == ("1\n" if path.endswith("null") else "0\n")

    @pytest.mark.parametrize(
        ("field", "advice"),
        [
            ("build.state", "Write PATH=VALUE, such as build.state=1."),
            ("=1", "Write PATH=VALUE, such as build.state=1."),
            (".".join("a" * 1000) + "=1", "The path has more than 100 parts."),
            ("", "Is a variable of the shell not set?"),
        ],
    )
    def test_a_field_that_makes_no_sense_is_a_usage_error(
        self, run: Run, field: str, advice: str
    ) -> None:
        result = run("datanommer-grep", "--field", field)
        assert result.returncode == 2
        assert advice in result.stderr

    def test_a_value_of_any_depth_is_looked_for(self, count: Count) -> None:
        assert count("--field", f"build={'[' * 50_000}") == 0

    def test_a_list_in_lists_takes_no_time(self, archive: str, run: Run) -> None:
        deep: Any = 1
        for _ in range(400):
            deep = [deep]
        add(envelope(msg={"a": deep}))
        for field, found in ((f"a{'.0' * 50}=2", "0\n"), ("a.x=2", "0\n"), ("a=1", "1\n")):
            options = ["--url", archive, "--count", "--field", field]
            assert run("datanommer-grep", *options).stdout == found


class TestOrder:
    def test_the_newest_is_the_last(self, grep: Grep) -> None:
        assert grep("-n", "2") == ["nul", "other"]

    def test_the_newest_is_the_first_in_reverse(self, grep: Grep) -> None:
        assert grep("-r") == ALL[::-1]
        assert grep("--reverse", "--limit", "2") == ["other", "nul"]

    def test_none_is_printed_with_a_limit_of_none(self, grep: Grep) -> None:
        assert grep("-n", "0") == []

    def test_a_limit_that_is_no_number_is_a_usage_error(self, run: Run) -> None:
        for limit in ("x", "-1", "", "1.5", "9" * 30):
            result = run("datanommer-grep", "-n", limit)
            assert (result.returncode, result.stdout) == (2, "")
            assert "Write how many, such as 100." in result.stderr

    def test_any_number_of_messages_comes_in_order_of_time(self, archive: str, run: Run) -> None:
        # More than are read at a time.
        for start in range(0, 2500, 500):
            add_all(
                [envelope(timestamp=MOMENT + (7 * n) % 2500) for n in range(start, start + 500)]
            )
        for options in ([], ["-n", "2400"]):
            shown = run("datanommer-grep", "--url", archive, "--fields", "timestamp", *options)
            seconds = [int(each) - MOMENT for each in shown.stdout.split()]
            assert seconds == list(range(2500))[-2400 if options else 0 :]


class TestText:
    def test_is_a_line_in_words_for_each(self, archive: str, run: Run) -> None:
        add(envelope(BODHI_TOPIC, msg=BODHI_MSG, timestamp=MOMENT))
        assert run("datanommer-grep", "--url", archive).stdout == (
            "2013-02-18T05:55:18Z  org.fedoraproject.stg.bodhi.update.comment  "
            "ralph commented on bodhi update xmonad-0.10-10.fc17 (karma: 0)  "
            "https://bodhi.fedoraproject.org/updates/xmonad-0.10-10.fc17\n"
        )

    def test_is_the_content_where_no_processor_knows_it(self, archive: str, run: Run) -> None:
        add(envelope(msg={"who": "wörld", "n": [1], "bell": "\a", "lines": "a\nb"}))
        add(envelope(msg="x" * 1000, timestamp=MOMENT + 1))
        first, second = run("datanommer-grep", "--url", archive).stdout.splitlines()
        assert first.endswith(r"org.example.dev.demo.hello  who=wörld n=[1] bell=\x07 lines=a b")
        assert second.endswith(f"  {'x' * 157}...")

    def test_scripts_are_put_in_words(self, archive: str, run: Run) -> None:
        topic = "org.fedoraproject.prod.logging.stats.sync.start"
        add(envelope(topic, msg={"host": "log01", "run_id": "42"}))
        assert "log01 started to sync" in run("datanommer-grep", "--url", archive).stdout

    def test_has_colours_on_a_terminal_only(self, some: str, run: Run) -> None:
        for environment in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
            shown = on_a_terminal("datanommer-grep", "--url", some, **environment)
            assert ("\x1b[" in shown) == (not environment)
            table = on_a_terminal("datanommer-grep", "--url", some, "--format=table", **environment)
            assert ("\x1b[" in table) == (not environment)
        assert "\x1b[" not in run("datanommer-grep", "--url", some).stdout

    def test_a_terminal_shows_the_last_hundred(self, archive: str, run: Run) -> None:
        add_all([envelope(timestamp=MOMENT + n) for n in range(130)])
        shown = on_a_terminal("datanommer-grep", "--url", archive, "--fields", "timestamp").split()
        assert shown == [str(MOMENT + n) for n in range(30, 130)]
        all_of_them = on_a_terminal("datanommer-grep", "--url", archive, "-n", "130")
        assert len(all_of_them.splitlines()) == 130
        assert len(run("datanommer-grep", "--url", archive).stdout.splitlines()) == 130

    def test_a_table_fits_the_terminal(self, some: str) -> None:
        shown = on_a_terminal("datanommer-grep", "--url", some, "--format", "table", NO_COLOR="1")
        lines = shown.splitlines()
        assert lines[0].split() == ["ID", "TIME", "TOPIC", "USERS"]
        assert len(lines) == 6
        assert max(map(len, lines)) <= 80

    def test_a_table_cuts_what_is_long_and_no_id(self, some: str, run: Run) -> None:
        options = ["--url", some, "--format", "table", "--fields", "msg_id,msg,topic,time"]
        cut = on_a_terminal("datanommer-grep", *options, COLUMNS="90", NO_COLOR="1")
        assert cut.splitlines()[0].split() == ["MSG_ID", "MSG", "TOPIC", "TIME"]
        assert max(map(len, cut.splitlines())) <= 90
        assert "\N{HORIZONTAL ELLIPSIS}" in cut
        assert all(f"2013-{name} " in cut for name in ALL)
        whole = run("datanommer-grep", *options).stdout
        assert "\N{HORIZONTAL ELLIPSIS}" not in whole
        assert json.dumps(OTHER) in whole


class TestNothing:
    @pytest.mark.parametrize(
        ("options", "hint"),
        [
            ("--category Bodhi", "No message has the category Bodhi. Did you mean bodhi?"),
            ("--user Ralph", "No message has the user Ralph. Did you mean ralph?"),
            ("--user tosh", "No message has the user tosh. Did you mean toshio?"),
            ("--package nope", "No message has the package nope."),
            (
                "--topic koji.biuld",
                f"No message has the topic koji.biuld. Did you mean {PREFIX}.koji.build?",
            ),
            (
                f"--topic {PREFIX}.koji.biuld",
                f"No message has the topic {PREFIX}.koji.biuld. Did you mean {PREFIX}.koji.build?",
            ),
            ("--user raplh", "No message has the user raplh. Did you mean ralph?"),
            ("--user ralph --category koji", ""),
        ],
    )
    def test_says_which_name_is_not_there(
        self, some: str, run: Run, options: str, hint: str
    ) -> None:
        for more in ([], ["--count"]):
            result = run("datanommer-grep", "--url", some, *options.split(), *more)
            assert (result.returncode, result.stdout) == (0, "0\n" if more else "")
            assert result.stderr == (f"{hint}\n" if hint else "")

    @pytest.mark.parametrize("command", ["dump", "dump --format csv", "latest", "stats", "reindex"])
    def test_other_commands_say_so_as_well(self, some: str, run: Run, command: str) -> None:
        result = run("datanommer", *command.split(), "--url", some, "--category", "Bodhi")
        assert result.returncode == 0
        assert result.stderr == "No message has the category Bodhi. Did you mean bodhi?\n"

    def test_an_empty_name_is_a_usage_error(self, run: Run) -> None:
        for option in ("--user", "--category", "--contains", "--topic", "--not-package"):
            result = run("datanommer-grep", option, "")
            assert (result.returncode, result.stdout) == (2, "")
            assert "Is a variable of the shell not set?" in result.stderr

    @pytest.mark.parametrize(
        "options",
        [
            *("--quiet --count", "--quiet --follow", "--quiet --format json", "--count -n 3"),
            *("--count --format csv", "--count --fields id", "--count --reverse"),
        ],
    )
    def test_what_leaves_no_room_for_more_is_a_usage_error(
        self, database: str, run: Run, options: str
    ) -> None:
        result = run("datanommer-grep", "--url", database, *options.split())
        assert (result.returncode, result.stdout) == (2, "")

    @pytest.mark.parametrize(
        ("form", "empty"),
        [
            ("text", ""),
            ("table", ""),
            ("json", "[\n]\n"),
            ("ndjson", ""),
            ("csv", "topic,i\n"),
            ("tsv", "topic\ti\n"),
        ],
    )
    def test_is_the_empty_value_of_the_form(
        self, some: str, run: Run, form: str, empty: str
    ) -> None:
        options = ["--category", "none", "--format", form, "--fields", "topic,i"]
        assert run("datanommer-grep", "--url", some, *options).stdout == empty

    def test_is_an_exit_code_with_quiet(self, some: str, run: Run) -> None:
        for category, code in (("bodhi", 0), ("none", 1)):
            result = run("datanommer-grep", "--url", some, "-q", "--category", category)
            assert (result.returncode, result.stdout, result.stderr) == (code, "", "")


class TestForms:
    def test_json_is_what_a_dump_has(self, some: str, run: Run) -> None:
        for form in ("json", "ndjson"):
            dumped = run("datanommer-dump", "--url", some, "--format", form).stdout
            assert run("datanommer-grep", "--url", some, "--format", form).stdout == dumped

    def test_csv_and_tsv_have_a_header_and_whole_texts(self, archive: str, run: Run) -> None:
        add(envelope('org.example.dev.demo.a,"b"\tc', msg={"who": "wörld"}, username=None))
        options = ["--fields", "topic,msg,username,users"]
        assert run("datanommer-grep", "--url", archive, "--format", "csv", *options).stdout == (
            "topic,msg,username,users\n"
            '"org.example.dev.demo.a,""b""\tc","{""who"": ""w\\u00f6rld""}",,[]\n'
        )
        assert run("datanommer-grep", "--url", archive, "--format", "tsv", *options).stdout == (
            "topic\tmsg\tusername\tusers\n"
            'org.example.dev.demo.a,"b"\\tc\t{"who": "w\\\\u00f6rld"}\t\t[]\n'
        )

    def test_csv_keeps_line_breaks_and_quotes(self, archive: str, run: Run) -> None:
        texts = ["a\nb", "a\rb", "a\r\nb", 'a"b', "a,b", " a ", "'a"]
        add_all([envelope(username=each, timestamp=MOMENT + n) for n, each in enumerate(texts)])
        options = ["--url", archive, "--format", "csv", "--fields", "i,username"]
        result: Any = run("datanommer-grep", *options, text=False)
        _, *rows = csv.reader(io.StringIO(result.stdout.decode(), newline=""))
        assert [username for _, username in rows] == texts

    def test_each_field_can_be_had(self, archive: str, run: Run) -> None:
        from datanommer.commands.output.messages import FIELDS
        from datanommer.models.exchange import found

        add(envelope(BODHI_TOPIC, msg=BODHI_MSG, timestamp=MOMENT + 0.25))
        options = ["--format", "ndjson", "--fields", ",".join(FIELDS)]
        [line] = run("datanommer-grep", "--url", archive, *options).stdout.splitlines()
        shown = json.loads(line)
        assert list(shown) == [name for name in FIELDS if name != "extra"]
        assert shown["time"] == "2013-02-18T05:55:18.25Z"
        assert shown["timestamp"] == MOMENT + 0.25
        assert shown["category"] == "bodhi"
        assert shown["users"] == ["ralph"]
        assert shown["title"] == "bodhi.update.comment"
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", shown["stored_at"])
        assert set(FIELDS) - set(found.FIELDS) == {"title", "subtitle", "link"}

    def test_an_unknown_field_is_a_usage_error(self, run: Run) -> None:
        result = run("datanommer-grep", "--fields", "topic,nope")
        assert result.returncode == 2
        assert "there is no 'nope'; there are id, time," in " ".join(result.stderr.split())

    def test_half_of_a_surrogate_pair_ends_nothing(self, archive: str, run: Run) -> None:
        add_all([envelope(msg={"half": "\ud800"}), envelope(msg={"n": 2}, timestamp=MOMENT + 1)])
        for form in ("text", "table", "json", "ndjson", "csv", "tsv"):
            result = run("datanommer-grep", "--url", archive, "--format", form, "--fields", "msg")
            assert (result.returncode, result.stderr) == (0, "")
            assert r"\ud800" in result.stdout


class Follower:
    """A ``datanommer-grep --follow`` that runs."""

    def __init__(self, url: str, *options: str) -> None:
        command = [script("datanommer-grep"), "--url", url, "--follow", *options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """The next line."""
        return self._lines.get(timeout=30)

    def end(self) -> str:
        """End it; what it said on standard error."""
        self._process.terminate()
        assert self._process.stderr
        said = self._process.stderr.read()
        self._process.wait(30)
        return said


@pytest.fixture
def follow(archive: str) -> Iterator[Callable[..., Follower]]:
    followers: list[Follower] = []

    def follow(*options: str) -> Follower:
        followers.append(Follower(archive, *options))
        return followers[-1]

    yield follow
    for each in followers:
        each.end()


class TestFollow:
    def test_begins_with_the_last_ten_and_goes_on(
        self, archive: str, follow: Callable[..., Follower]
    ) -> None:
        add_all([envelope(msg=n, timestamp=MOMENT + n) for n in range(12)])
        follower = follow("--fields", "msg")
        assert [follower.line() for _ in range(10)] == [str(n) for n in range(2, 12)]
        # Those that arrive late are dated before the others.
        add(envelope(msg="late", timestamp=MOMENT - 100))
        assert follower.line() == "late"

    def test_finds_topics_that_are_new(self, archive: str, follow: Callable[..., Follower]) -> None:
        add(envelope(msg={"n": 1, "found": False}))
        topics = ["--topic", "demo.hello", "--topic", "org.example.*.new.#"]
        follower = follow(*topics, "--fields", "msg", "--field", "n=1")
        assert follower.line() == '{"n": 1, "found": false}'
        add(envelope("org.example.dev.old.thing", msg={"n": 1}))
        add(envelope("org.example.dev.new.thing", msg={"n": 2}))
        add(envelope("org.example.dev.new.thing", msg={"n": 1, "found": True}))
        assert follower.line() == '{"n": 1, "found": true}'

    def test_misses_nothing_that_is_committed_late(
        self, archive: str, follow: Callable[..., Follower]
    ) -> None:
        add(envelope(msg="first"))
        follower = follow("--fields", "msg", "-n", "1")
        assert follower.line() == "first"
        slow = psycopg2.connect(archive)
        slow.cursor().execute(_INSERT, ["slow"])
        add(envelope("org.example.dev.other.hello", msg="fast"))
        time.sleep(0.3)
        slow.commit()
        slow.close()
        assert [follower.line(), follower.line()] == ["slow", "fast"]

    def test_survives_its_database(self, archive: str, follow: Callable[..., Follower]) -> None:
        follower = follow("--fields", "msg")
        add(envelope(msg="before"))
        assert follower.line() == "before"
        with outside(archive) as allow:
            allow(False)
            time.sleep(0.5)
            allow(True)
        bound_engine().dispose()
        add(envelope(msg="after"))
        assert follower.line() == "after"
        said = follower.end()
        assert said.count("Waiting for the database") == 1
        assert said.endswith("The database is back.\n")

    @pytest.mark.parametrize(
        "options", [["--reverse"], ["--before", "now"], ["--format", "json"], ["--format=table"]]
    )
    def test_has_no_end(self, database: str, run: Run, options: list[str]) -> None:
        result = run("datanommer-grep", "--url", database, "--follow", *options)
        assert (result.returncode, "--follow does not end" in result.stderr) == (2, True)


# As a batch does it: the lock first, then the id.
_INSERT = (
    "LOCK TABLE messages IN ROW EXCLUSIVE MODE; "
    "INSERT INTO messages (i, timestamp, msg_id, topic, category, msg) "
    "VALUES (1, now(), %s, 'org.example.dev.demo.hello', 'demo', '\"slow\"')"
)


@contextmanager
def outside(url: str) -> Iterator[Callable[[bool], None]]:
    """Whether anybody may connect to a database; those who are connected are cut off."""
    database = sa.make_url(url)
    admin = psycopg2.connect(database.set(database="postgres").render_as_string(False))
    admin.autocommit = True

    def allow(is_allowed: bool) -> None:
        cursor = admin.cursor()
        cursor.execute(f"ALTER DATABASE {database.database} ALLOW_CONNECTIONS {is_allowed}")
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [database.database],
        )

    yield allow
    admin.close()
