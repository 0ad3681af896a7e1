"""What crosses a real RabbitMQ is stored by the callback of a real ``fedora-messaging consume``."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import classic
from bus import Archive, Bus, Daemon, end, eventually
from datanommer.models.configuration import URL_VARIABLE
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from envelopes import BODHI_MSG, bridged, line
from faults import fault
from faults.proxy import Proxy
from faults.scene import Database
from faults.server import Server
from ports import free_port
from postgres import Primary
from rabbitmq import ADDRESS, CALLBACK, Broker
from scrape import scrape_until
from shell import ROOT, Run, script
from standby import Standby

#: The message of the document that describes the messages of scripts.
TEST_MESSAGE = {
    "body": {"test_key1": "test_value1"},
    "headers": {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": 20,
        "sent-at": "2021-07-21T12:23:12+00:00",
    },
    "id": "6f4dfec9-80d7-49e6-80e0-f2357b63422c",
    "queue": "this shouldn't matter",
    "topic": "test",
}

#: Each topic of that document below ``logging.stats``, with a message as a script sends it.
SCRIPT_TOPICS = {
    "debug.anything": "text=w\u00f6rld",
    "sync.start": "run_id=r",
    "sync.host.start": "run_id=r synced_host=proxy01",
    "sync.host.skip": "run_id=r synced_host=proxy02 reason='Synced host unknown'",
    "sync.host.logdate.start": "run_id=r synced_host=proxy01 log_date=2021-07-20",
    "sync.host.logdate.fail.retry": "run_id=r synced_host=proxy01 reason='timed out' tries:int=2",
    "sync.host.logdate.fail.final": "run_id=r synced_host=proxy01 reason='timed out'",
    "sync.host.logdate.finish": "run_id=r synced_host=proxy01 log_date=2021-07-20",
    "sync.host.finish": "run_id=r synced_host=proxy01",
    "sync.finish": "run_id=r",
}

Start = Callable[..., Daemon]


@pytest.fixture
def start(broker: Broker, tmp_path: Path) -> Iterator[Start]:
    """Start a consumer that listens to the broker."""
    started = []

    def start(*, is_to_fail: bool = False, **changes: int) -> Daemon:
        conf = broker.configuration(**changes)
        consumer = Daemon("fedora-messaging", "--conf", conf, "consume", CALLBACK, folder=tmp_path)
        started.append(consumer)
        if not is_to_fail:
            consumer.wait_until_it_says("Successfully registered AMQP consumer")
        return consumer

    yield start
    end(started)


@pytest.fixture
def url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database at head, which consumers find."""
    monkeypatch.setenv(URL_VARIABLE, database)
    return database


@pytest.fixture
def archive(url: str) -> Iterator[Archive]:
    archive = Archive(url)
    yield archive
    archive.close()


def contents(archive: Archive) -> list[Any]:
    return [message.msg for message in archive.messages()]


def wait_for(archive: Archive, number: int) -> None:
    eventually(lambda: archive.count() >= number, f"{number} messages")


def test_the_test_message_is_stored_and_acknowledged(
    broker: Broker, start: Start, archive: Archive, run: Run
) -> None:
    consumer = start()
    published = run(
        "fedora-messaging",
        *("--conf", broker.configuration(), "publish", "-"),
        input=json.dumps(TEST_MESSAGE) + "\n",
    )
    assert published.returncode == 0, published.stdout + published.stderr
    stored = archive.wait_for({"body": {"msg_id": f"2021-{TEST_MESSAGE['id']}"}})
    assert stored.topic == "org.fedoraproject.stg.test"
    assert stored.category == "test"
    assert stored.msg == TEST_MESSAGE["body"]
    assert stored.timestamp == datetime(2021, 7, 21, 12, 23, 12)  # noqa: DTZ001  naive UTC
    assert stored.headers.items() >= line(sent_at="2021-07-21T12:23:12+00:00")["headers"].items()

    consumer.wait_until_it_says("Acknowledged 1 messages")
    consumer.send(signal.SIGTERM)
    assert consumer.exit_code() == 0
    assert broker.waiting() == 0


def test_what_a_script_sends_is_printed_by_datanommer_latest(
    broker: Broker,
    start: Start,
    archive: Archive,
    url: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = {"test": "test_key1=test_value1"} | {
        f"logging.stats.{topic}": fields for topic, fields in SCRIPT_TOPICS.items()
    }
    bash = ["set -euo pipefail", f". '{ROOT / 'contrib' / 'send_bus_msg.sh'}'"]
    bash += [f"send_bus_msg {topic} host=log01 {fields}" for topic, fields in calls.items()]
    monkeypatch.setenv("FEDORA_MESSAGING_CONF", broker.configuration())
    monkeypatch.setenv("PATH", f"{Path(script('python')).parent}:{os.environ['PATH']}")
    start()
    sent = subprocess.run(
        ["bash", "-c", "\n".join(bash)], capture_output=True, text=True, check=False
    )
    assert (sent.returncode, sent.stdout, sent.stderr) == (0, "", "")
    wait_for(archive, len(calls))
    assert [message.topic for message in archive.messages()] == [
        f"org.fedoraproject.stg.{topic}" for topic in calls
    ]
    bodies = {}
    for topic in calls:
        full = f"org.fedoraproject.stg.{topic}"
        result = run("datanommer-latest", "--url", url, "--topic", full)
        ((category, shown),) = json.loads(result.stdout)[0].items()
        assert category == ("test" if topic == "test" else "logging")
        assert (shown["topic"], shown["msg"]["host"]) == (full, "log01")
        bodies[topic] = shown["msg"]
    assert bodies["test"] == {"host": "log01", "test_key1": "test_value1"}
    assert bodies["logging.stats.debug.anything"]["text"] == "w\u00f6rld"
    assert bodies["logging.stats.sync.host.logdate.fail.retry"]["tries"] == 2


def test_users_and_packages_are_stored(broker: Broker, start: Start, archive: Archive) -> None:
    sent = line("bodhi.update.comment", body=BODHI_MSG)
    start()
    broker.send(sent, prefix="org.fedoraproject.prod")
    stored = archive.wait_for({"body": {"msg_id": f"2021-{sent['id']}"}})
    assert [user.name for user in stored.users] == ["ralph"]
    assert [package.name for package in stored.packages] == ["xmonad"]


def test_a_message_that_also_comes_over_a_bridge_is_stored_once(
    broker: Broker, start: Start, archive: Archive, tmp_path: Path
) -> None:
    new_years_eve = "2020-12-31T23:59:59+00:00"
    new_year = int(datetime(2021, 1, 1, tzinfo=UTC).timestamp())
    over_amqp, over_fedmsg = line(sent_at=new_years_eve), line(sent_at=new_years_eve)
    start()
    bus = Bus(tmp_path)
    try:
        hub = bus.start_hub()
        with_prefix = [
            bridged({**each, "topic": f"org.fedoraproject.stg.{each['topic']}"}, new_year)
            for each in (over_amqp, over_fedmsg)
        ]
        broker.send(over_amqp)
        first = archive.wait_for({"body": {"msg_id": f"2020-{over_amqp['id']}"}})
        bus.publisher.publish(*with_prefix)
        second = archive.wait_for(with_prefix[1])
        broker.send(over_fedmsg)
        eventually(lambda: has_consumed(start_log(tmp_path), 2), "the second to be consumed")
        assert [message.msg_id for message in archive.messages()] == [first.msg_id, second.msg_id]
        assert archive.rejected() == []
        assert hub.is_alive
    finally:
        bus.close()


def start_log(folder: Path) -> str:
    return "".join(file.read_text() for file in folder.glob("fedora-messaging-*.log"))


def has_consumed(log: str, number: int) -> bool:
    return sum(map(int, re.findall("Acknowledged ([0-9]+) messages", log))) >= number


def test_what_record_wrote_is_loaded_as_what_came_over_amqp(
    broker: Broker, start: Start, archive: Archive, url: str, run: Run, tmp_path: Path
) -> None:
    sent = [line(body={"text": "w\u00f6rld \u2028"}), line("logging.stats.sync.start")]
    broker.declare_queue()
    for each in sent:
        broker.send(each)
    recorded = tmp_path / "recorded"
    conf = broker.configuration()
    result = run("fedora-messaging", "--conf", conf, "record", "--limit", "2", str(recorded))
    assert result.returncode == 0, result.stdout + result.stderr
    loaded = run("datanommer-load", "--url", url, str(recorded))
    assert loaded.stdout == "stored 2, duplicates 0, rejected 0\n"
    assert contents(archive) == [each["body"] for each in sent]
    assert [message.headers for message in archive.messages()] == [each["headers"] for each in sent]
    start()
    for each in sent:
        broker.send(each)
    eventually(lambda: has_consumed(start_log(tmp_path), 2), "both to be consumed")
    assert len(archive.messages()) == 2


def test_headers_that_json_has_no_form_for_become_text(
    broker: Broker, start: Start, archive: Archive
) -> None:
    moved = {**line()["headers"], "x-death": [{"time": datetime(2021, 7, 21)}], "raw": b"\xff"}  # noqa: DTZ001
    start()
    broker.publish("org.example.dev.moved", b'{"n": 2}', moved, "moved")
    wait_for(archive, 1)
    headers = archive.messages()[0].headers
    assert headers["x-death"] == [{"time": "2021-07-21T00:00:00+00:00"}]
    assert headers["raw"] == "\udcff"


def test_what_can_be_read_and_not_stored_is_rejected_as_an_envelope(
    broker: Broker, start: Start, archive: Archive
) -> None:
    consumer = start()
    broker.send(line("poison", body={"n": math.nan}))
    consumer.wait_until_it_says("Rejected (invalid)")
    consumer.wait_until_it_says("Acknowledged 1 messages")
    (rejected,) = archive.rejected()
    assert (rejected.kind, rejected.topic) == ("invalid", "org.fedoraproject.stg.poison")
    assert json.loads(rejected.raw)["body"]["msg"].keys() == {"n"}
    assert broker.waiting() == broker.waiting(broker.dead) == 0


def transactions(archive: Archive) -> int:
    """How many transactions have stored the messages."""
    return int(archive.scalar("SELECT count(DISTINCT xmin::text) FROM messages"))


class TestBatches:
    def test_a_backlog_is_stored_in_batches_in_its_order(
        self, broker: Broker, start: Start, archive: Archive, tmp_path: Path
    ) -> None:
        broker.declare_queue()
        sent = send(broker, 500)
        consumer = start(prefetch_count=100)
        eventually(lambda: has_consumed(start_log(tmp_path), 500), "all to be acknowledged")
        assert contents(archive) == sent
        assert transactions(archive) <= 50
        consumer.send(signal.SIGTERM)
        assert consumer.exit_code() == 0
        assert broker.waiting() == 0

    def test_poison_and_duplicates_in_a_batch_keep_nothing_from_being_stored(
        self, broker: Broker, start: Start, archive: Archive, tmp_path: Path
    ) -> None:
        broker.declare_queue()
        good = line()
        broker.send(good, line(body={"n": math.nan}), good, line(body="x" * 65 * 1024**2))
        broker.publish("org.example.dev.bare", b"{", None)
        broker.send(line(body={"n": "last"}))
        start()
        eventually(lambda: has_consumed(start_log(tmp_path), 6), "all to be acknowledged")
        assert contents(archive) == [good["body"], {"n": "last"}]
        assert len(archive.rejected()) == 3

    def test_the_statistics_of_fedora_messaging_count_each_message(
        self, broker: Broker, start: Start, archive: Archive, tmp_path: Path
    ) -> None:
        broker.declare_queue()
        broker.send(*(line() for _ in range(20)))
        broker.publish("org.example.dev.bare", b"{", None)
        port = free_port()
        start(monitoring_port=port)
        eventually(lambda: has_consumed(start_log(tmp_path), 21), "all to be acknowledged")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready") as answer:
            told = json.load(answer)["consumed"]
        none = {"rejected": 0, "dropped": 0, "failed": 0}
        assert told == {"received": 21, "processed": 21, **none}

    def test_prometheus_sees_each_message(
        self, broker: Broker, start: Start, archive: Archive, tmp_path: Path
    ) -> None:
        address = f"127.0.0.1:{free_port()}"
        (tmp_path / "fedmsg.d").mkdir()
        config = f"config = {{'datanommer.amqp_metrics': {address!r}}}"
        (tmp_path / "fedmsg.d" / "test.py").write_text(config)
        broker.declare_queue()
        broker.send(*(line() for _ in range(20)))
        broker.publish("org.example.dev.bare", b"{", None)
        start()
        count = "datanommer_commit_delay_seconds_count"
        scraped = scrape_until(address, count, 21, road="amqp")
        for fate, number in {"received": 21, "stored": 20, "rejected": 1, "lost": 0}.items():
            assert scraped.of(f"datanommer_messages_{fate}_total", road="amqp") == number
        assert scraped.of("datanommer_batch_messages_sum", road="amqp") == 21
        assert "datanommer_waiting_messages" not in scraped.names()

    def test_two_consumers_share_a_queue(
        self, broker: Broker, start: Start, archive: Archive, tmp_path: Path
    ) -> None:
        start()
        start()
        sent = send(broker, 200)
        eventually(lambda: has_consumed(start_log(tmp_path), 200), "all to be acknowledged")
        assert sorted(each["n"] for each in contents(archive)) == [each["n"] for each in sent]
        assert archive.rejected() == []


class TestStart:
    @pytest.mark.parametrize(
        "change",
        [
            "from fedora_messaging.twisted.consumer import Consumer; del Consumer._read_one",
            "from fedora_messaging.twisted import protocol; del protocol.Consumer",
            "from pika import spec; spec.props.clear()",
        ],
    )
    def test_with_a_fedora_messaging_of_other_inner_parts_it_ends_and_says_so(
        self, url: str, change: str
    ) -> None:
        program = f"{change}\nfrom datanommer.consumer import Callback; Callback()"
        ended = subprocess.run(
            [script("python"), "-c", program], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 1
        (said,) = ended.stderr.splitlines()
        assert "datanommer cannot start" in said
        assert "fedora-messaging 3." in said

    def test_with_a_url_that_cannot_be_used_it_ends_as_systemd_expects_of_a_failure(self) -> None:
        ended = subprocess.run(
            [script("python"), "-c", "from datanommer.consumer import Callback; Callback()"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, URL_VARIABLE: "postgresql://u:x@s3cret@127.0.0.1/x"},
        )
        assert ended.returncode == 1
        (said,) = ended.stderr.splitlines()
        assert "datanommer cannot start" in said
        assert "Write an @ in a password as %40" in said
        assert "s3cret" not in said

    def test_without_a_database_it_ends_and_says_where_it_looked(self, start: Start) -> None:
        consumer = start(is_to_fail=True)
        assert consumer.exit_code() == 69
        assert "No database is named" in consumer.log
        assert "Traceback" not in consumer.log

    def test_on_an_empty_database_it_ends_and_says_what_to_type(
        self, start: Start, empty_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(URL_VARIABLE, empty_database)
        consumer = start(is_to_fail=True)
        assert consumer.exit_code() == 1
        assert "datanommer-create-db" in consumer.log
        assert "Traceback" not in consumer.log

    def test_on_a_database_that_is_behind_messages_wait_in_their_queue_until_it_is_upgraded(
        self, broker: Broker, start: Start, empty_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        classic.make(empty_database)
        monkeypatch.setenv(URL_VARIABLE, empty_database)
        consumer = start()
        assert "alembic upgrade +1" in consumer.log
        sent = send(broker, 3)
        consumer.wait_until_it_says("The database does not take messages")
        assert classic.execute(empty_database, "SELECT * FROM messages") == []
        engine = create_engine(empty_database)
        migrations.upgrade(engine)
        engine.dispose()
        with contextlib.closing(Archive(empty_database)) as archive:
            eventually(lambda: contents(archive) == sent, "all messages")
        consumer.wait_until_it_says("The database takes messages again")

    def test_on_a_standby_messages_wait_in_their_queue_until_it_is_promoted(
        self, broker: Broker, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            contextlib.closing(Primary()) as primary,
            contextlib.closing(Standby(primary)) as standby,
        ):
            name = primary.create_database()
            standby.wait_for_replay()
            monkeypatch.setenv(URL_VARIABLE, standby.url(name))
            consumer = start()
            sent = send(broker, 3)
            consumer.wait_until_it_says("They wait in their queue")
            assert "is a standby, which takes no changes" in consumer.log
            primary.stop(immediately=True)
            standby.promote()
            with contextlib.closing(Archive(standby.url(name))) as archive:
                eventually(lambda: contents(archive) == sent, "all messages")
            consumer.wait_until_it_says("The database takes messages again")

    def test_the_sample_configuration_works_but_for_its_names(
        self, broker: Broker, archive: Archive, tmp_path: Path
    ) -> None:
        conf = broker.sample()
        broker.declare_queue(as_in_sample=True)
        sent = line()
        broker.send(sent)
        consumer = Daemon("fedora-messaging", "--conf", conf, "consume", folder=tmp_path)
        try:
            archive.wait_for({"body": {"msg_id": f"2021-{sent['id']}"}})
            assert "datanommer writes to postgresql://" in consumer.log
        finally:
            end([consumer])


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def frail(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that can be broken, which consumers find."""
    database = Database(postgres)
    monkeypatch.setenv(URL_VARIABLE, database.url)
    yield database
    database.close()


@pytest.fixture
def frail_archive(frail: Database) -> Iterator[Archive]:
    archive = Archive(frail.own_url)
    yield archive
    archive.close()


def send(broker: Broker, number: int) -> list[Any]:
    """Send so many messages; their contents."""
    lines = [line() for _ in range(number)]
    broker.send(*lines)
    return [each["body"] for each in lines]


class TestNothingIsLost:
    def test_while_the_database_is_away_messages_wait_without_being_sent_again(
        self, broker: Broker, start: Start, frail: Database, frail_archive: Archive
    ) -> None:
        consumer = start()
        sent = send(broker, 1)
        eventually(lambda: contents(frail_archive) == sent, "the first message")
        with fault.stopped(frail):
            sent += send(broker, 15)
            consumer.wait_until_it_says("The database does not take messages")
            time.sleep(1)  # for a loop to turn many times, if there is one
            assert consumer.log.count("Took") == 2
            assert broker.waiting() == 5  # the rest is with the consumer
        eventually(lambda: contents(frail_archive) == sent, "all messages")
        consumer.wait_until_it_says("The database takes messages again")
        assert "Returning" not in consumer.log

    def test_a_consumer_that_starts_without_the_database_waits_for_it(
        self, broker: Broker, start: Start, frail: Database, frail_archive: Archive
    ) -> None:
        with fault.stopped(frail):
            consumer = start()
            assert "The database does not take messages" in consumer.log
            assert "does not answer" in consumer.log
            sent = send(broker, 3)
        eventually(lambda: contents(frail_archive) == sent, "all messages")

    def test_a_consumer_that_is_told_to_end_gives_back_what_it_has(
        self, broker: Broker, start: Start, frail: Database, frail_archive: Archive
    ) -> None:
        consumer = start()
        with fault.stopped(frail):
            sent = send(broker, 15)
            consumer.wait_until_it_says("The database does not take messages")
            consumer.send(signal.SIGTERM)
            assert consumer.exit_code() == 0
            eventually(lambda: broker.waiting() == len(sent), "all messages in the queue")
        start()
        wait_for(frail_archive, len(sent))

    def test_kill_9_neither_loses_a_message_nor_stores_one_twice(
        self, broker: Broker, start: Start, frail: Database, frail_archive: Archive
    ) -> None:
        sent: list[Any] = []
        consumer = start()
        for _ in range(2):
            sent += send(broker, 40)
            wait_for(frail_archive, len(sent) - 30)
            consumer.kill()
            consumer = start()
        wait_for(frail_archive, len(sent))
        assert sorted(each["n"] for each in contents(frail_archive)) == [each["n"] for each in sent]
        assert frail_archive.rejected() == []

    def test_kill_9_in_a_batch_loses_nothing_that_was_acknowledged(
        self, broker: Broker, start: Start, frail: Database, frail_archive: Archive
    ) -> None:
        broker.declare_queue()
        sent = send(broker, 1000)
        with fault.locked(frail):
            consumer = start(prefetch_count=100)
            consumer.wait_until_it_says("Took")
            consumer.kill()
        consumer = start(prefetch_count=100)
        wait_for(frail_archive, 200)
        consumer.kill()
        eventually(
            lambda: broker.waiting() + len(frail_archive.messages()) >= len(sent),
            "what was not acknowledged to be in the queue",
        )
        start(prefetch_count=100)
        wait_for(frail_archive, len(sent))
        eventually(lambda: broker.waiting() == 0, "an empty queue")
        assert sorted(each["n"] for each in contents(frail_archive)) == [each["n"] for each in sent]
        assert frail_archive.rejected() == []

    def test_a_message_that_is_stored_but_not_acknowledged_is_stored_once(
        self, broker: Broker, start: Start, frail: Database, frail_archive: Archive
    ) -> None:
        network = Proxy(ADDRESS[1])
        consumer = start(port=network.port)
        with fault.locked(frail):
            sent = send(broker, 1)
            consumer.wait_until_it_says("Took 1 messages")
            network.hold()
        eventually(lambda: contents(frail_archive) == sent, "the message")
        consumer.kill()
        network.close()
        again = start()
        again.wait_until_it_says("Acknowledged 1 messages")
        assert contents(frail_archive) == sent
        assert frail_archive.rejected() == []

    def test_a_connection_that_is_lost_while_the_database_is_away_is_made_again(
        self, broker: Broker, start: Start, frail: Database, frail_archive: Archive
    ) -> None:
        network = Proxy(ADDRESS[1])
        consumer = start(port=network.port)
        with fault.stopped(frail):
            sent = send(broker, 15)
            consumer.wait_until_it_says("The database does not take messages")
            network.cut()
            eventually(
                lambda: consumer.log.count("Successfully registered") > 1, "a new connection"
            )
        sent += send(broker, 1)
        wait_for(frail_archive, len(sent))
        eventually(lambda: broker.waiting() == 0, "an empty queue")
        assert sorted(each["n"] for each in contents(frail_archive)) == [each["n"] for each in sent]
        with contextlib.suppress(OSError):
            network.close()
