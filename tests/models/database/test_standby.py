"""What a hot standby answers, what it refuses, and what becomes of a hub on one."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import datanommer.models as m
from bus import Archive, Bus, eventually
from certificates import Authority
from classic import execute
from datanommer.commands.command_list import COMMANDS
from datanommer.models import Message, counts
from datanommer.models.classes import Certificate
from datanommer.models.database.binding import bound_engine
from datanommer.models.errors import OnStandby
from datanommer.models.spooling.spool import Spool
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, received
from postgres import Primary
from shell import Run, script
from standby import Standby
from syncs import three_nights

INI = str(Path(m.__file__).with_name("alembic.ini"))
SIGNED_TOPIC = "org.example.dev.signed.hello"

#: What is read, in the words of the shell; VERIFIER stands for a configuration.
READING = [
    *("latest", "latest --overall --timestamp", f"latest --topic {BODHI_TOPIC}"),
    *("grep", "grep --user ralph --format json", "grep --count --topic bodhi.#", "show 1"),
    *("stats", "stats --topic --category bodhi"),
    *("dump", "dump --format ndjson --since 2021-07-20 --category logging"),
    *("rejected list", "rejected show 1", "rejected export"),
    *(
        "runs",
        "runs --format json --since 2021-07-20",
        "runs --check --run-id 6f4dfec9-79d7-49e6-80e0-f2357b63422c",
    ),
    *("validate", "verify --config-filename VERIFIER"),
]
#: What changes something; FILE stands for messages, SPOOL for a spool with some.
WRITING = [
    *("load FILE", "reindex", "rejected retry --all"),
    *("spool drain --spool-dir SPOOL", "spool recover SEGMENT"),
]
#: What programs ask.
ASKED: dict[str, Callable[[], Any]] = {
    "grep": lambda: _shown(Message.grep(rows_per_page=0)[2]),
    "grep of a user": lambda: _shown(Message.grep(users="ralph", order="desc")[2]),
    "grep of topics in a window": lambda: _shown(
        Message.grep(start=0, end=2e9, topics=[BODHI_TOPIC], not_users="toshio")[2]
    ),
    "grep that counts": lambda: Message.grep(not_packages="xmonad")[:2],
    "grep of a text": lambda: _shown(Message.grep(contains="latest datanommer")[2]),
    "grep that is deferred": lambda: _shown(Message.grep(defer=True)[2]),
    "a page by time": lambda: _shown(Message.page(rows_per_page=20).messages),
    "the next page by time": lambda: _shown(
        Message.page(after=Message.page(rows_per_page=20).after, rows_per_page=20).messages
    ),
    "the newest": lambda: _shown([Message.get_first(order="desc")]),
    "one message": lambda: _shown([Message.from_msg_id("2013-known")]),
    "a query": lambda: Message.make_query(categories="logging").count(),
    "a count": lambda: Message.count(users="ralph"),
    "the categories": counts.categories,
    "the topics": counts.topics,
    "counts by topic": lambda: counts.by_topic(packages="xmonad"),
    "counts by user": counts.by_user,
    "a certificate": lambda: [bytes(each.sha256) for each in Certificate.query],
}


def _shown(messages: Any) -> list[dict[str, Any]]:
    return [{**each.as_dict(), "body": each.body} for each in messages]


@pytest.fixture(scope="module")
def primary() -> Iterator[Primary]:
    primary = Primary()
    yield primary
    primary.close()


@pytest.fixture(scope="module")
def standby(primary: Primary) -> Iterator[Standby]:
    standby = Standby(primary)
    yield standby
    standby.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.issue("shell.test")
    return authority


@pytest.fixture(scope="module")
def name(primary: Primary, standby: Standby, authority: Authority) -> str:
    """The name of a database that has something of everything, on both servers."""
    name = primary.create_database()
    messages = [
        envelope(BODHI_TOPIC, msg=BODHI_MSG, msg_id="2013-known"),
        *(envelope() for _ in range(60)),
        authority.sign(envelope(SIGNED_TOPIC), "shell.test"),
        envelope(SIGNED_TOPIC, certificate="c", signature="s", crypto="x509"),
        *three_nights(),
        envelope(i=2**63),
    ]
    with bound_to(primary.own_url(name)):
        assert m.add_all(messages).rejected == 1
    standby.wait_for_replay()
    return name


@contextlib.contextmanager
def bound_to(url: str) -> Iterator[None]:
    m.init(url)
    try:
        yield
    finally:
        m.session.remove()
        bound_engine().dispose()


def test_each_command_is_tried_on_a_standby() -> None:
    tried = {words.split()[0] for words in READING + WRITING}
    apart = {"completion", "create-db", "embedded", "export", "prune", "report", "status"}
    assert tried | apart == set(COMMANDS)


@pytest.mark.parametrize("words", READING)
def test_a_command_that_reads_prints_what_it_prints_on_the_primary(
    primary: Primary,
    standby: Standby,
    name: str,
    words: str,
    run: Run,
    authority: Authority,
    tmp_path: Path,
) -> None:
    (tmp_path / "fedmsg.py").write_text(f"config = {authority.config!r}\n")
    arguments = words.replace("VERIFIER", str(tmp_path / "fedmsg.py")).split()
    shown = [
        run("datanommer", *arguments, "--url", server.own_url(name))
        for server in (primary, standby)
    ]
    on_primary, on_standby = ((each.returncode, each.stdout, each.stderr) for each in shown)
    assert on_standby == on_primary
    assert on_standby[1]


def test_a_report_says_what_it_says_of_the_primary(
    primary: Primary, standby: Standby, name: str, run: Run
) -> None:
    said = []
    for server in (primary, standby):
        url = server.own_url(name)
        made = run("datanommer-report", "--url", url, "--since", "2013", "-")
        assert (made.returncode, made.stderr) == (0, "")
        # The files of a standby may have other sizes.
        counted = made.stdout.partition("<h2>Messages by")[2].partition("<h2>Size and growth")[0]
        said.append(counted)
    assert said[0] == said[1]
    assert "demo 60" in said[1].replace("<bdi>", "").replace("</bdi> <span>", " ")


@pytest.mark.parametrize("asked", ASKED)
def test_a_program_gets_what_it_gets_from_the_primary(
    primary: Primary, standby: Standby, name: str, asked: str
) -> None:
    found = []
    for server in (primary, standby):
        with bound_to(server.own_url(name)):
            found.append(ASKED[asked]())
    assert found[0] == found[1]
    assert found[1]


def test_a_program_that_makes_sure_of_the_tables_may_name_a_standby(
    standby: Standby, name: str
) -> None:
    m.init(standby.own_url(name), create=True)
    try:
        assert Message.count()
    finally:
        m.session.remove()
        bound_engine().dispose()


def test_messages_cannot_be_followed_there(standby: Standby, name: str, run: Run) -> None:
    result = run("datanommer-grep", "--url", standby.own_url(name), "--follow")
    assert (result.returncode, result.stdout) == (1, "")
    assert "Ask the primary" in result.stderr


def test_nothing_is_exported_there(standby: Standby, name: str, run: Run, tmp_path: Path) -> None:
    result = run("datanommer-export", "--url", standby.own_url(name), str(tmp_path / "folder"))
    assert (result.returncode, result.stdout) == (1, "")
    assert "is a standby" in result.stderr
    assert "Name the primary" in result.stderr
    assert not (tmp_path / "folder").exists()


def test_pages_by_id_are_refused_with_advice(primary: Primary, standby: Standby, name: str) -> None:
    with bound_to(primary.own_url(name)):
        assert Message.page(by="id").messages
    with (
        bound_to(standby.own_url(name)),
        pytest.raises(OnStandby, match="Ask the primary, or read them"),
    ):
        Message.page(by="id")


def test_a_standby_does_not_show_who_writes_on_the_primary(
    primary: Primary, standby: Standby, name: str
) -> None:
    # Why pages by id are refused there.
    slow = primary.connect(name)
    slow.autocommit = False
    slow.cursor().execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
    try:
        standby.wait_for_replay()
        locks = "SELECT 1 FROM pg_locks WHERE relation = 'messages'::regclass"
        assert primary.execute(locks, name) == [(1,)]
        assert standby.execute(locks, name) == []
    finally:
        slow.close()


@pytest.mark.parametrize("words", WRITING)
def test_a_command_that_writes_says_that_it_is_a_standby_and_what_to_do(
    standby: Standby, name: str, words: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "messages.json").write_text(json.dumps([envelope()]))
    spool = Spool(tmp_path / "spool", min_free_bytes=0)
    spool.put([received(envelope())])
    paths = {
        "FILE": tmp_path / "messages.json",
        "SPOOL": spool.folder,
        "SEGMENT": max(spool.folder.iterdir(), key=lambda file: file.stat().st_size),
    }
    arguments = [str(paths.get(word, word)) for word in words.split()]
    _require_told(run("datanommer", *arguments, "--url", standby.own_url(name)))
    assert spool.waiting().messages == 1


def _require_told(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode in {1, 255}
    assert "is a standby, which takes no changes" in ended.stderr
    assert "primary" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("is_empty", [False, True])
def test_migrations_say_it_too(
    primary: Primary, standby: Standby, run: Run, is_empty: bool
) -> None:
    name = primary.create_database(is_empty=is_empty)
    standby.wait_for_replay()
    url = standby.own_url(name)
    step = ["upgrade", "head"] if is_empty else ["downgrade", "-1"]
    _require_told(run("alembic", "-c", INI, "-x", f"url={url}", *step))
    made = run("datanommer-create-db", "--url", url)
    if is_empty:
        _require_told(made)
    else:
        assert "has all tables already" in made.stderr


def test_a_command_that_reads_for_too_long_is_told_how_a_standby_lets_it(
    primary: Primary, standby: Standby
) -> None:
    name = primary.create_database()
    primary.execute(
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) SELECT n, 0, 't', 'c', "
        "now(), to_json(repeat('x', 2000)) FROM generate_series(1, 10000) n",
        name,
    )
    standby.wait_for_replay()
    standby.set("max_standby_streaming_delay", "2s")
    dump = subprocess.Popen(
        [script("datanommer-dump"), "--url", standby.own_url(name)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert dump.stdout
    dump.stdout.read(1)
    primary.execute("DELETE FROM messages", name)
    primary.execute("VACUUM messages", name)
    conflict = (
        "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup' "
        "AND wait_event LIKE 'RecoveryConflict%'"
    )
    eventually(lambda: standby.execute(conflict), "the standby to wait for the dump")
    eventually(lambda: not standby.execute(conflict), "the standby to wait no longer")
    _, told = dump.communicate()
    standby.set("max_standby_streaming_delay", "30s")
    assert dump.returncode == 69
    assert "conflict with recovery" in told
    assert "hot_standby_feedback" in told


class TestAHub:
    """Each has a pair of servers of its own, as one of them does not outlive it."""

    @pytest.fixture
    def pair(self) -> Iterator[tuple[Primary, Standby]]:
        with contextlib.ExitStack() as servers:
            primary = servers.enter_context(contextlib.closing(Primary()))
            yield primary, servers.enter_context(contextlib.closing(Standby(primary)))

    @pytest.fixture
    def bus(self, tmp_path: Path) -> Iterator[Bus]:
        bus = Bus(tmp_path)
        bus.config["datanommer.spool_min_free_bytes"] = 0
        yield bus
        bus.close()

    def test_on_a_standby_keeps_what_it_hears_until_that_is_promoted(
        self, pair: tuple[Primary, Standby], bus: Bus
    ) -> None:
        primary, standby = pair
        name = primary.create_database()
        standby.wait_for_replay()
        bus.config["datanommer.sqlalchemy.url"] = standby.url(name)
        hub = bus.start_hub()
        hub.wait_until_it_says("is a standby, which takes no changes")
        sent = [envelope() for _ in range(5)]
        bus.publisher.publish(*sent)
        spool = Spool(Path(bus.config["datanommer.spool_dir"]))
        eventually(lambda: spool.waiting().messages == 5, "all to be on the disk")
        primary.stop(immediately=True)
        standby.promote()
        with contextlib.closing(Archive(standby.url(name))) as archive:
            for each in sent:
                archive.wait_for(each)
        hub.wait_until_it_says("all that waited is stored")
        assert "Traceback" not in hub.log

    def test_goes_on_with_a_standby_that_is_promoted_when_the_primary_is_lost(
        self, pair: tuple[Primary, Standby], bus: Bus
    ) -> None:
        primary, standby = pair
        name = primary.create_database()
        # What has to be on the disk of the standby, too, before it counts as stored.
        standby.be_synchronous(True)
        primary.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in pair)
        bus.config["datanommer.sqlalchemy.url"] = (
            f"postgresql://hub@/{name}?{hosts}&target_session_attrs=read-write"
        )
        hub = bus.start_hub()
        before, after = ([envelope() for _ in range(50)] for _ in range(2))
        bus.publisher.publish(*before)
        with contextlib.closing(Archive(primary.url(name))) as archive:
            archive.wait_for(before[-1])
        primary.kill()
        bus.publisher.publish(*after)
        hub.wait_until_it_says("The database does not take messages")
        standby.promote()
        with contextlib.closing(Archive(standby.url(name))) as archive:
            archive.wait_for(after[-1])
            stored = [message.msg_id for message in archive.messages()]
        assert stored == [each["body"]["msg_id"] for each in before + after]
        assert "Traceback" not in hub.log


def test_what_was_on_the_primary_alone_may_be_held_back(primary: Primary, standby: Standby) -> None:
    name = primary.create_database()
    standby.wait_for_replay()
    standby.set("recovery_min_apply_delay", "1h")
    execute(primary.own_url(name), "INSERT INTO users VALUES ('ralph')")
    assert standby.execute("SELECT * FROM users", name) == []
    standby.set("recovery_min_apply_delay", "0")
    standby.wait_for_replay()
    assert standby.execute("SELECT * FROM users", name) == [("ralph",)]


def status(run: Run, url: str) -> tuple[Any, str]:
    """What ``datanommer-status`` says of the standbys, and all that is wrong."""
    shown = run("datanommer-status", "--url", url, "--format", "json")
    assert (shown.returncode, shown.stderr) == (0, "")
    seen = json.loads(shown.stdout)
    return seen["standbys"], " ".join(each["text"] for each in seen["findings"])


@pytest.mark.usefixtures("standby")
def test_the_status_of_the_primary_says_how_far_its_standby_is(
    primary: Primary, name: str, run: Run
) -> None:
    ((follower,), wrong) = status(run, primary.own_url(name))
    assert (follower["name"], follower["is_streaming"], wrong) == ("standby", True, "")
    assert follower["behind"] >= 0
    # The hub's role may not see it.
    ((follower,), _) = status(run, primary.url(name))
    assert (follower["is_streaming"], follower["behind"]) == (None, None)
    page = run("datanommer-status", "--url", primary.url(name)).stdout
    assert re.search(r"^standby: .* only a role with pg_monitor sees how far$", page, re.MULTILINE)


def test_the_status_of_a_standby_says_how_far_it_is(
    primary: Primary, standby: Standby, name: str, run: Run
) -> None:
    standby.wait_for_replay()
    url = standby.url(name)
    ((itself,), wrong) = status(run, url)
    assert (itself["is_streaming"], wrong) == (True, "")
    standby.set("recovery_min_apply_delay", "1h")
    primary.execute("CREATE TABLE more ()", name)
    primary.execute("DROP TABLE more", name)
    assert status(run, url)[0][0]["lag"] > 0
    standby.set("recovery_min_apply_delay", "0")


def test_the_status_of_a_standby_warns_where_it_gets_nothing(
    standby: Standby, name: str, run: Run
) -> None:
    ((conninfo,),) = standby.execute("SELECT current_setting('primary_conninfo')")
    standby.fall_behind()
    try:
        count = "SELECT count(*) FROM pg_stat_wal_receiver"
        eventually(lambda: standby.execute(count) == [(0,)], "the end of the stream")
        checked = run("datanommer-status", "--check", "--url", standby.url(name))
        assert checked.returncode == 1
        assert "this server, a standby, gets nothing" in checked.stdout
        assert re.search(r" lag=\d+s ", checked.stdout)
    finally:
        standby.set("primary_conninfo", conninfo.replace("'", "''"))
    standby.wait_for_replay()
