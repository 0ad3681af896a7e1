"""A small STOMP broker for tests: one queue, and what can go wrong on the way from it.

What it sends and forgives was looked up in RabbitMQ 3.10.8 and ActiveMQ 5.17.2.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable

from .connection import Connection
from .frames import Frame
from .subscription import HOST, Message, Style, Subscription

#: What a SEND says to the broker alone.
_TO_THE_BROKER = {"destination", "receipt", "content-length"}


class Broker:
    """A broker on a port of its own, in threads of the test's process.

    What a test may set, at any time:
        style: which broker it is like.
        version: what it answers to CONNECT, whatever is offered; None: the highest of both.
        heart_beat: how often it offers to send, and wants to receive, heart-beats; milliseconds.
        sends_heart_beats: whether it does what it offers.
        segment: how many bytes go into one segment of TCP; None: all that there is at a time.
        credentials: the login and the passcode that it wants.
        is_silent: whether it keeps to itself what it has to say; it listens on.
    """

    def __init__(self) -> None:
        self.style: Style = "rabbitmq"
        self.version: str | None = None
        self.heart_beat = (0, 0)
        self.sends_heart_beats = True
        self.segment: int | None = None
        self.credentials: tuple[str, str] | None = None
        self.is_silent = False
        #: All frames that came, and how many heart-beats (or other ends of line) between them.
        self.frames: list[Frame] = []
        self.heart_beats = 0
        #: The numbers of the messages, in the order in which they were settled.
        self.acknowledged: list[int] = []
        self.nacked: list[int] = []
        #: The most that one subscription had at a time.
        self.most_unacknowledged = 0
        #: How many connections were made so far.
        self.connections = 0
        #: What clients did that the protocol does not allow.
        self.complaints: list[str] = []

        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._ready: deque[Message] = deque()
        self._subscriptions: list[Subscription] = []
        self._live: list[Connection] = []
        self._failures: dict[str, list[tuple[str, bool]]] = {}
        self.port = 0
        self.listen()

    @property
    def address(self) -> str:
        """Host and port, as `stomp_uri` has them."""
        return f"127.0.0.1:{self.port}"

    @property
    def waiting(self) -> int:
        """How many messages are in the queue, with those that are delivered and not settled."""
        with self._lock:
            return len(self._ready) + sum(len(each.unacknowledged) for each in self._subscriptions)

    @property
    def is_read(self) -> bool:
        """Whether the clients have read all that was sent to them."""
        with self._lock:
            return all(connection.is_read() for connection in self._live)

    def received(self, command: str) -> list[Frame]:
        """The frames of this command that came."""
        return [frame for frame in self.frames if frame.command == command]

    def send(
        self,
        destination: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        has_length: bool = True,
    ) -> int:
        """Queue a message, with a content-length or without; its number, from 1 on.

        Whoever subscribes, to whatever destination, gets it.
        """
        with self._lock:
            number = next(self._numbers)
            self._ready.append(Message(number, destination, body, headers or {}, has_length))
            self._deliver()
        return number

    def fail(self, command: str, message: str, *, times: int = 1, closes: bool = True) -> None:
        """Answer a command with ERROR the next times, and close the connection or leave it open."""
        with self._lock:
            self._failures.setdefault(command, []).extend([(message, closes)] * times)

    def error(self, message: str, *, closes: bool = True) -> None:
        """Send an ERROR to all connections now."""
        with self._lock:
            for connection in self._live:
                _send_error(connection, message, closes=closes)

    def cut(self, *, reset: bool = False) -> None:
        """Close all connections at once, maybe with a RST in place of a FIN."""
        with self._lock:
            live = list(self._live)
        for connection in live:
            connection.cut(reset=reset)
        for connection in live:
            connection.join()

    def refuse(self) -> None:
        """Refuse connections from here on; those that there are stay."""
        with contextlib.suppress(OSError):  # it may refuse already
            self._server.shutdown(socket.SHUT_RDWR)  # wakes up the thread that accepts
        self._server.close()

    def listen(self) -> None:
        """Accept connections; after `refuse` on the same port as before."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def close(self) -> None:
        self.refuse()
        self.cut()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with self._lock:
                    self.connections += 1
                    connection = Connection(self, client, self._session())
                    self._live.append(connection)
                    connection.start()

    def _session(self) -> str:
        if self.style == "rabbitmq":
            return f"session-{self.connections:04}"
        return f"{HOST}-3:{self.connections}"

    def handle(self, connection: Connection, frame: Frame | None) -> None:
        with self._lock:
            if not frame:
                self.heart_beats += 1
                return
            self.frames.append(frame)
            if failures := self._failures.get(frame.command):
                message, closes = failures.pop(0)
                _send_error(connection, message, closes=closes)
                return
            if frame.command != "DISCONNECT":
                self._action(connection, frame)(connection, frame)
            if "receipt" in frame.headers:
                connection.send(Frame("RECEIPT", {"receipt-id": frame.headers["receipt"]}))
            if frame.command == "DISCONNECT":
                connection.end()
            self._deliver()

    def complain(self, connection: Connection, complaint: str) -> None:
        with self._lock:
            self.complaints.append(complaint)
            _send_error(connection, complaint, closes=True)

    def leave(self, connection: Connection) -> None:
        with self._lock:
            self._live.remove(connection)
            self._cancel([each for each in self._subscriptions if each.connection is connection])
            self._deliver()

    def _action(self, connection: Connection, frame: Frame) -> Callable[[Connection, Frame], None]:
        if frame.command in {"CONNECT", "STOMP"}:
            return self._connect
        actions = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "ACK": self._ack,
            "NACK": self._nack,
            "SEND": self._send,
        }
        if frame.command not in actions or not connection.version:
            raise ValueError(f"{frame.command} is not known, or comes before CONNECT")
        return actions[frame.command]

    def _connect(self, connection: Connection, frame: Frame) -> None:
        offered = frame.headers.get("accept-version", "1.0").split(",")
        common = [version for version in ("1.1", "1.2") if version in offered]
        if not self.version and not common:
            raise ValueError(f"no version of {offered} is spoken here")
        given = frame.headers.get("login"), frame.headers.get("passcode")
        if self.credentials and given != self.credentials:
            _send_error(connection, "Bad CONNECT", closes=self.style == "activemq")
            return
        connection.version = self.version or common[-1]
        self._agree_on_heart_beats(connection, frame.headers.get("heart-beat", "0,0"))
        headers = {
            "version": connection.version,
            "session": connection.session,
            "heart-beat": "{},{}".format(*self.heart_beat),
        }
        connection.send(Frame("CONNECTED", headers))

    def _agree_on_heart_beats(self, connection: Connection, offered: str) -> None:
        """The slower wish of both holds; a zero on either side means none."""
        sends, wants = self.heart_beat
        client_sends, client_wants = map(int, offered.split(","))
        beats = sends and client_wants and self.sends_heart_beats
        expects = wants and client_sends
        connection.keep_alive(
            # Twice as often as was agreed.
            beats_every=max(sends, client_wants) / 2000 if beats else None,
            expects_every=max(wants, client_sends) / 1000 if expects else None,
        )

    def _subscribe(self, connection: Connection, frame: Frame) -> None:
        frame.header("destination")
        self._subscriptions.append(Subscription(connection, frame, self.style))

    def _unsubscribe(self, connection: Connection, frame: Frame) -> None:
        self._cancel(
            [
                each
                for each in self._subscriptions
                if each.connection is connection and each.id == frame.header("id")
            ]
        )

    def _ack(self, connection: Connection, frame: Frame) -> None:
        self.acknowledged += [message.number for message in self._settled(connection, frame)]

    def _nack(self, connection: Connection, frame: Frame) -> None:
        messages = self._settled(connection, frame)
        self.nacked += [message.number for message in messages]
        if frame.headers.get("requeue") != "false":
            self._requeue(messages)

    def _settled(self, connection: Connection, frame: Frame) -> list[Message]:
        name = frame.header("id" if connection.version == "1.2" else "message-id")
        if connection.version != "1.2":
            frame.header("subscription")
        for each in self._subscriptions:
            if each.connection is connection and name in each.unacknowledged:
                return each.settle(name)
        raise ValueError(f"{frame.command} of {name}, which is not delivered or settled already")

    def _send(self, connection: Connection, frame: Frame) -> None:
        headers = {
            name: value for name, value in frame.headers.items() if name not in _TO_THE_BROKER
        }
        self.send(frame.header("destination"), frame.body, headers)

    def _cancel(self, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            self._subscriptions.remove(subscription)
            self._requeue(subscription.unacknowledged.values())

    def _requeue(self, messages: Iterable[Message]) -> None:
        for message in messages:
            message.is_redelivered = True
        self._ready = deque(sorted([*self._ready, *messages], key=lambda each: each.number))

    def _deliver(self) -> None:
        """Hand out what waits to the subscriptions in turn, as far as their prefetch goes."""
        while self._ready and (free := [each for each in self._subscriptions if each.has_room]):
            subscription = free[0]
            self._subscriptions.remove(subscription)
            self._subscriptions.append(subscription)
            subscription.deliver(self._ready.popleft())
            self.most_unacknowledged = max(
                self.most_unacknowledged, len(subscription.unacknowledged)
            )
        for connection in self._live:
            connection.flush()


def _send_error(connection: Connection, message: str, *, closes: bool) -> None:
    connection.send(Frame("ERROR", {"message": message, "content-type": "text/plain"}, b"why\n"))
    connection.flush()
    if closes:
        connection.end()
