"""The roads on which messages come to datanommer, and what can go wrong on each.

Over a broker, nothing is lost while nobody listens, nor by a kill of the consumer at any moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pika
import pika.exceptions

import activemq
import rabbitmq
import rabbitmq_node
from bus import Bus, Daemon, eventually, happens
from datanommer.models.configuration import URL_KEY, URL_VARIABLE
from stomp import Client

from .proxy import Proxy
from .witness import Witness

_TESTS = Path(__file__).parent.parent
_WITNESS = f"faults.{Witness.__module__.rpartition('.')[2]}:{Witness.__name__}"

_REGISTERED = "Successfully registered AMQP consumer"
_START_SECONDS = 10

RoadFault = Callable[[], AbstractContextManager[None]]


class Road(Protocol):
    """How messages come."""

    @property
    def has_broker(self) -> bool:
        """Whether messages wait while nobody listens."""

    @property
    def signals(self) -> Sequence[signal.Signals]:
        """Those that end the consumer in order, as things are."""

    @property
    def unreached(self) -> int | None:
        """The exit code of a consumer that gives up as the broker is not to be had, if it does."""

    @property
    def faults(self) -> Mapping[str, RoadFault]:
        """What can go wrong on it, by name."""

    def publish(self, *envelopes: dict[str, Any]) -> None:
        """Send messages; over a broker, until it has them."""

    def start_consumer(self) -> Daemon:
        """What datanommer runs in, once it listens."""

    def close(self) -> None:
        """Take away what it made."""


def _start_hub(bus: Bus) -> Daemon:
    """A hub with a witness in it."""
    os.environ["PYTHONPATH"] = str(_TESTS)
    try:
        return bus.start("fedmsg-hub", "--with-consumers", _WITNESS)
    finally:
        del os.environ["PYTHONPATH"]


class ZeroMQ:
    """fedmsg's own: what is published while nobody listens is gone."""

    has_broker = False
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    unreached = None
    faults: ClassVar[dict[str, RoadFault]] = {}

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.publish = bus.publisher.publish

    def start_consumer(self) -> Daemon:
        """A hub that has subscribed."""
        publisher = self._bus.publisher
        while publisher.has_new_subscriber(0.2):  # one that has left: the next one is new
            publisher._socket.recv()
        hub = _start_hub(self._bus)
        eventually(lambda: publisher.has_new_subscriber(0) or not hub.is_alive, "a subscription")
        assert hub.is_alive, hub.log
        publisher.wait_for_subscriber()
        hub.wait_until_it_says("Running the MokshaHub reactor")
        return hub

    def close(self) -> None:
        pass


class Brokered:
    """A broker, and the network to it, as the consumer sees it; publishers are beside it.

    Args:
        port: of the broker.
    """

    has_broker = True

    def __init__(self, port: int) -> None:
        self.proxy = Proxy(port)

    @property
    def faults(self) -> Mapping[str, RoadFault]:
        """What the network does."""
        return {"connection cut": self._cut, "silent network": self._silent}

    @contextlib.contextmanager
    def _cut(self) -> Iterator[None]:
        self.proxy.reset()
        try:
            yield
        finally:
            self.proxy.flow()

    @contextlib.contextmanager
    def _silent(self) -> Iterator[None]:
        self.proxy.hold()
        try:
            yield
        finally:
            # Nobody knows what was under way: it may have been lost, too.
            self.proxy.cut()
            self.proxy.flow()

    def close(self) -> None:
        self.proxy.close()


@contextlib.contextmanager
def _restart(broker: activemq.ActiveMQ | rabbitmq_node.RabbitMQ) -> Iterator[None]:
    broker.kill()
    try:
        yield
    finally:
        broker.start()


class Stomp(Brokered):
    """ActiveMQ, which a hub listens to."""

    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    unreached = None
    _QUEUE = "/queue/faults"

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        folder = bus.folder / "activemq"
        folder.mkdir()
        self._broker = activemq.ActiveMQ(folder)
        self._client: Client | None = None
        super().__init__(self._broker.port)
        bus.config.update(
            {
                "zmq_enabled": False,
                "stomp_uri": f"127.0.0.1:{self.proxy.port}",
                "stomp_queue": self._QUEUE,
                "stomp_heartbeat": 1000,
            }
        )

    @property
    def faults(self) -> Mapping[str, RoadFault]:
        """What the network does, and a broker that is killed."""
        return {**super().faults, "broker restarts": partial(_restart, self._broker)}

    def publish(self, *envelopes: dict[str, Any]) -> None:
        """Send messages, until the broker has them on its disk."""
        messages = [(json.dumps(each["body"]).encode(), dict[str, str]()) for each in envelopes]
        while messages:
            try:
                self._client = self._client or self._broker.connect()
                self._client.publish(self._QUEUE, messages)
            except (OSError, EOFError):
                # Some may have arrived, and come twice.
                self._client = None
                time.sleep(0.2)
            else:
                return

    def start_consumer(self) -> Daemon:
        """A hub that listens, or that has tried to, for some seconds."""
        hub = _start_hub(self._bus)
        hub.wait_until_it_says("Running the MokshaHub reactor")
        happens(lambda: "Listening to" in hub.log or not hub.is_alive, _START_SECONDS)
        return hub

    def close(self) -> None:
        super().close()
        self._broker.close()


def _start_node(folder: Path) -> rabbitmq_node.RabbitMQ | None:
    """A RabbitMQ of one's own, where one can be started."""
    if rabbitmq_node.why_not():
        return None
    folder.mkdir()
    return rabbitmq_node.RabbitMQ(folder)


class Amqp(Brokered):
    """RabbitMQ, which `fedora-messaging consume` listens to.

    It is a node of its own, or the one that other tests use, too.
    """

    #: Where the first connection breaks: `_consume_errback` in the cli.py of fedora-messaging.
    unreached = 14

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._node = _start_node(bus.folder / "rabbitmq")
        address = self._node.address if self._node else rabbitmq.ADDRESS
        self._broker = rabbitmq.Broker(bus.folder, address)
        self._broker.declare_queue()
        self._channel: Any = None
        super().__init__(address[1])

    @property
    def signals(self) -> Sequence[signal.Signals]:
        """SIGHUP is nothing to fedora-messaging, and none ends it while the broker says nothing.

        It waits for the answer to its cancel: `halt` in its twisted/protocol.py.
        """
        return () if self.proxy.is_held else (signal.SIGTERM, signal.SIGINT)

    @property
    def faults(self) -> Mapping[str, RoadFault]:
        """What the network does, and a node that is killed, if others do not use it."""
        if self._node is None:
            return super().faults
        return {**super().faults, "broker restarts": partial(_restart, self._node)}

    def publish(self, *envelopes: dict[str, Any]) -> None:
        """Send messages as a bridge from fedmsg does, until the broker has them."""
        for each in envelopes:
            while not self._send(each["body"]):
                time.sleep(0.2)

    def _send(self, body: dict[str, Any]) -> bool:
        properties = pika.BasicProperties(
            headers={"fedora_messaging_schema": "base.message", "fedora_messaging_severity": 20},
            message_id=body["msg_id"],
            content_encoding="utf-8",
            delivery_mode=2,
        )
        try:
            self._channel = self._channel or self._broker.open_channel()
            self._channel.basic_publish(
                self._broker.name, body["topic"], json.dumps(body).encode(), properties
            )
        except (pika.exceptions.AMQPError, OSError):
            self._channel = None
            return False
        return True

    def start_consumer(self) -> Daemon:
        """A consumer that listens, or that has tried to, for some seconds."""
        os.environ[URL_VARIABLE] = self._bus.config[URL_KEY]
        conf = self._broker.configuration(self.proxy.port)
        try:
            consumer = self._bus.start(
                "fedora-messaging", "--conf", conf, "consume", rabbitmq.CALLBACK
            )
        finally:
            del os.environ[URL_VARIABLE]
        # Before that, SIGTERM kills it.
        happens(lambda: _REGISTERED in consumer.log or not consumer.is_alive, _START_SECONDS)
        return consumer

    def close(self) -> None:
        super().close()
        if self._channel:
            # Nobody has told it yet, maybe, that the node was killed.
            with contextlib.suppress(pika.exceptions.AMQPError, OSError):
                self._channel.connection.close()
        if self._node:
            self._node.close()
        else:
            self._broker.close()


#: By the name that is given at the shell, each with why it cannot be tried here.
ROADS: dict[str, tuple[Callable[[Bus], Road], Callable[[], str | None]]] = {
    "zeromq": (ZeroMQ, lambda: None),
    "stomp": (Stomp, activemq.why_not),
    "amqp": (Amqp, lambda: rabbitmq_node.why_not() and rabbitmq.why_not()),
}
