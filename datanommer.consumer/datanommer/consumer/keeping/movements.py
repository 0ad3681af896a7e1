"""Which threads move, so that others can see one that is stuck.

A working thread reports now and then that it moves. A resting thread reports nothing: it waits for
work, or for the end of a pause. A thread is still if it works and has not reported for long.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from datanommer.models.receiving.received import Received

_Each = TypeVar("_Each")


class Movements:
    """The reports of all threads of a hub, which share one."""

    def __init__(self) -> None:
        # For each thread that works, the moment of `time.monotonic` up to which it may be silent.
        self._moments: dict[threading.Thread, float] = {}
        self._held: dict[threading.Thread, Sequence[Received]] = {}

    def note(self, seconds: float = 0.0) -> None:
        """Report that this thread moves.

        Args:
            seconds: how long its next step may take, by a deadline of its own.
        """
        self._moments[threading.current_thread()] = time.monotonic() + seconds

    @contextmanager
    def working(self) -> Iterator[None]:
        """This thread works until the end of the context, and rests afterwards."""
        self.note()
        try:
            yield
        finally:
            self._moments.pop(threading.current_thread(), None)

    @contextmanager
    def holding(self, received: Sequence[Received]) -> Iterator[None]:
        """Until the end of the context, only this thread has these messages."""
        thread = threading.current_thread()
        self._held[thread] = received
        try:
            yield
        finally:
            del self._held[thread]

    def each(self, items: Iterable[_Each]) -> Iterator[_Each]:
        """The same items; with each that is taken, this thread reports that it moves."""
        thread, moments = threading.current_thread(), self._moments
        for item in items:
            moments[thread] = time.monotonic()
            yield item

    def live(self, work: Callable[..., None], *arguments: object) -> None:
        """Do the work of this thread; after an error, the thread counts as still for ever."""
        try:
            work(*arguments)
        except BaseException:
            self.note(-math.inf)
            raise

    def still(self, seconds: float) -> list[threading.Thread]:
        """The threads that have not reported for longer than so many seconds."""
        before = time.monotonic() - seconds
        return [thread for thread, moment in list(self._moments.items()) if moment < before]

    def a_holder_is_still(self, seconds: float) -> bool:
        """Whether a thread that holds messages has not reported for longer than so many seconds."""
        return any(thread in self._held for thread in self.still(seconds))

    def held(self) -> list[Received]:
        """The messages that a thread holds, and that are in neither the queue nor the spool."""
        return [each for received in list(self._held.values()) for each in received]


def whereabouts(thread: threading.Thread) -> str:
    """Where a thread is, in words: its name, and the line of code that it is at."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  documented, if not public
    if frame is None or not thread.is_alive():
        return f"{thread.name} (it has ended)"
    at = traceback.extract_stack(frame)[-1]
    return f"{thread.name} (in {at.name}, {at.filename} line {at.lineno})"
