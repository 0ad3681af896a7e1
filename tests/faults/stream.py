"""Messages of many forms, one after another, with a memory of what was sent."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Protocol

from envelopes import BODHI_MSG, BODHI_TOPIC, envelope

_TICK = 0.005  # seconds


class Publisher(Protocol):
    """Sends messages."""

    def publish(self, *envelopes: dict[str, Any]) -> None:
        """Send these."""


class Stream:
    """What one publisher sends.

    Args:
        publisher: sends it.
        choice: chooses the forms of the messages.
        poison: the share of messages that no row can hold.
    """

    def __init__(self, publisher: Publisher, choice: random.Random, poison: float = 0.0) -> None:
        self._publisher = publisher
        self._choice = choice
        self._poison = poison
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self.published: list[dict[str, Any]] = []

    def publish(self, number: int) -> None:
        """Send so many messages at once."""
        self.send([self._message() for _ in range(number)])

    def send(self, envelopes: list[dict[str, Any]]) -> None:
        """Send these."""
        self._publisher.publish(*envelopes)
        self.published += envelopes

    def start(self, rate: float) -> None:
        """Send so many messages a second, until `stop`."""
        self._ends.clear()
        self._thread = threading.Thread(target=self._go_on, args=(rate,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread:
            self._ends.set()
            self._thread.join()
            self._thread = None

    def _go_on(self, rate: float) -> None:
        began, sent = time.monotonic(), 0
        while not self._ends.wait(_TICK):
            due = int((time.monotonic() - began) * rate)
            self.publish(due - sent)
            sent = due

    def _message(self) -> dict[str, Any]:
        if self._choice.random() < self._poison:
            return poison(self._choice)
        return self._choice.choice(_FORMS)(self._choice)


def poison(choice: random.Random) -> dict[str, Any]:
    """A message that belongs among the rejected."""
    faults: list[dict[str, Any]] = [
        {"timestamp": 1_361_166_918_000},
        {"msg": {"n": float("nan")}},
        {"i": 2**64},
        {"username": "nul \0"},
    ]
    return envelope(**choice.choice(faults))


#: What crosses a bus, and what has broken archives.
_FORMS = (
    lambda _: envelope(),
    lambda _: envelope(BODHI_TOPIC, msg=BODHI_MSG),
    lambda choice: envelope(msg={"text": "w\u00f6 \u0000 \ud800 \\ \t \n", "n": choice.random()}),
    lambda choice: envelope(msg=["x" * choice.randrange(5000)], timestamp=1361166918.25),
    lambda choice: envelope(f"org.example.dev.demo.{choice.randrange(50)}", msg=[1e22, -0.0, None]),
    lambda choice: envelope(certificate=f"certificate {choice.randrange(20)}\n", signature="s\n"),
)
