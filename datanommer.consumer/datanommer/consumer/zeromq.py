"""Messages that come over ZeroMQ, including those that moksha cannot read."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import zmq
from twisted.internet.defer import Deferred, succeed

from datanommer.models.receiving.received import Received

log = logging.getLogger("fedmsg.consumers.datanommer.zeromq")


class ZeroMQ:
    """The sockets of a hub that listen to the bus.

    moksha raises on anything but a topic and a body in UTF-8, and Twisted logs a traceback each
    time. So what a socket brings is read here (source: moksha.hub.zeromq.zeromq, moksha.hub
    1.5.17). A consumer that raises keeps no message from the others.

    Args:
        hub: the hub of moksha; the consumer has subscribed.
        topics: what the consumer listens to.
        keep: takes what moksha cannot read.

    Attributes:
        is_up: has fired from the start: the sockets reconnect by themselves, and tell nobody.
    """

    def __init__(self, hub: Any, topics: Iterable[str], keep: Callable[[Received], object]) -> None:
        self._prefixes = tuple(topic.replace("*", "").encode() for topic in topics)
        self._keep = keep
        self.is_up = succeed(None)
        factories = [getattr(each, "twisted_zmq_factory", None) for each in hub.extensions]
        self._factories = [factory for factory in factories if factory]
        for connection in self._connections():
            self._take_over(connection)

    def stop_listening(self) -> None:
        """Close the sockets, because neither moksha nor the reactor does."""
        for connection in self._connections():
            connection.shutdown()

    def say_goodbye(self) -> Deferred[None]:
        """Nobody waits for an answer over ZeroMQ."""
        return succeed(None)

    def _connections(self) -> list[Any]:
        return [each for factory in self._factories for each in list(factory.connections)]

    def _take_over(self, connection: Any) -> None:
        callbacks = connection._moksha_callbacks  # noqa: SLF001  one for each subscription

        def receive(parts: Sequence[bytes]) -> None:
            try:
                topic, body = [part.decode() for part in parts]
            except ValueError:  # not two parts, or not UTF-8
                if parts[0].startswith(self._prefixes):
                    self._keep(Received.of_parts(parts))
                return
            for callback in callbacks:
                try:
                    callback(body, topic)
                except Exception:  # another consumer may raise anything
                    log.exception("A consumer failed on a message. The others get it.")

        # txZMQ asks before each message whether there is one, and gives each a logging context of
        # its own: a sixth of the time of a hub (source: txzmq.connection, txZMQ 1.0.0).
        def read() -> None:
            with contextlib.suppress(zmq.Again):
                while connection.socket is not None:  # until it is shut down
                    receive(connection.socket.recv_multipart(zmq.NOBLOCK))

        connection.doRead = read
