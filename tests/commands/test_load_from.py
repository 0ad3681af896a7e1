"""``datanommer-load --from`` moves the messages of another database, while both are in use."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

import classic
import newer
from bus import eventually
from classic import execute
from copies import copies, hear, records
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope
from halfway import Halfway
from shell import ROOT, Run, peak_memory, script, until_said

LAST = "All messages up to id {0} of the other database are here. To go on from there: --after {0}"


def told(stored: int, duplicates: int = 0, rejected: int = 0) -> str:
    return f"stored {stored}, duplicates {duplicates}, rejected {rejected}\n"


@pytest.fixture
def load(run: Run, database: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Loads from another database into `database`."""
    return lambda *arguments: run("datanommer-load", "--url", database, "--from", *arguments)


Load = Callable[..., "subprocess.CompletedProcess[str]"]


class Follower:
    """A ``datanommer-load --from ... --follow`` that runs."""

    def __init__(self, source: str, url: str) -> None:
        self._process = subprocess.Popen(
            [script("datanommer-load"), "--url", url, "--from", source, "--follow"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._url = url

    def wait_until_it_says(self, expression: str) -> None:
        assert self._process.stderr
        until_said(self._process.stderr, expression)

    def wait_until_it_has(self, number: int) -> None:
        eventually(lambda: self._count() == number, f"{number} messages")

    def _count(self) -> int:
        ((count,),) = execute(self._url, "SELECT count(*) FROM messages")
        return int(count)

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Its exit code, and what it says at its end."""
        self._process.send_signal(number)
        stdout, stderr = self._process.communicate(timeout=30)
        return self._process.returncode, stdout, stderr

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def follow(second_database: str, database: str) -> Iterator[Callable[..., Follower]]:
    """Lets `database` follow another one, by default `second_database`."""
    followers: list[Follower] = []

    def follow(source: str = second_database) -> Follower:
        followers.append(Follower(source, database))
        return followers[-1]

    yield follow
    for each in followers:
        each.kill()


class TestEachLine:
    def test_an_archive_of_this_line_comes_as_it_is(
        self, load: Load, run: Run, archive: str, second_database: str
    ) -> None:
        original = hear(run, second_database)
        result = load(second_database)
        assert (result.returncode, result.stdout) == (0, told(7))
        assert result.stderr == f"{LAST.format(7)}\n"
        assert records(run, archive) == original

    @pytest.mark.parametrize("json_type", ["text", "jsonb"])
    def test_an_archive_of_the_newer_line_comes_with_users_packages_agents_and_ids(
        self,
        load: Load,
        run: Run,
        archive: str,
        second_database: str,
        empty_database: str,
        json_type: Any,
    ) -> None:
        original = hear(run, second_database)
        newer.make(empty_database, json_type)
        newer.add(empty_database, copies_with_names(original))
        assert load(empty_database).stdout == told(7)
        assert records(run, archive) == original

    def test_who_did_it_is_known_where_the_newer_line_knows_it(
        self, load: Load, run: Run, archive: str, empty_database: str
    ) -> None:
        newer.make(empty_database)
        of_amqp = next(each for each in copies() if "sent-at" in each["headers"])
        newer.add(empty_database, [{**of_amqp, "agent_name": "ada", "users": ["ada", "bob"]}])
        load(empty_database)
        (record,) = records(run, archive)
        assert (record["agent"], record["users"], record["username"]) == (
            "ada",
            ["ada", "bob"],
            None,
        )

    @pytest.mark.parametrize("form", ["migrated", "created"])
    def test_an_archive_of_the_classic_line_comes_as_by_its_upgrade(
        self, load: Load, run: Run, archive: str, databases: Callable[[], str], form: Any
    ) -> None:
        source, upgraded = databases(), databases()
        for url in (source, upgraded):
            classic.make(url, form)
            classic.add(url, classic_rows())
        migrations.upgrade(create_engine(upgraded))
        result = load(source)
        assert result.stdout == told(5, rejected=1)
        assert "datanommer-rejected list --limit 1" in result.stderr
        # The upgrade leaves what the archive itself wrote, and finds nobody.
        others = ("source_name", "source_version", "agent")
        by_upgrade, by_load = (without(records(run, url), others) for url in (upgraded, archive))
        assert by_load == by_upgrade
        agents = {record["msg_id"]: record["agent"] for record in records(run, archive)}
        assert agents["2013-bodhi"] == "ralph"

    def test_a_classic_message_that_is_no_json_is_kept_whole(
        self, load: Load, run: Run, archive: str, empty_database: str
    ) -> None:
        classic.make(empty_database)
        smuggled = '1, "users": ["root"]'
        classic.add(empty_database, [{"msg_id": "2013-bad", "_msg": smuggled, "users": ["ada"]}])
        assert load(empty_database).stdout == told(0, rejected=1)
        exported = run("datanommer-rejected", "export", "--url", archive).stdout
        raw = json.loads(exported)["raw"]
        assert (raw["msg_id"], raw["msg"], raw["users"]) == ("2013-bad", smuggled, ["ada"])


def copies_with_names(original: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages as the newer line has them, with the names that the archive of now has."""
    found = {record["msg_id"].rpartition("-")[2]: record for record in original}
    names = [found[each["msg_id"].rpartition("-")[2]] for each in copies()]
    return [
        {**copy, "users": record["users"], "packages": record["packages"]}
        for copy, record in zip(copies(), names, strict=True)
    ]


def classic_rows() -> list[dict[str, Any]]:
    headers = json.dumps({"a": "b"})
    return [
        {"msg_id": "2013-plain", "_msg": '{"b": 1, "a": [1.0, "w\\u00f6rld"]}', "users": ["ada"]},
        {"msg_id": None, "_msg": '"no id"', "timestamp": "2013-02-18 05:55:18.886738"},
        {"msg_id": "2013-bad", "_msg": "not JSON"},
        {
            "msg_id": "2013-bodhi",
            "topic": BODHI_TOPIC,
            "_msg": json.dumps(BODHI_MSG),
            "users": ["ralph"],
            "packages": ["yelp", "kernel"],
        },
        {"msg_id": "2013-headers", "_headers": headers, "username": "apache", "i": 7},
        {"msg_id": "2013-signed", "certificate": "LS0t\n", "crypto": "x509", "signature": "c2ln\n"},
    ]


def without(found: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{key: value for key, value in each.items() if key not in keys} for each in found]


@pytest.fixture
def databases(databases_of_server: Any) -> Iterator[Callable[[], str]]:
    """Makes empty databases."""
    names: list[str] = []

    def create() -> str:
        names.append(databases_of_server.create())
        return str(databases_of_server.url(names[-1]))

    yield create
    for name in names:
        databases_of_server.drop(name)


def test_a_load_from_an_archive_can_be_repeated(load: Load, second_database: str) -> None:
    fill(second_database, 5)
    assert load(second_database).stdout == told(5)
    assert load(second_database).stdout == told(0, duplicates=5)
    assert load(second_database, "--after", "3").stdout == told(0, duplicates=2)
    assert load(second_database, "--after", "5").stdout == told(0)


def test_a_load_from_an_archive_that_broke_off_goes_on_where_it_was(
    load: Load, run: Run, bound: str, second_database: str
) -> None:
    fill(second_database, 2500)
    execute(second_database, "UPDATE messages SET msg_id = '2013-halfway' WHERE id = 2200")
    with (
        Halfway(bound, "INSERT ON messages", "NEW.msg_id = '2013-halfway'") as third_batch,
        subprocess.Popen(
            [script("datanommer-load"), "--url", bound, "--from", second_database],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        third_batch.wait()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, told(2000))
    assert stderr == f"{LAST.format(2000)}\n"
    assert load(second_database, "--after", "2000").stdout == told(500)
    assert records(run, bound) == records(run, second_database)


class TestFollow:
    def test_takes_what_comes_until_it_is_ended(
        self, bound: str, second_database: str, follow: Callable[..., Follower]
    ) -> None:
        fill(second_database, 3)
        follower = follow()
        follower.wait_until_it_says(r"All messages are here, up to id 3\. Following\.")
        fill(second_database, 2, first=3)
        follower.wait_until_it_has(5)
        assert follower.end(signal.SIGTERM) == (130, told(5), f"{LAST.format(5)}\n")

    def test_misses_no_message_whose_transaction_ends_later(
        self, bound: str, second_database: str, follow: Callable[..., Follower]
    ) -> None:
        fill(second_database, 1)
        follower = follow()
        follower.wait_until_it_says("Following")
        late = psycopg2.connect(second_database)
        late.cursor().execute(
            "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
            "VALUES ('2013-late', 1, 'org.example.a.b', 'b', '2013-02-18', '{}')"
        )
        fill(second_database, 1, first=1)
        late.commit()
        late.close()
        follower.wait_until_it_has(3)

    @pytest.mark.parametrize("is_source", [True, False])
    def test_waits_for_a_database_that_is_away(
        self, bound: str, second_database: str, follow: Callable[..., Follower], is_source: bool
    ) -> None:
        away = second_database if is_source else bound
        fill(second_database, 1)
        follower = follow()
        follower.wait_until_it_says("Following")
        allow_connections(away, allowed=False)
        if not is_source:
            fill(second_database, 1, first=1)
        follower.wait_until_it_says("Waiting for a database: ")
        allow_connections(away, allowed=True)
        follower.wait_until_it_says(r"The database is back\.")
        fill(second_database, 1, first=2)
        follower.wait_until_it_has(2 if is_source else 3)


def allow_connections(url: str, *, allowed: bool) -> None:
    """Let nobody connect to a database any more, or everybody again."""
    name = sa.make_url(url).database
    connection = psycopg2.connect(url, dbname="postgres")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {str(allowed).lower()}")
    if not allowed:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
    connection.close()


def fill(url: str, number: int, first: int = 0) -> None:
    """Let another archive than the bound one hear some messages."""
    messages = [envelope(msg_id=f"2013-{first + each:05}") for each in range(number)]
    subprocess.run(
        [script("datanommer-load"), "--url", url],
        input="\n".join(map(json.dumps, messages)),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def test_memory_does_not_depend_on_the_number_of_messages(bound: str, second_database: str) -> None:
    def load() -> int:
        return peak_memory("datanommer-load", "--url", bound, "--from", second_database)

    fill(second_database, 1)
    least = load()
    execute(
        second_database,
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
        "SELECT '2013-large-' || n, 1, 'org.example.a.b', 'b', '2013-02-18', %s "
        "FROM generate_series(1, 200) AS n",
        (json.dumps("x" * 1_000_000),),
    )
    assert load() - least < 150_000


class TestWhatCannotBeLoaded:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--follow"], "name it with --from"),
            (["--after", "5"], "name it with --from"),
            (["--from", "", "--follow"], "it is empty"),
            (["--from", "embedded:///nowhere", "file"], "not both"),
            (["--from", "mysql://ada:secret@example.com/a"], "must look like"),
        ],
    )
    def test_arguments_that_make_no_sense_are_refused(
        self, run: Run, bound: str, tmp_path: Any, arguments: list[str], reason: str
    ) -> None:
        (tmp_path / "file").write_text("")
        result = run("datanommer-load", "--url", bound, *arguments, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert reason in result.stderr
        assert "secret" not in result.stderr

    @pytest.mark.parametrize(
        ("schema", "reason"),
        [
            ("SELECT 1", "has no messages of datanommer"),
            ("CREATE TABLE messages (id int, body text)", "has no messages of datanommer"),
            ("CREATE TABLE messages (id int, _msg text)", "must be at 57be773be52b"),
        ],
    )
    def test_a_database_without_readable_messages_is_told(
        self, load: Load, empty_database: str, schema: str, reason: str
    ) -> None:
        execute(empty_database, schema)
        result = load(empty_database)
        assert (result.returncode, result.stdout) == (1, "")
        assert reason in result.stderr
        assert "Traceback" not in result.stderr

    def test_an_archive_of_this_line_that_is_behind_is_told(
        self, load: Load, empty_database: str
    ) -> None:
        migrations.upgrade(create_engine(empty_database), "5d0c93be174a")
        result = load(empty_database)
        assert result.returncode == 1
        assert "behind this version of datanommer" in result.stderr

    def test_a_server_that_is_away_is_told_without_its_password(self, load: Load) -> None:
        result = load("postgresql://ada:secret@127.0.0.1:1/old")
        assert result.returncode == 69
        assert "postgresql://ada:***@127.0.0.1:1/old does not answer" in result.stderr
        assert "secret" not in result.stderr


@pytest.mark.parametrize("loss", ["SELECT 1", "DROP TABLE alembic_version"])
def test_who_takes_the_newer_line_for_an_archive_of_this_one_is_told_how_to_move_it(
    run: Run, empty_database: str, loss: str
) -> None:
    newer.make(empty_database)
    execute(empty_database, loss)
    commands = [
        ["datanommer-create-db"],
        ["datanommer-latest"],
        ["alembic", "-x", f"url={empty_database}", "upgrade", "+1"],
    ]
    for name, *arguments in commands:
        where = [] if arguments else ["--url", empty_database]
        result = run(name, *arguments, *where, cwd=ROOT)
        assert result.returncode != 0
        assert "datanommer-load --from URL --follow" in result.stderr, name
        assert "Traceback" not in result.stderr
    assert execute(empty_database, "SELECT to_regclass('messages')") == [("messages",)]
