"""Lines of the log that a flood of messages must not multiply."""

from __future__ import annotations

import logging
import threading
from typing import Any

_MINUTE = 60.0


class Lines:
    """A log that takes so many lines of a text a minute, and then counts.

    Args:
        log: where the lines go.
        a_minute: how many lines of one text are written; the rest is summed up, a minute after
            the first, or at the end.
    """

    def __init__(self, log: logging.Logger, a_minute: int = 10) -> None:
        self._log = log
        self._a_minute = a_minute
        self._lock = threading.Lock()
        self._numbers: dict[tuple[int, str], int] = {}

    def warning(self, text: str, *arguments: Any) -> None:
        """Log at WARNING; `text` is what makes two lines the same."""
        self._line(logging.WARNING, text, arguments)

    def critical(self, text: str, *arguments: Any) -> None:
        """Log at CRITICAL, likewise."""
        self._line(logging.CRITICAL, text, arguments)

    def close(self) -> None:
        """Sum up what was left out."""
        for level, text in list(self._numbers):
            self._sum_up(level, text)

    def _line(self, level: int, text: str, arguments: tuple[Any, ...]) -> None:
        with self._lock:
            number = self._numbers.get((level, text), 0)
            self._numbers[level, text] = number + 1
        if number == 0:
            minute = threading.Timer(_MINUTE, self._sum_up, [level, text])
            minute.daemon = True
            minute.start()
        if number < self._a_minute:
            self._log.log(level, text, *arguments)

    def _sum_up(self, level: int, text: str) -> None:
        with self._lock:
            left_out = self._numbers.pop((level, text), 0) - self._a_minute
        if left_out > 0:
            self._log.log(level, "... and %s more lines like %r", left_out, text)
