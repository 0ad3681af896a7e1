"""Messages for a spool, and what can be taken out of one."""

from __future__ import annotations

from typing import Any

from datanommer.models.receiving.received import Received
from datanommer.models.receiving.receiver import Receiver
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received, without

#: One of everything that a batch may hold, and what is to be stored of it.
BATCH = [
    *(
        received(each)
        for each in (
            envelope(msg={"nul": "\0", "half": "\ud800", "n": [1, 1.0, 1e22]}, headers={"a": "b"}),
            without(envelope(), "msg_id", "timestamp"),
            envelope(timestamp=1361166918.8867381, certificate="c\n", username=None),
            envelope(i=2**63),
            envelope(msg=float("nan")),
            envelope(msg_id="nul\0 and half\ud800"),
        )
    ),
    Received.of({"topic": "stomp", "body": [], "headers": {"message-id": "ID:1", "w\u00f6": "\0"}}),
    Received("deep", "[" * 100_000),
    Received("w\u00f6rld", "no JSON \u20ac"),
]
RECEIVER = Receiver({})
ITEMS = list(RECEIVER.each(BATCH))
LARGE = received(envelope(msg="x" * 100_000))

_MUCH = 10**9


def take(spool: Spool, number: int) -> list[Any]:
    """Take so many messages out; what is to be stored of them."""
    items: list[Any] = []
    while len(items) < number and (chunk := spool.first(number - len(items), _MUCH)):
        items += RECEIVER.each(chunk.received)
        spool.remove(chunk)
    return items


def drained(spool: Spool) -> tuple[list[Any], int]:
    """Take everything out; what is to be stored of it, and how many are told to be lost."""
    items: list[Any] = []
    missing = 0
    while chunk := spool.first(2, _MUCH):
        items += RECEIVER.each(chunk.received)
        if loss := spool.remove(chunk):
            missing += loss.missing
    return items, missing


def items_of(spool: Spool) -> list[Any]:
    """What is to be stored of the oldest messages, which stay where they are."""
    chunk = spool.first(_MUCH, _MUCH)
    return list(RECEIVER.each(chunk.received)) if chunk else []


def size_on_disk(spool: Spool) -> int:
    """The bytes of all its files."""
    return sum(file.stat().st_size for file in spool.folder.iterdir())
