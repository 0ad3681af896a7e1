"""Takes over moksha's road to STOMP brokers: connects to them in turn, and hands out messages."""

from __future__ import annotations

import fnmatch
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from moksha.hub.reactor import reactor
from moksha.hub.stomp.stomp import StompHubExtension
from twisted.internet.defer import Deferred

from datanommer.consumer.backoff import Backoff
from datanommer.consumer.quiet_log import QuietLog
from datanommer.consumer.stomp import destinations
from datanommer.consumer.stomp.connection import Connection
from datanommer.consumer.stomp.deliveries import Deliveries, StompDelivery
from datanommer.consumer.stomp.frame import Frame
from datanommer.consumer.stomp.settings import Settings
from datanommer.models.configuration import TOPIC_KEY
from datanommer.models.receiving.received import Received

log = logging.getLogger("fedmsg.consumers.datanommer.stomp")

#: After so many seconds in which every broker has answered with an ERROR, the hub ends.
GIVE_UP_SECONDS = 60.0
# A connection that has held for so many seconds was a good one.
_GOOD_SECONDS = 10.0
_GOODBYE_SECONDS = 2.0


class Extension(StompHubExtension):  # type: ignore[misc]  # moksha has no types
    """Replaces moksha's own extension: it is moksha's object with another class.

    moksha begins to connect before any consumer is made, so its object cannot be replaced.

    Attributes:
        is_up: fires once a broker has taken all subscriptions, or the first try has failed.
    """

    # Of moksha's object; `addresses` are pairs of a host and a port.
    addresses: list[list[str]]
    address_index: int
    proto: Connection | None
    _topics: list[str]
    _frames: list[Any]  # what waits to be sent, each a destination and a body

    @classmethod
    def take_over(cls, consumer: Any, settings: Settings, end: Callable[[int], None]) -> Extension:
        """Take over moksha's extension of a hub, before the reactor runs.

        Args:
            consumer: datanommer's; it has the `hub` and the `topic`.
            settings: how to speak to the brokers.
            end: ends the hub in order, with an exit code.
        """
        (extension,) = (
            each for each in consumer.hub.extensions if isinstance(each, StompHubExtension)
        )
        extension.__class__ = cls
        taken: Extension = extension
        taken._prepare(consumer, settings, end)
        return taken

    def _prepare(self, consumer: Any, settings: Settings, end: Callable[[int], None]) -> None:
        self._consumer = consumer
        self._settings = settings
        self._end = end
        self._backoff = Backoff()
        self._frames = [(each.headers["destination"], each.body.encode()) for each in self._frames]
        self._deliveries = Deliveries(settings.prefetch, self._read_on)
        self._log = QuietLog(log, per_minute=1)
        self._subscribed_at: float | None = None
        #: The errors of brokers that took no subscription, by their places in `addresses`.
        self._complaints: dict[int, str] = {}
        self._complaints_since: float | None = None
        self._is_stopping = False
        self._gone: Deferred[None] = Deferred()
        self.is_up: Deferred[None] = Deferred()
        if not settings.acknowledges:
            log.warning(
                "stomp_ack_mode is auto: the broker forgets each message once it is sent, and a "
                "kill -9 of the hub loses what has not been stored, up to %s messages and all "
                "that is in the network. Leave stomp_ack_mode out to lose none.",
                settings.prefetch,
            )
        else:
            log.info("Each message is acknowledged once it is kept (client-individual).")

    # What moksha and its consumers call.

    def subscribe(self, topic: str, callback: object) -> None:
        """Subscribe to a topic of a consumer, with the next connection."""
        if topic not in self._topics:
            self._topics.append(topic)

    def send_message(self, topic: str | bytes, message: str | bytes, **headers: object) -> None:
        """Send a message of another consumer; any thread may call.

        What is sent while there is no connection waits for one, in memory.
        """
        destination = topic.decode() if isinstance(topic, bytes) else topic
        body = message if isinstance(message, bytes) else message.encode()
        reactor.callFromThread(self._send, destination, body)

    def _send(self, destination: str, body: bytes) -> None:
        if self.proto and self.proto.is_subscribed:
            headers = {"destination": destination, "content-length": str(len(body))}
            self.proto.write(self.proto.frame("SEND", headers, body))
        else:
            self._frames.append((destination, body))

    # What Twisted calls.

    def buildProtocol(self, addr: object) -> Connection | None:  # noqa: N802
        """The connection that was made, to the broker whose turn it is."""
        if self._is_stopping:
            return None
        wanted = [self._settings.queue] if self._settings.queue else self._topics
        host, _ = self._address
        self.proto = Connection(self._settings, host, wanted, self)
        return self.proto

    def clientConnectionLost(self, connector: object, reason: Any) -> None:  # noqa: N802
        """Connect anew, unless the hub ends."""
        connection, self.proto = self.proto, None
        if self._is_stopping:
            _fire(self._gone)
            return
        assert connection  # it was made, or it could not be lost
        if self._subscribed_at and time.monotonic() > self._subscribed_at + _GOOD_SECONDS:
            self._backoff.reset()
        self._subscribed_at = None
        if not connection.has_complained:
            self._forget_complaint()
        self._connect_again(f"The connection to {self._name} is lost", connection.why_lost)

    def clientConnectionFailed(self, connector: object, reason: Any) -> None:  # noqa: N802
        """Try the next broker."""
        self._forget_complaint()
        self._connect_again(f"{self._name} cannot be reached", reason.getErrorMessage())

    def _connect_again(self, what: str, why: str) -> None:
        pause = self._backoff.pause()
        if len(self._complaints) == len(self.addresses):
            self._complaints_since = self._complaints_since or time.monotonic()
            left = self._complaints_since + GIVE_UP_SECONDS - time.monotonic()
            if left <= 0:
                self._give_up()
                return
            pause = min(pause, left)
        self.address_index = (self.address_index + 1) % len(self.addresses)
        why = why.rstrip(".")
        log.warning("%s: %s. Trying %s in %.1f seconds.", what, why, self._name, pause)
        # Whoever waits for this finds in the log what has happened.
        _fire(self.is_up)
        reactor.callLater(pause, self._connect)

    def _connect(self) -> None:
        if self._is_stopping:
            return
        try:
            self.connect(self._address, self.key, self.crt)
        except Exception as error:  # noqa: BLE001  such as a certificate that is not there now
            self._connect_again(f"No connection to {self._name} can be made", str(error))

    def _give_up(self) -> None:
        told = "; ".join(
            f"{':'.join(self.addresses[place])} says {reason!r}"
            for place, reason in self._complaints.items()
        )
        log.critical("datanommer ends the hub: every broker answers with an ERROR. %s.", told)
        self._end(1)

    @property
    def _address(self) -> list[str]:
        return self.addresses[self.address_index]

    @property
    def _name(self) -> str:
        return ":".join(self._address)

    # What a connection calls.

    def subscribed(self, connection: Connection) -> None:
        """The broker has taken all subscriptions."""
        log.info("Listening to %s.", self._name)
        self._subscribed_at = time.monotonic()
        _fire(self.is_up)
        self._forget_complaint()
        waiting, self._frames = self._frames, []
        for destination, body in waiting:
            self._send(destination, body)

    def complained(self, connection: Connection, reason: str) -> None:
        """A broker has sent an ERROR; clientConnectionLost comes next."""
        log.error("The broker %s answers: %s", self._name, reason)
        if not connection.is_subscribed:
            self._complaints[self.address_index] = reason

    def _forget_complaint(self) -> None:
        self._complaints.pop(self.address_index, None)
        self._complaints_since = None

    def brought(self, connection: Connection, message: Frame) -> None:
        """A message has come: hand it to all that want it."""
        headers = message.headers
        destination = headers.get("original-destination") or headers.get("destination", "")
        delivery = self._deliveries.begin(connection, message)
        if self._deliveries.is_full:
            connection.pause()
        callbacks = self._callbacks(destination, headers.get("subscription"))
        is_handled = _call(callbacks, destination, message) if callbacks else True
        if self._is_wanted(destination, headers.get("subscription")):
            received = Received.of_frame(destination, message.body, headers, delivery)
            self._consumer._consume(received)  # noqa: SLF001  as moksha calls it
            return
        if not callbacks:
            self._log.warning("Skipped, because %s does not match: %s", TOPIC_KEY, destination)
        self._answer(delivery, is_handled)

    def _answer(self, delivery: StompDelivery, is_handled: bool) -> None:
        if is_handled:
            delivery.acknowledge()
        else:
            delivery.refuse()

    def _is_wanted(self, destination: str, subscription: str | None) -> bool:
        topics = self._consumer.topic
        is_own = not self._settings.queue and subscription in topics
        return is_own or destinations.matches(destination, topics)

    def _callbacks(self, destination: str, subscription: str | None) -> list[Callable[..., Any]]:
        """Those of the other consumers, as moksha finds them."""
        return [
            callback
            for topic, callbacks in self.hub.topics.items()
            if topic == subscription or fnmatch.fnmatch(destination, topic)
            for callback in callbacks
            if getattr(callback, "__self__", None) is not self._consumer
        ]

    def _read_on(self) -> None:
        if self.proto:
            self.proto.resume()

    # The end of the hub.

    def stop_listening(self) -> None:
        """Take no more messages. What was taken can still be acknowledged."""
        self._is_stopping = True
        if self.proto:
            self.proto.stop_listening()

    def say_goodbye(self) -> Deferred[None]:
        """End the connection once the broker has read all answers; fires when it has ended."""
        self._log.close()
        if self.proto:
            self.proto.say_goodbye()
            reactor.callLater(_GOODBYE_SECONDS, self.proto.abort, "it has not said goodbye")
        else:
            _fire(self._gone)
        return self._gone


def _fire(deferred: Deferred[None]) -> None:
    """Fire a Deferred, unless it has fired already."""
    if not deferred.called:
        deferred.callback(None)


def _call(callbacks: list[Callable[..., Any]], destination: str, message: Frame) -> bool:
    """Hand a message to other consumers, as moksha would; whether none has failed on it."""
    text = message.body.decode("utf-8", "replace")
    try:
        body = json.loads(text) if text else {}
    except ValueError:
        body = text
    # A copy: consumers of fedmsg write into it.
    envelope = {"body": body, "topic": destination, "headers": dict(message.headers)}
    answers = []
    for callback in callbacks:
        try:
            answers.append(callback(envelope))
        except Exception:
            log.exception("Another consumer has failed on a message of %s.", destination)
            answers.append(False)
    return False not in answers
