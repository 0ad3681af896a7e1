"""What a hub missed while it was down is fetched from a datagrepper, and stored."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bus import Archive, Bus, Daemon, eventually
from datanommer.consumer.backlog.status import Gap, Status
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, given
from shell import ROOT

Answer = Callable[[BaseHTTPRequestHandler], None]


class Datagrepper(ThreadingHTTPServer):
    """A datagrepper with two messages a page, which can be told to fail.

    Attributes:
        messages: what it has.
        failures: what it does with the next requests, by the number of the page; once each.
        ranges: start and end of each request that it answered with a page.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.messages: list[dict[str, Any]] = []
        self.failures: dict[int, list[Answer]] = {}
        self.ranges: list[tuple[int, int]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://somebody:s3cret@127.0.0.1:{self.server_port}/raw"

    def give(self, messages: list[dict[str, Any]]) -> None:
        self.messages = [given(each) for each in messages]

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Datagrepper

    def do_GET(self) -> None:
        asked = {name: value[0] for name, value in parse_qs(urlsplit(self.path).query).items()}
        number = int(asked["page"])
        if failures := self.server.failures.get(number):
            failures.pop(0)(self)
            return
        start, end = int(asked["start"]), int(asked["end"])
        self.server.ranges.append((start, end))
        found = [each for each in self.server.messages if start <= each["timestamp"] <= end]
        page = {"pages": (len(found) + 1) // 2, "raw_messages": found[number * 2 - 2 : number * 2]}
        answer(200, json.dumps(page))(self)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def answer(status: int, content: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(content.encode())

    return send


def hang(handler: BaseHTTPRequestHandler) -> None:
    del handler
    time.sleep(5)


def close(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.fixture
def datagrepper() -> Iterator[Datagrepper]:
    with contextlib.closing(Datagrepper()) as server:
        yield server


@pytest.fixture
def status(tmp_path: Path) -> Path:
    """The status file of a hub that was last up an hour ago."""
    file = tmp_path / "status" / "fedmsg-hub" / "Nommer"
    file.parent.mkdir(parents=True)
    write_status(file, envelope(timestamp=int(time.time()) - 3600))
    return file


def write_status(file: Path, message: dict[str, Any]) -> None:
    """As fedmsg writes it."""
    file.write_text(json.dumps({"message": message, "status": "post"}))


@pytest.fixture
def quiet_bus(quiet_bus: Bus, datagrepper: Datagrepper, status: Path) -> Bus:
    quiet_bus.config["status_directory"] = str(status.parent.parent)
    quiet_bus.config["datagrepper_url"] = datagrepper.url
    quiet_bus.config["datanommer.spool_min_free_bytes"] = 0
    return quiet_bus


def missed(number: int) -> list[dict[str, Any]]:
    """Messages that were sent while the hub was down, the oldest first."""
    sent = int(time.time()) - 1800
    return [envelope(timestamp=sent + second) for second in range(number)]


def gaps(status: Path) -> list[list[int]]:
    content: list[list[int]] = json.loads(status.with_name("Nommer.gaps").read_text())
    return content


def stored(archive: Archive) -> list[str]:
    return sorted(message.msg_id for message in archive.messages())


def ids(*messages: dict[str, Any]) -> list[str]:
    return sorted(message["body"]["msg_id"] for message in messages)


class TestAFault:
    @pytest.mark.parametrize(
        ("page", "failure", "reason"),
        [
            (1, answer(502, "<html>Bad Gateway</html>"), "it answers with HTTP status 502"),
            (1, answer(200, "<html>Please log in</html>"), "its answer cannot be read as JSON"),
            (1, answer(200, '{"error": "s3cret"}'), "its answer has not the keys"),
            (1, hang, "no answer for 1 seconds"),
            (2, answer(502, "<html>Bad Gateway</html>"), "it answers with HTTP status 502"),
            (3, close, "the connection failed"),
        ],
    )
    def test_is_one_line_and_what_was_missed_is_fetched_once_it_is_over(
        self,
        bus: Bus,
        archive: Archive,
        datagrepper: Datagrepper,
        status: Path,
        monkeypatch: pytest.MonkeyPatch,
        page: int,
        failure: Answer,
        reason: str,
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
        datagrepper.give(sent := missed(5))
        datagrepper.failures[page] = [failure] * 2
        hub = bus.start_hub("--with-consumers", "backlog_consumers:Nommer")
        hub.wait_until_it_says(f"127.0.0.1:{datagrepper.server_port}/raw: {reason}")
        bus.publisher.publish(live := envelope())
        archive.wait_for(live)
        hub.wait_until_it_says("is fetched: 5 messages.")
        assert stored(archive) == ids(*sent, live)
        assert gaps(status) == []
        assert hub.log.count("cannot be fetched") == 1
        assert_is_clean(hub)

    def test_of_the_connection_is_one_line_too(
        self, bus: Bus, archive: Archive, datagrepper: Datagrepper
    ) -> None:
        port = datagrepper.server_port
        datagrepper.close()
        hub = bus.start_hub()
        hub.wait_until_it_says(f"127.0.0.1:{port}/raw: Connection refused. It will be tried again")
        with contextlib.closing(Datagrepper(port)) as again:
            again.give(sent := missed(3))
            hub.wait_until_it_says("is fetched: 3 messages.")
        assert stored(archive) == ids(*sent)
        assert_is_clean(hub)

    def test_that_lasts_does_not_keep_the_hub_from_its_end(
        self, bus: Bus, datagrepper: Datagrepper
    ) -> None:
        reached = threading.Event()

        def never_answer(_: object) -> None:
            reached.set()
            time.sleep(60)

        datagrepper.failures[1] = [never_answer]
        hub = bus.start_hub()
        assert reached.wait(30)
        hub.send(signal.SIGTERM)
        assert hub.exit_code() == 0
        assert_is_clean(hub)


def assert_is_clean(hub: Daemon) -> None:
    assert "Traceback" not in hub.log
    assert "s3cret" not in hub.log


class TestAGap:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_is_fetched_by_a_later_hub_if_need_be_with_another_one(
        self,
        bus: Bus,
        archive: Archive,
        datagrepper: Datagrepper,
        status: Path,
        number: signal.Signals,
    ) -> None:
        datagrepper.failures[1] = [answer(502, "")] * 1000
        start = self._start_of_the_gap_of_a_hub_that_ends(bus, archive, status, number)
        (gap,) = gaps(status)
        assert gap[0] == start
        # The hub stores what comes, and its status file is that of now.
        assert json.loads(status.read_text())["message"]["body"]["timestamp"] > start + 3000
        before = missed(3)
        datagrepper.give(before)
        datagrepper.failures.clear()
        hub = bus.start_hub()
        hub.wait_until_it_says("is fetched: 3 messages.")
        assert set(ids(*before)) <= set(stored(archive))
        assert datagrepper.ranges[0][0] == start
        assert datagrepper.ranges[-1][1] >= time.time() - 60
        assert gaps(status) == []

    def _start_of_the_gap_of_a_hub_that_ends(
        self, bus: Bus, archive: Archive, status: Path, number: signal.Signals
    ) -> int:
        told: int = json.loads(status.read_text())["message"]["body"]["timestamp"]
        hub = bus.start_hub()
        hub.wait_until_it_says("HTTP status 502")
        bus.publisher.publish(live := envelope(timestamp=int(time.time())))
        archive.wait_for(live)
        eventually(lambda: live["body"]["msg_id"] in status.read_text(), "the status file")
        hub.send(number)
        hub.exit_code()
        assert_is_clean(hub)
        return told - 10

    def test_that_is_apart_from_another_is_fetched_apart(
        self, bus: Bus, datagrepper: Datagrepper, status: Path
    ) -> None:
        now = int(time.time())
        status.with_name("Nommer.gaps").write_text(json.dumps([[now - 9000, now - 8000]]))
        bus.start_hub().wait_until_it_says("is fetched")
        eventually(lambda: gaps(status) == [], "both to be fetched")
        assert [start for start, _ in datagrepper.ranges] == [
            now - 9000,
            pytest.approx(now - 3610, abs=30),
        ]

    def test_is_also_what_an_admin_says_after_a_restore(
        self, bus: Bus, archive: Archive, datagrepper: Datagrepper, status: Path
    ) -> None:
        page = (ROOT / "docs" / "backup.rst").read_text(encoding="utf-8")
        (line,) = re.findall(r"^ +# (echo .*Nommer\.gaps\")$", page, re.MULTILINE)
        environment = {**os.environ, "STATUS": str(status.parent.parent)}
        subprocess.run(["bash", "-c", line], env=environment, check=True)
        datagrepper.give([sent := envelope()])
        bus.start_hub().wait_until_it_says("is fetched: 1 messages.")
        archive.wait_for(sent)

    def test_is_kept_in_mind_until_its_messages_are_on_the_disk(
        self, bus: Bus, datagrepper: Datagrepper, status: Path, tmp_path: Path
    ) -> None:
        bus.config["datanommer.sqlalchemy.url"] = "postgresql://u@127.0.0.1:1/nowhere"
        bus.config["datanommer.spool_max_bytes"] = 1
        datagrepper.give(missed(3))
        hub = bus.start_hub()
        hub.wait_until_it_says("Messages wait in memory only")
        hub.kill()
        assert len(gaps(status)) == 1
        del bus.config["datanommer.spool_max_bytes"]
        hub = bus.start_hub()
        hub.wait_until_it_says("is fetched: 3 messages.")
        assert gaps(status) == []
        assert Spool(tmp_path / "spool").waiting().messages == 3

    def test_without_a_datagrepper_is_none(self, bus: Bus, archive: Archive, status: Path) -> None:
        del bus.config["datagrepper_url"]
        before = status.read_text()
        bus.start_hub()
        bus.publisher.publish(live := envelope())
        archive.wait_for(live)
        assert status.read_text() == before
        assert not status.with_name("Nommer.gaps").exists()

    @pytest.mark.parametrize("settings", [{"moksha.blocking_mode": True}, {}])
    def test_brings_messages_of_the_topics_of_the_hub_alone(
        self, bus: Bus, archive: Archive, datagrepper: Datagrepper, settings: dict[str, Any]
    ) -> None:
        bus.config.update(settings)
        bus.config["datanommer.topic"] = ["org.example.dev.bodhi.*", "org.example.dev.git"]
        sent = int(time.time()) - 60
        topics = ["bodhi.new", "git", "gi", "other"]
        messages = [envelope(f"org.example.dev.{each}", timestamp=sent) for each in topics]
        datagrepper.give(messages)
        bus.start("fedmsg-hub").wait_until_it_says("is fetched: 2 messages.")
        assert stored(archive) == ids(*messages[:2])

    def test_brings_what_is_no_message_into_the_rejects(
        self, bus: Bus, archive: Archive, datagrepper: Datagrepper
    ) -> None:
        now = int(time.time())
        datagrepper.messages = [{"timestamp": now}, given(good := missed(1)[0])]
        bus.start_hub().wait_until_it_says("is fetched: 2 messages.")
        assert stored(archive) == ids(good)
        assert [each.kind for each in archive.rejected()] == ["invalid"]


class TestTheStatusFile:
    @pytest.mark.parametrize("content", [b"", b'{"message": {"body": {"timesta'])
    def test_that_is_damaged_is_said_and_messages_are_fetched_from_its_time_on(
        self, bus: Bus, archive: Archive, datagrepper: Datagrepper, status: Path, content: bytes
    ) -> None:
        status.write_bytes(content)
        written = int(time.time()) - 5000
        os.utime(status, (written, written))
        datagrepper.give(sent := missed(1))
        hub = bus.start_hub()
        hub.wait_until_it_says(f"The status file {status} is damaged")
        hub.wait_until_it_says("is fetched: 1 messages.")
        assert datagrepper.ranges[0][0] == written - 10
        assert stored(archive) == ids(*sent)
        assert_is_clean(hub)

    @pytest.mark.parametrize(
        "content",
        [
            *(b"\xff\x00", b"[]", b"null", b"7", b"[" * 100_000, b'{"message": {"body": "x"}}'),
            *(b'{"message": {"body": {"timestamp": %s}}}' % each for each in (b"NaN", b"1e300")),
            b'{"message": {"body": {"timestamp": "yesterday"}}}',
        ],
    )
    def test_that_is_damaged_in_any_way_raises_nothing(
        self, status: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        status.write_bytes(content)
        os.utime(status, (5000, 5000))
        log = logging.getLogger("test")
        assert Status(status, log).missed(until=6000.5) == [Gap(4990, 6000)]
        assert [each.levelname for each in caplog.records] == ["WARNING"]
        assert f"The status file {status} is damaged" in caplog.text

    def test_of_a_message_that_is_dated_in_the_future_hides_nothing(
        self, bus: Bus, datagrepper: Datagrepper, status: Path
    ) -> None:
        write_status(status, envelope(timestamp=int(time.time()) + 86400))
        written = int(time.time()) - 5000
        os.utime(status, (written, written))
        bus.start_hub().wait_until_it_says("is fetched: 0 messages.")
        assert datagrepper.ranges[0][0] == written - 10

    def test_that_cannot_be_read_or_written_is_said_and_messages_are_stored(
        self, bus: Bus, archive: Archive, tmp_path: Path
    ) -> None:
        bus.config["status_directory"] = str(tmp_path / "file")
        (tmp_path / "file").touch()
        hub = bus.start_hub()
        bus.publisher.publish(*(sent := [envelope() for _ in range(5)]))
        archive.wait_for(sent[-1])
        hub.wait_until_it_says("Nommer cannot be read: Not a directory")
        hub.wait_until_it_says("Nommer cannot be written: ")
        assert hub.log.count("Nommer cannot be written: ") == 1
        assert_is_clean(hub)

    def test_of_gaps_that_is_damaged_is_said(
        self, bus: Bus, datagrepper: Datagrepper, status: Path
    ) -> None:
        status.with_name("Nommer.gaps").write_text("[[1,")
        datagrepper.give(missed(1))
        hub = bus.start_hub()
        hub.wait_until_it_says("is fetched: 1 messages.")
        assert "Nommer.gaps cannot be read: it is damaged" in hub.log
        assert_is_clean(hub)

    def test_holds_nothing_of_what_a_message_says_and_is_one_of_fedmsg(
        self, bus: Bus, archive: Archive, status: Path
    ) -> None:
        bus.start_hub()
        sent = [envelope(msg="secret"), envelope(msg="secret", timestamp="bad")]
        bus.publisher.publish(sent[0])
        archive.wait_for(sent[0])
        eventually(lambda: '"post"' in status.read_text(), "its status")
        body = json.loads(status.read_text())["message"]["body"]
        assert body == {key: sent[0]["body"][key] for key in ("topic", "msg_id", "timestamp")}
        bus.publisher.publish(sent[1])
        eventually(lambda: sent[1]["body"]["msg_id"] in status.read_text(), "its status")
        told = json.loads(status.read_text())["message"]["body"]["timestamp"]
        assert told == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("datagrepper_url", "apps.example.com/raw"),
        ("datagrepper_url", "http://u:s3cret@h:x/raw"),
        ("datagrepper_url", 7),
        ("status_directory", 7),
    ],
)
def test_a_hub_whose_backlog_is_not_configured_well_ends(bus: Bus, key: str, value: object) -> None:
    bus.config[key] = value
    hub = bus.start("fedmsg-hub")
    assert hub.exit_code() == 1
    assert f"datanommer cannot start, and ends the hub. {key} in the fedmsg" in hub.log
    assert_is_clean(hub)
