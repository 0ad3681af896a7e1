"""Growing pauses between tries."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that double from try to try, with jitter, so that processes do not retry in step.

    Args:
        first: the first pause, in seconds.
        longest: the longest pause, in seconds.
    """

    def __init__(self, first: float = 0.1, longest: float = 30.0) -> None:
        self._first = self._next = first
        self._longest = longest

    def pause(self) -> float:
        """How long to wait now, in seconds."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause * random.uniform(0.5, 1.5)  # noqa: S311  no secret

    def reset(self) -> None:
        """Begin with the first pause again: a try has succeeded."""
        self._next = self._first
