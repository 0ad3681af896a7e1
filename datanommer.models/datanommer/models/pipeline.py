"""Batches in two stages: PostgreSQL stores one, while Python makes the next one ready."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

# The thread that stores a batch asks for Python's lock twenty times, and waits so long for it each
# time, because the other thread works on; with the 5 ms that Python lets pass by default, hub and
# load take a quarter longer.
_SWITCH_SECONDS = 0.0002


class Pipeline:
    """Does the second stage of a batch in a thread of its own, one batch after the other.

    As a context, it waits at the end for the batch that was begun last. From when there is one on,
    the threads of the process take turns more often.

    Args:
        work: the second stage.
    """

    def __init__(self, work: Callable[..., None]) -> None:
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._work = work
        self._executor = ThreadPoolExecutor(1, "datanommer-store")
        self._running: Future[None] | None = None

    def begin(self, *batch: Any) -> None:
        """Begin the second stage of a batch, once that of the one before is done.

        Args:
            batch: what `work` is called with.

        Raises:
            Exception: what `work` raised for the one before; this one is not begun.
        """
        self.wait()
        self._running = self._executor.submit(self._work, *batch)

    def wait(self) -> None:
        """Wait until what was begun is done.

        Raises:
            Exception: what `work` raised for it.
        """
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._executor:
            self.wait()
