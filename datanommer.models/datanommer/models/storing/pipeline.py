"""Batches in two stages: PostgreSQL stores one while Python makes the next one ready."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

_SWITCH_SECONDS = 0.0002


def switch_threads_often() -> None:
    """Change the whole process: let its threads take turns every 0.2 ms.

    The thread that stores a batch asks for the GIL twenty times, and waits each time for the other
    thread. With Python's default of 5 ms, hub and load take a quarter longer.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


class Pipeline:
    """Does the second stage of each batch in a thread of its own, one batch after the other.

    As a context, it waits at its end for the batch that was begun last.

    Args:
        work: the second stage.
    """

    def __init__(self, work: Callable[..., None]) -> None:
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
