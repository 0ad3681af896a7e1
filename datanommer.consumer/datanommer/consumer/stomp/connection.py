"""One connection to a broker: the handshake, subscriptions, heart-beats, and what it brings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from moksha.hub.reactor import reactor
from twisted.internet import protocol
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from datanommer.consumer.stomp.frame import VERSIONS, Frame, FrameError, FrameReader, encode
from datanommer.consumer.stomp.settings import Settings

log = logging.getLogger("fedmsg.consumers.datanommer.stomp")

# From the connection on, until the broker has taken the last subscription.
_HANDSHAKE_SECONDS = 30.0
# Intervals of the heart-beat without a byte, after which the broker counts as gone. The
# specification leaves the margin to each side.
_MISSED = 2
_SUBSCRIBED = "subscribed-"
_GOODBYE = "goodbye"
_SHOWN_CHARACTERS = 300


class Owner(Protocol):
    """Hears what happens on a connection."""

    def subscribed(self, connection: Connection) -> None:
        """The broker has taken all subscriptions."""

    def brought(self, connection: Connection, message: Frame) -> None:
        """A message has come."""

    def complained(self, connection: Connection, reason: str) -> None:
        """The broker has sent an ERROR, or no STOMP; the connection ends."""


class Connection(protocol.Protocol):
    """Speaks STOMP 1.1 or 1.2, whichever the broker prefers.

    Args:
        settings: how to speak.
        host: the name of the broker's host.
        destinations: what to subscribe to.
        owner: hears what happens.

    Attributes:
        is_subscribed: whether the broker has taken all subscriptions.
        has_complained: whether the broker has sent an ERROR.
        why_lost: why the connection has ended, in words.
    """

    transport: Any  # Twisted's interface lacks what TCP and TLS have

    def __init__(
        self, settings: Settings, host: str, destinations: Iterable[str], owner: Owner
    ) -> None:
        self._settings = settings
        self._host = host
        self._destinations = list(destinations)
        self._owner = owner
        self._reader = FrameReader(unescapes=settings.unescapes)
        self._to_confirm: set[str] = set()
        self._heart_beats: list[LoopingCall] = []
        self._silent_intervals = 0
        self._is_connected = self._is_paused = self._is_stopping = False
        self.is_subscribed = self.has_complained = False
        self.why_lost = ""

    def connectionMade(self) -> None:  # noqa: N802  Twisted's name
        """Introduce ourselves."""
        self._is_connected = True
        self.transport.setTcpKeepAlive(1)  # for a broker that has no heart-beat
        self._handshake = reactor.callLater(_HANDSHAKE_SECONDS, self._time_out)
        settings = self._settings
        headers = {
            "accept-version": "1.1,1.2",
            "host": self._host if settings.vhost is None else settings.vhost,
            "login": settings.user,
            "passcode": settings.password,
            "heart-beat": f"{settings.heart_beat},{settings.heart_beat}",
        }
        self.write(self.frame("CONNECT", headers))

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Take what has come, one frame after another."""
        self._silent_intervals = 0
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
                if self.has_complained:
                    return
        except FrameError as error:
            self._complain(f"no STOMP: {error}")

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:  # noqa: N802
        """Stop all timers."""
        # What is wrong with TLS is said here and nowhere else.
        self.why_lost = self.why_lost or reason.getErrorMessage()
        self._is_connected = False
        self._end_handshake()
        for each in self._heart_beats:
            each.stop()

    def _take(self, frame: Frame) -> None:
        if frame.command == "MESSAGE":
            # What comes now is not acknowledged, and so comes again.
            if not self._is_stopping:
                self._owner.brought(self, frame)
        elif frame.command == "RECEIPT":
            self._confirm(frame.headers.get("receipt-id", ""))
        elif frame.command == "CONNECTED":
            self._begin(frame)
        else:
            self._complain(_reason(frame))

    def _begin(self, connected: Frame) -> None:
        version = connected.headers.get("version", "1.0")
        if version not in VERSIONS:
            self._complain(f"it speaks STOMP {version}, and 1.1 or 1.2 is needed")
            return
        self._reader.version = version
        server = connected.headers.get("server", "the broker")
        log.info("Connected to %s with STOMP %s.", server, version)
        self._begin_heart_beats(connected.headers.get("heart-beat", "0,0"))
        self._to_confirm = {f"{_SUBSCRIBED}{number}" for number in range(len(self._destinations))}
        for number, destination in enumerate(self._destinations):
            log.info("Subscribing to %s.", destination)
            self._subscribe(destination, f"{_SUBSCRIBED}{number}")

    def _subscribe(self, destination: str, receipt: str) -> None:
        prefetch = str(self._settings.prefetch)
        headers = {
            "destination": destination,
            "id": destination,
            "ack": "client-individual" if self._settings.acknowledges else "auto",
            "receipt": receipt,
            # How many messages may be under way, for ActiveMQ and for RabbitMQ.
            "activemq.prefetchSize": prefetch,
            "prefetch-count": prefetch,
        }
        self.write(self.frame("SUBSCRIBE", headers))

    def _confirm(self, receipt: str) -> None:
        if receipt == _GOODBYE:
            self.transport.loseConnection()
            return
        self._to_confirm.discard(receipt)
        if not self._to_confirm and not self.is_subscribed:
            self.is_subscribed = True
            self._end_handshake()
            self._owner.subscribed(self)

    def _begin_heart_beats(self, offered: str) -> None:
        """Begin the heart-beats that both sides agree on: the longer interval, none if one is 0."""
        sends, wants = (
            int(part) if part.isdecimal() else 0 for part in f"{offered},0".split(",")[:2]
        )
        own = self._settings.heart_beat
        if own and wants:
            # Twice as often as promised, so that a busy moment does not break the promise.
            self._repeat(self._say_that_we_are_here, max(own, wants) / 2)
        if own and sends:
            self._repeat(self._look_for_silence, max(own, sends))

    def _repeat(self, call: Callable[[], None], milliseconds: float) -> None:
        repeated = LoopingCall(call)
        repeated.start(milliseconds / 1000, now=False)
        self._heart_beats.append(repeated)

    def _say_that_we_are_here(self) -> None:
        self.write(b"\n")

    def _look_for_silence(self) -> None:
        # Intervals are counted, and not seconds: a reactor that was busy has not read meanwhile.
        self._silent_intervals += not self._is_paused
        if self._silent_intervals > _MISSED:
            self.abort("it says nothing any more, not even its heart-beat")

    def _time_out(self) -> None:
        self.abort(f"it has not taken the subscription in {_HANDSHAKE_SECONDS:.0f} seconds")

    def _end_handshake(self) -> None:
        if self._handshake.active():
            self._handshake.cancel()

    def _complain(self, reason: str) -> None:
        self.has_complained = True
        self._owner.complained(self, reason)
        # RabbitMQ keeps the connection open after some errors.
        self.abort(reason)

    def answers(self, command: str, frame: Frame) -> bytes:
        """The bytes of an ACK or NACK for a message; none where the broker waits for none."""
        headers = frame.headers
        if not self._settings.acknowledges:
            return b""
        if command == "NACK" and not self._settings.refuses:
            return b""
        told = {"message-id": headers.get("message-id", "")}
        if self._reader.version == "1.2":
            told = {"id": headers.get("ack", "")}
        told["subscription"] = headers.get("subscription", "")
        if command == "NACK":
            told["requeue"] = "false"  # RabbitMQ would bring it again, at once and for ever
        return self.frame(command, told)

    def frame(self, command: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
        """The bytes of a frame, with the escapes that both sides know."""
        # Until the broker has answered to CONNECT, it may be too old to know escapes.
        escapes = self._settings.unescapes and command != "CONNECT"
        return encode(self._reader.version if escapes else None, command, headers, body)

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens if the connection is lost."""
        if self._is_connected and data:
            self.transport.write(data)

    def pause(self) -> None:
        """Read no more for now; what the broker sends waits in the network."""
        if not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and self._is_connected:
            self._is_paused = False
            self._silent_intervals = 0
            self.transport.resumeProducing()

    def stop_listening(self) -> None:
        """Take no more messages. What was taken can still be acknowledged."""
        self._is_stopping = True

    def say_goodbye(self) -> None:
        """End once the broker has read all answers."""
        self.resume()
        self.write(self.frame("DISCONNECT", {"receipt": _GOODBYE}))

    def abort(self, why: str) -> None:
        """End at once, and say why."""
        if self._is_connected:
            self.why_lost = why
            self.transport.abortConnection()


def _reason(error: Frame) -> str:
    """What an ERROR says, on one line; brokers add their tracebacks."""
    first_line = error.body.decode("utf-8", "replace").strip().partition("\n")[0].strip()
    told = [error.headers.get("message", "").strip(), first_line]
    return (
        ": ".join(dict.fromkeys(filter(None, told)))[:_SHOWN_CHARACTERS]
        or "an ERROR, and no reason"
    )
