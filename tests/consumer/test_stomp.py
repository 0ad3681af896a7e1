"""What a broker brings over STOMP is stored by a real fedmsg-hub, and acknowledged once it is."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from bus import Archive, Bus, Daemon, eventually, happens
from certificates import Authority
from datanommer.consumer.stomp.settings import Settings
from datanommer.models.errors import ConfigurationError
from envelopes import envelope
from stomp import Broker, Client
from tls import Terminator

QUEUE = "/queue/Consumer.datanommer.test.VirtualTopic.eng.>"
TOPIC = "/topic/VirtualTopic.eng.brew.build.complete"
NOWHERE = "postgresql://somebody@127.0.0.1:1/nowhere"

Start = Callable[..., Daemon]


@pytest.fixture
def broker(stomp_broker: Broker) -> Broker:
    stomp_broker.style = "activemq"
    return stomp_broker


@pytest.fixture
def bus(bus: Bus, broker: Broker) -> Bus:
    bus.config.update({"zmq_enabled": False, "stomp_uri": broker.address, "stomp_queue": QUEUE})
    return bus


@pytest.fixture
def start(bus: Bus) -> Start:
    """Start a hub with some changes of the configuration, and wait until it listens."""

    def start(*arguments: str, waits: bool = True, **config: Any) -> Daemon:
        bus.config.update(config)
        hub = bus.start("fedmsg-hub", *arguments)
        if waits:
            hub.wait_until_it_says("Listening to")
        return hub

    return start


def wait_for(archive: Archive, number: int) -> list[Any]:
    """What the messages say, once there are so many."""
    eventually(lambda: archive.count() >= number, f"{number} messages")
    return [message.msg for message in archive.messages()]


def wait_until_acknowledged(broker: Broker, number: int) -> None:
    eventually(lambda: len(broker.acknowledged) >= number, f"{number} ACKs")


CONTENTS = [
    {"id": 1, "text": "w\u00f6rld \u65e5\u672c \U0001f600"},
    ["x" * 5000, None, 1.5],
    "plain t\u00e9xt, and \0 no JSON",
    "",
    "<xml/>",
    7,
]


@pytest.mark.parametrize(
    ("segment", "mode", "version"),
    [
        (1, None, "1.2"),
        (1, "auto", "1.1"),
        (101, "client", "1.1"),
        (101, "client-individual", "1.2"),
        (None, "auto", "1.2"),
        (None, None, "1.1"),
    ],
)
def test_a_burst_is_stored_whatever_the_segments_and_the_mode(
    broker: Broker,
    start: Start,
    archive: Archive,
    segment: int | None,
    mode: str | None,
    version: str,
) -> None:
    broker.segment, broker.version = segment, version
    bodies = [
        each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in CONTENTS
    ]
    start(**{"stomp_ack_mode": mode} if mode else {})
    times = 1 if segment == 1 else 5  # a segment a byte takes long
    for number in range(times):
        for body in bodies:
            broker.send(TOPIC, body.encode(), {"a:b": f"\\{number}\n"}, has_length="\0" in body)
    assert wait_for(archive, times * len(CONTENTS)) == times * CONTENTS
    headers = [message.headers["a:b"] for message in archive.messages()]
    assert headers == [f"\\{number}\n" for number in range(times) for _ in CONTENTS]
    assert broker.complaints == []
    if mode != "auto":
        wait_until_acknowledged(broker, times * len(CONTENTS))
    assert broker.waiting == 0


def test_headers_go_back_as_they_came_where_they_are_not_unescaped(
    broker: Broker, start: Start, archive: Archive
) -> None:
    start(stomp_unescape_headers=False)
    for number in range(3):
        broker.send(TOPIC, f"{number}".encode(), {"own": "a:b"})
    wait_until_acknowledged(broker, 3)
    assert broker.complaints == []
    assert archive.messages()[0].headers["own"] == "a\\cb"


def test_a_message_is_acknowledged_once_it_is_stored(
    broker: Broker, start: Start, archive: Archive, database: str
) -> None:
    start()
    connection = psycopg2.connect(database)
    connection.cursor().execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
    for number in range(10):
        broker.send(TOPIC, f"{number}".encode())
    assert not happens(lambda: broker.acknowledged, 1)
    connection.rollback()
    connection.close()
    wait_until_acknowledged(broker, 10)
    assert broker.acknowledged == list(range(1, 11))
    assert len(archive.messages()) == 10


@pytest.mark.parametrize("is_blocking", [False, True])
def test_a_message_is_acknowledged_once_it_waits_in_the_spool(
    broker: Broker, start: Start, archive: Archive, database: str, is_blocking: bool
) -> None:
    bus_url = {"datanommer.sqlalchemy.url": NOWHERE, "moksha.blocking_mode": is_blocking}
    hub = start(**bus_url)
    for number in range(5):
        broker.send(TOPIC, f"{number}".encode())
    wait_until_acknowledged(broker, 5)
    assert archive.messages() == []
    hub.kill()
    start(**{"datanommer.sqlalchemy.url": database})
    assert wait_for(archive, 5) == list(range(5))


def test_what_no_table_can_hold_is_rejected_and_acknowledged(
    broker: Broker, start: Start, archive: Archive
) -> None:
    start()
    bodies = [b'{"n": NaN}', b"\xff\xfe", b"[" * 100_000]
    for body in bodies:
        broker.send(TOPIC, body)
    wait_until_acknowledged(broker, len(bodies))
    rejected = archive.rejected()
    assert {each.kind for each in rejected} == {"invalid", "too large"}
    assert all(any(body in bytes(each.raw) for each in rejected) for body in bodies)


def test_what_is_not_signed_is_refused_and_does_not_come_again(
    broker: Broker, start: Start, archive: Archive, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    authority.issue("shell.test")
    start(**authority.config)
    broker.send(TOPIC, b"unsigned")
    eventually(lambda: broker.nacked == [1], "a NACK")
    assert broker.waiting == 0
    assert (archive.messages(), archive.rejected()) == ([], [])


def test_what_is_not_signed_is_refused_at_the_end_too(
    broker: Broker, start: Start, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    authority.issue("shell.test")
    nowhere = {"datanommer.sqlalchemy.url": NOWHERE, "datanommer.spool_max_bytes": 1}
    hub = start(**authority.config, **nowhere)
    signed = authority.sign(envelope(TOPIC), "shell.test")
    broker.send(TOPIC, json.dumps(signed["body"]).encode())
    hub.wait_until_it_says("Messages wait in memory only")
    for _ in range(3):
        broker.send(TOPIC, b"unsigned")
    eventually(lambda: broker.is_read, "the hub to read what was sent")
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    assert (broker.acknowledged, broker.nacked) == ([], [2, 3, 4]), hub.log
    assert hub.log.count("Refused: ") == 3


@pytest.mark.parametrize("style", ["rabbitmq", "activemq"])
@pytest.mark.parametrize("headers", [{}, {"timestamp": "1490021742137"}])
def test_what_is_delivered_again_is_a_duplicate(
    broker: Broker, start: Start, archive: Archive, style: Any, headers: dict[str, str]
) -> None:
    broker.style = style
    hub = start()
    for number in range(10):
        broker.send(TOPIC, json.dumps({"n": number}).encode(), headers)
    wait_until_acknowledged(broker, 10)
    hub.kill()
    # As if all ACKs had been lost.
    other = Broker()
    other.style = style
    Client("127.0.0.1", other.port).close()  # so that the hub gets another session than before
    try:
        for number in range(10):
            other.send(TOPIC, json.dumps({"n": number}).encode(), headers)
        other.send(TOPIC, b'"another"', headers)
        start(stomp_uri=other.address)
        wait_until_acknowledged(other, 11)
    finally:
        other.close()
    assert [message.msg for message in archive.messages()] == [
        *({"n": number} for number in range(10)),
        "another",
    ]


def test_the_time_of_a_message_is_that_of_the_broker_where_it_has_none(
    broker: Broker, start: Start, archive: Archive
) -> None:
    start()
    own = envelope(TOPIC)
    for body, timestamp in (
        (b"1", "1490021742137"),
        (json.dumps(own["body"]).encode(), "1490021742137"),
        (b"2", "no time"),
    ):
        broker.send(TOPIC, body, {"timestamp": timestamp})
    wait_for(archive, 3)
    of_broker, of_body, of_now = [message.timestamp for message in archive.messages()]
    assert of_broker == datetime(2017, 3, 20, 14, 55, 42, 137000)  # noqa: DTZ001  naive UTC
    assert of_body == datetime(2013, 2, 18, 5, 55, 18)  # noqa: DTZ001
    assert of_now.year > 2020


def test_a_topic_in_the_content_is_content(broker: Broker, start: Start, archive: Archive) -> None:
    start()
    sent = envelope("org.fedoraproject.prod.demo.hello")
    for body in ({"topic": "mine", "msg": {"n": 1}}, {"topic": ["a"]}, sent["body"]):
        broker.send(TOPIC, json.dumps(body).encode())
    wait_for(archive, 3)
    assert [(message.topic, message.category, message.msg) for message in archive.messages()] == [
        (TOPIC, "brew", {"topic": "mine", "msg": {"n": 1}}),
        (TOPIC, "brew", {"topic": ["a"]}),
        ("org.fedoraproject.prod.demo.hello", "demo", sent["body"]["msg"]),
    ]


def test_no_more_messages_are_under_way_than_three_batches(
    broker: Broker, start: Start, archive: Archive
) -> None:
    start(**{"datanommer.batch_size": 10})
    for number in range(1000):
        broker.send(TOPIC, f"{number}".encode())
    wait_until_acknowledged(broker, 1000)
    assert broker.most_unacknowledged == 30
    assert wait_for(archive, 1000) == list(range(1000))


def test_with_a_queue_all_of_it_is_stored(broker: Broker, start: Start, archive: Archive) -> None:
    start()
    for destination in (TOPIC, "/queue/anything", "/topic/VirtualTopic.qe.x"):
        broker.send(destination, b"1")
    wait_for(archive, 3)
    assert [frame.headers["destination"] for frame in broker.received("SUBSCRIBE")] == [QUEUE]


def test_what_the_topics_leave_out_of_a_queue_is_counted_in_the_log(
    broker: Broker, bus: Bus, start: Start, archive: Archive
) -> None:
    hub = start(**{"datanommer.topic": ["VirtualTopic.eng.>"]})
    for _ in range(3):
        broker.send("/topic/VirtualTopic.qe.x", b"left out")
    broker.send(TOPIC, b"1")
    assert wait_for(archive, 1) == [1]
    wait_until_acknowledged(broker, 4)
    bus.close()
    skipped = [line for line in hub.log.splitlines() if "Skipped" in line]
    assert len(skipped) == 2, hub.log
    assert "datanommer.topic does not match: /topic/VirtualTopic.qe.x" in skipped[0]
    assert "... and 2 more of this kind, like the first: Skipped" in skipped[1]


def test_without_a_queue_the_topics_are_subscribed_to(
    broker: Broker, start: Start, archive: Archive
) -> None:
    topics = ["/topic/VirtualTopic.eng.>", "/queue/own"]
    start(**{"stomp_queue": None, "datanommer.topic": topics})
    assert [frame.headers["destination"] for frame in broker.received("SUBSCRIBE")] == topics
    broker.send(TOPIC, b"1")
    broker.send("/topic/of.the.same.subscription", b"2")
    assert wait_for(archive, 2) == [1, 2]


def test_other_consumers_get_theirs_and_only_datanommer_s_keeping_counts(
    broker: Broker, start: Start, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    seen = tmp_path / "seen"
    seen.touch()
    start(
        *("--with-consumers", "stomp_consumers:Other,datanommer.consumer:Nommer"),
        **{
            "moksha.blocking_mode": True,
            "other.file": str(seen),
            "datanommer.topic": ["other.both.>"],
        },
    )
    for destination, body in (
        ("/topic/other.alone", b'"one"'),
        ("/topic/other.alone", b'"fail"'),
        ("/topic/other.both", b'"fail"'),
        ("/topic/other.both", b'"two"'),
    ):
        broker.send(destination, body)
    eventually(lambda: len(seen.read_text().splitlines()) == 4, "four messages")
    eventually(lambda: broker.received("SEND"), "an answer")
    # Number 2 failed in the only consumer that wanted it.
    eventually(lambda: sorted(broker.acknowledged)[:3] == [1, 3, 4], "ACKs")
    assert broker.nacked == [2]
    assert [message.msg for message in archive.messages()] == ["fail", "two"]
    answers = [json.loads(frame.body) for frame in broker.received("SEND")]
    assert {"answer": "one"} in answers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_hub_that_ends_in_a_flood_has_acknowledged_what_it_keeps_and_no_more(
    broker: Broker, start: Start, archive: Archive, number: signal.Signals
) -> None:
    hub = start()
    for each in range(5000):
        broker.send(TOPIC, f"{each}".encode())
    eventually(lambda: len(broker.acknowledged) > 100, "the flood to begin")
    hub.send(number)
    assert hub.exit_code() == 0
    assert broker.received("DISCONNECT")
    kept = len(broker.acknowledged)
    assert kept + broker.waiting == 5000
    # What went into the spool is stored first, and then what comes again.
    start()
    assert wait_for(archive, 5000) == list(range(5000))


def test_a_lost_connection_is_made_anew(broker: Broker, start: Start, archive: Archive) -> None:
    hub = start()
    broker.send(TOPIC, b"1")
    wait_until_acknowledged(broker, 1)
    broker.cut(reset=True)
    broker.send(TOPIC, b"2")
    assert wait_for(archive, 2) == [1, 2]
    assert f"The connection to {broker.address} is lost" in hub.log


def test_the_next_broker_is_tried(broker: Broker, start: Start, archive: Archive) -> None:
    other = Broker()
    try:
        hub = start(stomp_uri=f"{broker.address},{other.address}")
        broker.refuse()
        broker.cut()
        other.send(TOPIC, b"2")
        assert wait_for(archive, 1) == [2]
        other.refuse()
        other.cut()
        broker.listen()
        broker.send(TOPIC, b"1")
        assert wait_for(archive, 2) == [2, 1]
        assert "Trying" in hub.log
    finally:
        other.close()


def test_an_error_is_told_and_the_connection_made_anew(
    broker: Broker, start: Start, archive: Archive
) -> None:
    hub = start()
    broker.error("no such luck", closes=False)
    broker.send(TOPIC, b"1")
    assert wait_for(archive, 1) == [1]
    assert f"The broker {broker.address} answers: no such luck: why" in hub.log


@pytest.mark.parametrize("command", ["CONNECT", "SUBSCRIBE"])
def test_a_hub_that_every_broker_refuses_ends_with_1_and_says_why(
    broker: Broker,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    broker.fail(command, "Bad luck", times=1000, closes=False)
    hub = start("--with-consumers", "stomp_consumers:Impatient", waits=False)
    assert hub.exit_code() == 1
    assert f"every broker answers with an ERROR. {broker.address} says 'Bad luck: why'" in hub.log
    assert "Traceback" not in hub.log


def test_a_hub_that_one_broker_refuses_and_another_does_not_answer_goes_on(
    broker: Broker, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    broker.fail("CONNECT", "Bad luck", times=1000)
    hub = start(
        *("--with-consumers", "stomp_consumers:Impatient"),
        waits=False,
        stomp_uri=f"{broker.address},127.0.0.1:1",
    )
    hub.wait_until_it_says("127.0.0.1:1 cannot be reached")
    assert not happens(lambda: not hub.is_alive, 3)


def test_a_broker_that_stops_its_heart_beat_is_left(
    broker: Broker, start: Start, archive: Archive
) -> None:
    broker.heart_beat, broker.sends_heart_beats = (100, 100), False
    hub = start(stomp_heartbeat=100)
    hub.wait_until_it_says("not even its heart-beat")
    broker.sends_heart_beats = True
    broker.send(TOPIC, b"1")
    assert wait_for(archive, 1) == [1]
    connections = broker.connections
    assert not happens(lambda: broker.connections > connections, 1)
    assert broker.heart_beats > 5
    assert broker.complaints == []


def test_a_broker_that_offers_no_heart_beat_is_not_timed_out(broker: Broker, start: Start) -> None:
    start(stomp_heartbeat=50)
    assert not happens(lambda: broker.connections > 1, 1)


@pytest.fixture
def tls(broker: Broker, bus: Bus, tmp_path: Path) -> Iterator[Authority]:
    """A broker behind TLS, and a hub with a certificate that it accepts."""
    authority = Authority(tmp_path)
    for name in ("localhost", "hub", "elsewhere"):
        authority.issue(name)
    terminator = Terminator(broker.port, authority.folder, "localhost")
    bus.config["stomp_uri"] = f"localhost:{terminator.port}"
    bus.config["stomp_ssl_crt"] = str(authority.folder / "hub.crt")
    bus.config["stomp_ssl_key"] = str(authority.folder / "hub.key")
    yield authority
    terminator.close()


def test_a_broker_may_speak_tls(
    broker: Broker,
    tls: Authority,
    start: Start,
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.folder / "ca.crt"))
    hub = start()
    broker.send(TOPIC, b"1")
    assert wait_for(archive, 1) == [1]
    wait_until_acknowledged(broker, 1)
    # A certificate that is being renewed is missing for a moment.
    certificate = tls.folder / "hub.crt"
    certificate.rename(tls.folder / "away")
    broker.cut()
    hub.wait_until_it_says("No connection to localhost")
    (tls.folder / "away").rename(certificate)
    broker.send(TOPIC, b"2")
    assert wait_for(archive, 2) == [1, 2]
    assert "Traceback" not in hub.log


@pytest.mark.usefixtures("tls")
def test_a_broker_whose_certificate_nobody_vouches_for_hears_no_password(
    broker: Broker, start: Start
) -> None:
    hub = start(waits=False)
    hub.wait_until_it_says("certificate verify failed")
    assert broker.frames == []


def test_a_hub_without_acknowledgements_says_what_a_kill_may_cost(start: Start) -> None:
    hub = start(stomp_ack_mode="auto")
    assert "stomp_ack_mode is auto: the broker forgets each message once it is sent" in hub.log


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"stomp_queue": None}, "does not say what to subscribe to over STOMP"),
        ({"stomp_ack_mode": "all"}, "stomp_ack_mode in the fedmsg configuration must be one of"),
        ({"stomp_heartbeat": -1}, "stomp_heartbeat in the fedmsg configuration must be"),
    ],
)
def test_a_hub_that_cannot_speak_ends_and_says_why(
    start: Start, config: dict[str, Any], told: str
) -> None:
    hub = start(waits=False, **config)
    assert hub.exit_code() == 1
    assert told in hub.log
    assert "Traceback" not in hub.log


def test_tls_without_the_library_that_it_needs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "service_identity", None)
    config = {"stomp_queue": QUEUE, "stomp_ssl_key": "hub.key", "stomp_ssl_crt": "hub.crt"}
    with pytest.raises(ConfigurationError, match=r"Install datanommer\.consumer\[stomp\]"):
        Settings.of(config, 1000)


def test_no_password_is_told(broker: Broker, start: Start) -> None:
    broker.credentials = ("me", "s3cret")
    hub = start(stomp_user="me", stomp_pass="s3cret")
    assert broker.received("CONNECT")[0].headers["passcode"] == "s3cret"
    assert "s3cret" not in hub.log
    broker.credentials = ("me", "an0ther")
    broker.cut()
    hub.wait_until_it_says("answers: Bad CONNECT")
    assert "s3cret" not in hub.log


def test_the_name_of_the_virtual_host_can_be_told(broker: Broker, start: Start) -> None:
    start(**{"datanommer.stomp_vhost": "/"})
    assert broker.received("CONNECT")[0].headers["host"] == "/"
