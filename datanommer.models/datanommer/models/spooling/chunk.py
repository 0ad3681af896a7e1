"""What waits in a segment of a spool: messages as records, and records as messages."""

from __future__ import annotations

import json
from typing import NamedTuple

from datanommer.models.envelopes.identity import Fallback
from datanommer.models.receiving.received import SPOOL, Received
from datanommer.models.spooling.segment import Record, Segment
from datanommer.models.spooling.state import State


class Chunk(NamedTuple):
    """What has waited longest.

    Attributes:
        received: the messages that can be read.
        missing: how many among them cannot.
        after: the id of the message before the first.
        last: the id of the last.
        segment: the name of the segment that they are in; None if it is gone.
        end: where the last one ends in it, in bytes.
    """

    received: list[Received]
    missing: int
    after: int
    last: int
    segment: str | None
    end: int = 0


def gone(state: State, last: int) -> Chunk:
    """The messages up to an id, which are in no segment any more."""
    return Chunk([], last - state.taken, state.taken, last, None)


def read(segment: Segment, state: State, last: int, limit: int, max_bytes: int) -> Chunk:
    """The messages of a segment that have waited longest.

    Args:
        segment: where they are.
        state: of the spool.
        last: the id of the last message of the segment.
        limit: how many messages at most.
        max_bytes: how many bytes at most; the last message may exceed that.

    Raises:
        OSError: the segment cannot be opened.
    """
    received: list[Received] = []
    expected, size, missing = state.taken + 1, 0, 0
    offset = state.offset if segment.name == state.reading else 0
    for record in segment.records(offset):
        if not expected <= record.record_id <= last:
            continue
        missing += record.record_id - expected
        received.append(received_of(record))
        expected, offset = record.record_id + 1, record.end
        size += len(record.content)
        if len(received) >= limit or size >= max_bytes:
            break
    else:
        missing += last + 1 - expected
        expected = last + 1
    return Chunk(received, missing, state.taken, expected - 1, segment.name, offset)


def content_of(received: Received) -> bytes:
    """What the record of a message holds: a line of JSON, and the body as it came."""
    body = received.body
    fallback = received.fallback or ()
    is_text = isinstance(body, str)
    line = json.dumps([received.topic, received.headers, received.is_accepted, is_text, *fallback])
    return b"%b\n%b" % (line.encode(), body.encode() if isinstance(body, str) else body)


def received_of(record: Record) -> Received:
    """The message that a record holds."""
    line, _, body = record.content.partition(b"\n")
    topic, headers, is_accepted, is_text, *fallback = json.loads(line)
    text = body.decode() if is_text else body
    drawn = Fallback(*fallback) if fallback else None
    received = Received(topic, text, headers, drawn, is_accepted, road=SPOOL)
    if drawn:
        received.received_at = drawn.moment
    return received
