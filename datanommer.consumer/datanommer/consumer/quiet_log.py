"""A log that stays short in a flood of messages."""

from __future__ import annotations

import logging
import threading
from typing import Any

_MINUTE = 60.0


class QuietLog:
    """A log that writes the first lines of a text in each minute, and counts the others.

    Args:
        log: where the lines go.
        per_minute: how many lines of one text are written. One more line says how many were left
            out, a minute after the first, or at the end.
    """

    def __init__(self, log: logging.Logger, per_minute: int = 10) -> None:
        self._log = log
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._counts: dict[tuple[int, str], int] = {}

    def warning(self, text: str, *arguments: Any) -> None:
        """Log a line at WARNING. Lines count as equal if their `text` is, without the arguments."""
        self._write(logging.WARNING, text, arguments)

    def critical(self, text: str, *arguments: Any) -> None:
        """Log a line at CRITICAL, likewise."""
        self._write(logging.CRITICAL, text, arguments)

    def close(self) -> None:
        """Log how many lines were left out."""
        for level, text in list(self._counts):
            self._sum_up(level, text)

    def _write(self, level: int, text: str, arguments: tuple[Any, ...]) -> None:
        with self._lock:
            count = self._counts.get((level, text), 0)
            self._counts[level, text] = count + 1
        if count == 0:
            timer = threading.Timer(_MINUTE, self._sum_up, [level, text])
            timer.daemon = True
            timer.start()
        if count < self._per_minute:
            self._log.log(level, text, *arguments)

    def _sum_up(self, level: int, text: str) -> None:
        with self._lock:
            left_out = self._counts.pop((level, text), 0) - self._per_minute
        if left_out > 0:
            self._log.log(level, "... and %s more lines like %r", left_out, text)
