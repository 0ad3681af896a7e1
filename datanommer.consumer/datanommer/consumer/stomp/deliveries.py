"""The messages that a broker has delivered, until it hears what became of them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Protocol

from moksha.hub.reactor import reactor

from datanommer.consumer.stomp.frame import Frame

#: How many bytes of messages may be under way, however few messages that are.
MAX_BYTES = 64 * 1024**2


class Answerable(Protocol):
    """A connection that takes answers to what it brought."""

    def answers(self, command: str, frame: Frame) -> bytes:
        """The bytes of an ACK or NACK for a message; none where the broker waits for none."""

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens if the connection is lost."""


class StompDelivery:
    """One message that is under way; any thread may say what became of it.

    Args:
        deliveries: all that are under way.
        connection: that brought it. No other can acknowledge it.
        frame: its frame.
    """

    __slots__ = ("_deliveries", "_frame", "connection", "size")

    def __init__(self, deliveries: Deliveries, connection: Answerable, frame: Frame) -> None:
        self._deliveries = deliveries
        self._frame = Frame(frame.command, frame.headers)
        self.connection = connection
        self.size = len(frame.body)

    def acknowledge(self) -> None:
        """The message is kept: the broker may forget it."""
        self._deliveries.settle(self, "ACK")

    def refuse(self) -> None:
        """The message will never be kept."""
        self._deliveries.settle(self, "NACK")

    def answer(self, command: str) -> bytes:
        """The frame for the broker."""
        return self.connection.answers(command, self._frame)


class Deliveries:
    """All messages that are under way, over whichever connection they came.

    Only the thread of the reactor may call anything but `settle`.

    Args:
        limit: how many messages may be under way.
        has_room: called when there is room again after there was none.
    """

    def __init__(self, limit: int, has_room: Callable[[], None]) -> None:
        self._limit = limit
        self._has_room = has_room
        self._number = self._bytes = 0
        self._was_full = False
        self._settled: deque[tuple[StompDelivery, str]] = deque()
        self._is_scheduled = False

    def begin(self, connection: Answerable, frame: Frame) -> StompDelivery:
        """Take in a message that has come."""
        delivery = StompDelivery(self, connection, frame)
        self._number += 1
        self._bytes += delivery.size
        return delivery

    @property
    def is_full(self) -> bool:
        """Whether no more messages should come now; it stays so until there is room for many."""
        full = self._number >= self._limit or self._bytes >= MAX_BYTES
        half_empty = self._number <= self._limit // 2 and self._bytes <= MAX_BYTES // 2
        self._was_full = full or (self._was_full and not half_empty)
        return self._was_full

    def settle(self, delivery: StompDelivery, command: str) -> None:
        """Let the broker know what became of a message, soon; any thread may call.

        Args:
            delivery: the message.
            command: ACK or NACK.
        """
        # Append first, then check the flag: `_answer` goes the other way round, so none is missed.
        self._settled.append((delivery, command))
        if not self._is_scheduled:
            self._is_scheduled = True
            reactor.callFromThread(self._answer)

    def _answer(self) -> None:
        self._is_scheduled = False
        answers: dict[Answerable, list[bytes]] = defaultdict(list)
        was_full = self.is_full
        while self._settled:
            delivery, command = self._settled.popleft()
            self._number -= 1
            self._bytes -= delivery.size
            answers[delivery.connection].append(delivery.answer(command))
        for connection, frames in answers.items():
            connection.write(b"".join(frames))
        if was_full and not self.is_full:
            self._has_room()
