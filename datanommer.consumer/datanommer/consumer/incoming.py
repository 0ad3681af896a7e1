"""Messages from the bus that wait in memory for a worker."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Any, NamedTuple

from datanommer.models.storing.batch import BATCH_BYTES

# Put into the queue to end a worker, after all messages that came before.
_END = object()


class Taken(NamedTuple):
    """What a worker takes at a time.

    Attributes:
        messages: as they came, in their order; there may be none.
        is_last: whether the worker is to end.
    """

    messages: list[Any]
    is_last: bool


class Incoming:
    """A queue of messages, in the place of moksha's own.

    It takes a tenth of the time, and a signal handler may read its size at any moment.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        #: moksha calls each of these for every message.
        self.put = self._queue.put
        self.qsize = self._queue.qsize

    def take(self, most: int) -> Taken:
        """Wait for a message, then take all that are there, up to a batch of so many."""
        batch = [self._queue.get()]
        size = _size(batch[0])
        with contextlib.suppress(queue.Empty):
            while batch[-1] is not _END and len(batch) < most and size < BATCH_BYTES:
                batch.append(self._queue.get_nowait())
                size += _size(batch[-1])
        is_last = batch[-1] is _END
        return Taken(batch[:-1] if is_last else batch, is_last)

    def end_worker(self) -> None:
        """Let a worker end once it has taken all that came before."""
        self._queue.put(_END)

    def left(self) -> Iterator[Any]:
        """The messages that no worker has taken."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._queue.get_nowait()
                if message is not _END:
                    yield message


def _size(message: Any) -> int:
    """The length of the body of a message; 0 for an object without a `body`."""
    return len(getattr(message, "body", ""))
