"""The deadlines of a hub's work with the database, which can all be brought forward."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from datanommer.consumer.failure import is_of_database
from datanommer.consumer.keeping.movements import Movements
from datanommer.models.database.deadline import Deadline


class Deadlines:
    """The deadlines of work that is in progress; several threads may work.

    Attributes:
        stopping: set when the work was cut short. Nobody should begin any more.
        movements: of the threads that work. Waiting within a deadline counts as moving.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.movements = Movements()
        self._running: set[Deadline] = set()

    @contextmanager
    def within(self, seconds: float) -> Iterator[Deadline]:
        """A deadline for some work, which `cut_short` brings forward."""
        deadline = Deadline(seconds)
        self._running.add(deadline)
        if self.stopping.is_set():  # maybe since before the deadline was added
            deadline.expire()
        self.movements.note(seconds)
        try:
            yield deadline
        finally:
            self.movements.note()
            self._running.discard(deadline)

    def have_cut(self, error: Exception) -> bool:
        """Whether work failed because it was cut short, so that nothing is wrong."""
        return self.stopping.is_set() and is_of_database(error)

    def cut_short(self) -> None:
        """End all work with the database now."""
        self.stopping.set()
        for deadline in list(self._running):
            deadline.expire()
