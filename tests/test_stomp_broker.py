"""The STOMP broker of the tests, as those who connect to it see it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bus import eventually
from stomp import Broker, Client, Frame, frames

QUEUE = "/queue/test"
Connect = Callable[..., Client]


@pytest.fixture
def connect(stomp_broker: Broker) -> Iterator[Connect]:
    """Connect to the broker: ``connect("1.1", {"login": "me"})``."""
    with contextlib.ExitStack() as clients:

        def connect(*arguments: Any) -> Client:
            client = Client("127.0.0.1", stomp_broker.port, *arguments)
            clients.callback(client.close)
            return client

        yield connect


@pytest.fixture(params=["1.1", "1.2"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["rabbitmq", "activemq"])
def styled(request: pytest.FixtureRequest, stomp_broker: Broker) -> Broker:
    """The broker in each of its styles."""
    stomp_broker.style = request.param
    return stomp_broker


def _bodies(client: Client, count: int) -> list[bytes]:
    return [client.receive().body for _ in range(count)]


def _has_nothing_more(client: Client) -> bool:
    client.send("SEND", {"destination": QUEUE, "receipt": "last"})
    return client.receive().command == "RECEIPT"


def test_the_highest_version_of_both_is_spoken(connect: Connect) -> None:
    assert connect("1.0,1.1").answer.headers["version"] == "1.1"
    assert connect("1.0,1.1,1.2").answer.headers["version"] == "1.2"


def test_a_client_without_a_common_version_is_turned_away(
    stomp_broker: Broker, connect: Connect
) -> None:
    client = connect("1.0")
    assert client.answer.command == "ERROR"
    with pytest.raises(EOFError):
        client.receive()
    assert stomp_broker.complaints == ["no version of ['1.0'] is spoken here"]


def test_a_test_may_force_a_version(stomp_broker: Broker, connect: Connect) -> None:
    stomp_broker.version = "1.0"
    assert connect("1.2").answer.headers["version"] == "1.0"


def test_a_message_comes_as_it_was_sent(styled: Broker, connect: Connect, version: str) -> None:
    body = b"\0 and \n, \xff"
    styled.send(QUEUE, body, {"a:b": "c\\d\ne:f"})
    client = connect(version)
    client.subscribe(QUEUE)
    message = client.receive()
    assert message.command == "MESSAGE"
    assert message.body == body
    assert message.headers["a:b"] == "c\\d\ne:f"
    assert message.headers["destination"] == QUEUE
    assert message.headers["subscription"] == "s"
    assert message.headers["content-length"] == str(len(body))
    assert ("ack" in message.headers) == (version == "1.2")


def test_a_message_may_come_without_its_length(stomp_broker: Broker, connect: Connect) -> None:
    stomp_broker.send(QUEUE, b"text", has_length=False)
    client = connect()
    client.subscribe(QUEUE)
    message = client.receive()
    assert message.body == b"text"
    assert "content-length" not in message.headers


def test_what_a_client_sends_is_delivered(connect: Connect) -> None:
    connect().send("SEND", {"destination": QUEUE, "x": "y"}, b"hello")
    client = connect()
    client.subscribe(QUEUE)
    message = client.receive()
    assert (message.body, message.headers["x"]) == (b"hello", "y")


@pytest.mark.parametrize(
    ("style", "header"), [("rabbitmq", "prefetch-count"), ("activemq", "activemq.prefetchSize")]
)
def test_no_more_is_delivered_than_the_prefetch_allows(
    stomp_broker: Broker, connect: Connect, style: Any, header: str
) -> None:
    stomp_broker.style = style
    for number in range(5):
        stomp_broker.send(QUEUE, b"%d" % number)
    client = connect()
    client.subscribe(QUEUE, {header: "2"})
    first, second = client.receive(), client.receive()
    client.acknowledge(second)
    assert client.receive().body == b"2"
    client.acknowledge(first)
    assert client.receive().body == b"3"
    assert _has_nothing_more(client)
    assert stomp_broker.acknowledged == [2, 1]
    assert stomp_broker.most_unacknowledged == 2
    assert stomp_broker.waiting == 3 + 1  # and what asked whether there was more


def test_an_ack_of_the_mode_client_settles_all_before_it(
    styled: Broker, connect: Connect, version: str
) -> None:
    for _ in range(3):
        styled.send(QUEUE, b"")
    client = connect(version)
    client.subscribe(QUEUE, {"ack": "client"})
    client.receive()
    client.acknowledge(client.receive())
    eventually(lambda: styled.acknowledged == [1, 2], "the ACK")
    assert styled.waiting == 1


def test_the_mode_auto_wants_no_ack(stomp_broker: Broker, connect: Connect) -> None:
    stomp_broker.send(QUEUE, b"")
    client = connect()
    client.subscribe(QUEUE, {"ack": "auto"})
    client.acknowledge(client.receive())
    assert client.receive().command == "ERROR"
    assert stomp_broker.waiting == 0


def test_a_nack_is_delivered_again_unless_it_says_otherwise(
    stomp_broker: Broker, connect: Connect, version: str
) -> None:
    stomp_broker.send(QUEUE, b"")
    client = connect(version)
    client.subscribe(QUEUE)
    client.acknowledge(client.receive(), "NACK")
    again = client.receive()
    assert again.headers["redelivered"] == "true"
    name = "ack" if version == "1.2" else "message-id"
    names = {"id": again.headers[name], "message-id": again.headers[name], "subscription": "s"}
    client.send("NACK", {**names, "requeue": "false"})
    eventually(lambda: stomp_broker.nacked == [1, 1], "both")
    assert stomp_broker.waiting == 0


@pytest.mark.parametrize("reset", [False, True])
def test_what_is_not_acknowledged_comes_again_in_order(
    styled: Broker, connect: Connect, version: str, reset: bool
) -> None:
    for number in range(1, 6):
        styled.send(QUEUE, b"%d" % number)
    client = connect(version)
    client.subscribe(QUEUE, {"prefetch-count": "3", "activemq.prefetchSize": "3"})
    first = [client.receive() for _ in range(3)]
    client.acknowledge(first[1])
    eventually(lambda: styled.acknowledged, "the ACK")
    styled.cut(reset=reset)
    client = connect(version)
    client.subscribe(QUEUE)
    again = [client.receive() for _ in range(4)]
    assert [message.body for message in again] == [b"1", b"3", b"4", b"5"]
    redelivered = [message.headers.get("redelivered", "false") for message in again]
    assert redelivered == ["true", "true", "true", "false"]
    keeps_ids = styled.style == "activemq"
    assert (again[0].headers["message-id"] == first[0].headers["message-id"]) == keeps_ids
    assert styled.connections == 2


def test_several_subscribers_take_turns(stomp_broker: Broker, connect: Connect) -> None:
    clients = [connect(), connect()]
    for client in clients:
        client.subscribe(QUEUE)
    for number in range(4):
        stomp_broker.send(QUEUE, b"%d" % number)
    assert [_bodies(client, 2) for client in clients] == [[b"0", b"2"], [b"1", b"3"]]


def test_an_unsubscribed_client_gets_nothing_more(stomp_broker: Broker, connect: Connect) -> None:
    client = connect()
    client.subscribe(QUEUE)
    client.send("UNSUBSCRIBE", {"id": "s", "receipt": "r"})
    assert client.receive().headers == {"receipt-id": "r"}
    stomp_broker.send(QUEUE, b"")
    assert _has_nothing_more(client)


def test_disconnect_is_confirmed_and_the_end(connect: Connect) -> None:
    client = connect()
    client.send("DISCONNECT", {"receipt": "bye"})
    assert client.receive() == Frame("RECEIPT", {"receipt-id": "bye"})
    with pytest.raises(EOFError):
        client.receive()


@pytest.mark.parametrize("segment", [None, 1, 7])
def test_segments_are_as_long_as_the_test_wants(stomp_broker: Broker, segment: int | None) -> None:
    connected = b"".join(_segments(stomp_broker))
    stomp_broker.segment = segment
    # Two may have become one before they are read, but that is rare.
    lengths = [len(data) for data in _segments(stomp_broker)]
    assert sum(lengths) == len(connected)
    assert len(lengths) > len(connected) // (segment or 1000) // 2


def _segments(broker: Broker) -> list[bytes]:
    frame = Frame("CONNECT", {"accept-version": "1.2", "host": "/"})
    with socket.create_connection(("127.0.0.1", broker.port)) as client:
        client.sendall(frames.encode(frame, "1.2"))
        segments: list[bytes] = []
        while (
            not segments
            or not segments[-1].endswith(frames.HEART_BEAT)
            or (b"\0" not in b"".join(segments))
        ):
            segments.append(client.recv(1000))
        return segments


def test_all_that_waits_comes_in_one_segment(stomp_broker: Broker) -> None:
    for _ in range(3):
        stomp_broker.send(QUEUE, b"")
    with socket.create_connection(("127.0.0.1", stomp_broker.port)) as client:
        for frame in (
            Frame("CONNECT", {"accept-version": "1.2", "host": "/"}),
            Frame("SUBSCRIBE", {"destination": QUEUE, "id": "s"}),
        ):
            client.sendall(frames.encode(frame, "1.2"))
            data = client.recv(10000)
    assert data.count(b"MESSAGE\n") == 3


def test_heart_beats_are_sent_as_agreed(stomp_broker: Broker, connect: Connect) -> None:
    stomp_broker.heart_beat = (20, 0)
    client = connect("1.2", {"heart-beat": "0,10"})
    assert client.answer.headers["heart-beat"] == "20,0"
    assert client.receive_byte(5) + client.receive_byte(5) == b"\n\n"


def test_heart_beats_may_fail_to_come(stomp_broker: Broker, connect: Connect) -> None:
    stomp_broker.heart_beat = (20, 0)
    stomp_broker.sends_heart_beats = False
    client = connect("1.2", {"heart-beat": "0,10"})
    client.receive_byte(5)  # the end of the line after CONNECTED
    with pytest.raises(TimeoutError):
        client.receive_byte(0.1)


def test_a_client_without_heart_beats_is_cut_off(stomp_broker: Broker, connect: Connect) -> None:
    stomp_broker.heart_beat = (0, 250)
    client = connect("1.2", {"heart-beat": "10,0"})
    client.send_bytes(frames.HEART_BEAT)
    assert client.receive().command == "ERROR"
    assert stomp_broker.complaints == ["no heart-beat in time"]
    assert stomp_broker.heart_beats == 1


@pytest.mark.parametrize("closes", [False, True])
def test_a_command_fails_as_often_as_it_is_told_to(
    stomp_broker: Broker, connect: Connect, closes: bool
) -> None:
    stomp_broker.fail("CONNECT", "Bad CONNECT", closes=closes)
    client = connect()
    assert client.answer.command == "ERROR"
    assert client.answer.headers["message"] == "Bad CONNECT"
    assert client.receive_byte(5) == b"\n"
    if closes:
        assert client.receive_byte(5) == b""
    else:
        client.send("CONNECT", {"accept-version": "1.2", "host": "/"})
        assert client.receive().command == "CONNECTED"
    assert connect().answer.command == "CONNECTED"


def test_subscribe_may_fail(stomp_broker: Broker, connect: Connect) -> None:
    stomp_broker.fail("SUBSCRIBE", "access refused")
    client = connect()
    client.send("SUBSCRIBE", {"destination": QUEUE, "id": "s"})
    assert client.receive().headers["message"] == "access refused"


def test_an_error_may_come_at_any_time(stomp_broker: Broker, connect: Connect) -> None:
    client = connect()
    stomp_broker.error("going down")
    assert client.receive().headers["message"] == "going down"
    with pytest.raises(EOFError):
        client.receive()


@pytest.mark.parametrize("style", ["rabbitmq", "activemq"])
def test_a_wrong_passcode_is_refused(stomp_broker: Broker, connect: Connect, style: Any) -> None:
    stomp_broker.style = style
    stomp_broker.credentials = ("guest", "secret")
    assert connect().answer.command == "ERROR"
    assert connect("1.2", {"passcode": "secret"}).answer.command == "CONNECTED"


def test_connections_may_be_refused_and_accepted_again(
    stomp_broker: Broker, connect: Connect
) -> None:
    before = connect()
    stomp_broker.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect()
    before.subscribe(QUEUE)
    stomp_broker.listen()
    assert connect().answer.command == "CONNECTED"


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_may_be_closed_or_reset(
    stomp_broker: Broker, connect: Connect, reset: bool
) -> None:
    client = connect()
    stomp_broker.cut(reset=reset)
    with pytest.raises(ConnectionResetError if reset else EOFError):
        client.receive()


def test_a_silent_broker_listens_and_says_later_what_it_has_to(
    stomp_broker: Broker, connect: Connect
) -> None:
    client = connect()
    client.receive_byte(5)
    stomp_broker.is_silent = True
    client.send("SUBSCRIBE", {"destination": QUEUE, "id": "s", "receipt": "r"})
    eventually(lambda: stomp_broker.received("SUBSCRIBE"), "the frame")
    stomp_broker.is_silent = False
    assert client.receive().command == "RECEIPT"


def test_a_silent_broker_can_be_cut(stomp_broker: Broker, connect: Connect) -> None:
    client = connect()
    stomp_broker.is_silent = True
    client.send("DISCONNECT", {"receipt": "bye"})
    eventually(lambda: stomp_broker.received("DISCONNECT"), "the frame")
    stomp_broker.cut()
    with pytest.raises(EOFError):
        client.receive()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"ACK\nid:nothing\n\n\0", "ACK of nothing, which is not delivered or settled already"),
        (b"ACK\nmessage-id:1\n\n\0", "ACK without id"),
        (b"SUBSCRIBE\nid:\\t\n\n\0", "an undefined escape in '\\\\t'"),
        (b"SEND\ncontent-length:1\n\nab\0", "a body longer than its content-length 1"),
        (b"SEND\nno colon\n\n\0", "a header of SEND without a colon: 'no colon'"),
        (b"HELLO\n\n\0", "HELLO is not known, or comes before CONNECT"),
    ],
)
def test_what_breaks_the_protocol_is_told(
    stomp_broker: Broker, connect: Connect, data: bytes, complaint: str
) -> None:
    client = connect()
    client.send_bytes(data)
    assert client.receive().headers["message"] == complaint
    assert stomp_broker.complaints == [complaint]
    with pytest.raises(EOFError):
        client.receive()
