"""Lines of the log that a flood of messages must not multiply."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

_MINUTE = 60.0


class Lines:
    """A log that takes so many lines of a text a minute, and then counts.

    Args:
        log: where the lines go.
        a_minute: how many lines of one text are written; the rest is summed up.
    """

    def __init__(self, log: logging.Logger, a_minute: int = 10) -> None:
        self._log = log
        self._a_minute = a_minute
        self._lock = threading.Lock()
        self._minutes: dict[tuple[int, str], tuple[float, int]] = {}

    def warning(self, text: str, *arguments: Any) -> None:
        """Log at WARNING; `text` is what makes two lines the same."""
        self._line(logging.WARNING, text, arguments)

    def critical(self, text: str, *arguments: Any) -> None:
        """Log at CRITICAL, likewise."""
        self._line(logging.CRITICAL, text, arguments)

    def _line(self, level: int, text: str, arguments: tuple[Any, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            began, number = self._minutes.get((level, text), (now, 0))
            if now - began >= _MINUTE:
                left_out, began, number = number - self._a_minute, now, 0
                if left_out > 0:
                    self._log.log(level, "... and %s more like the following", left_out)
            self._minutes[level, text] = began, number + 1
        if number < self._a_minute:
            self._log.log(level, text, *arguments)
