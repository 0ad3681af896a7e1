"""A log that stays short in a flood of messages."""

from __future__ import annotations

import logging
import textwrap
import threading
from collections.abc import Hashable
from typing import Any, NamedTuple

_MINUTE = 60.0
_EXAMPLE_LENGTH = 200  # characters of the example that stands for the lines left out


class _Line(NamedTuple):
    level: int
    text: str
    kind: Hashable


class QuietLog:
    """A log that writes the first lines of a text in each minute, and counts the others.

    Args:
        log: where the lines go.
        per_minute: how many equal lines are written. One more line says how many were left
            out, a minute after the first, or at the end.
        minute: how long that is, in seconds.
    """

    def __init__(
        self, log: logging.Logger, per_minute: int = 10, *, minute: float = _MINUTE
    ) -> None:
        self._log = log
        self._per_minute = per_minute
        self._minute = minute
        self._lock = threading.Lock()
        self._counts: dict[_Line, int] = {}
        self._examples: dict[_Line, str] = {}

    def warning(self, text: str, *arguments: Any, kind: Hashable = None) -> None:
        """Log a line at WARNING.

        Args:
            text: with the places of the arguments.
            arguments: what differs from line to line.
            kind: of the line. Lines are equal if their `text` and `kind` are, so one cause does not
                hide another one with the same text.
        """
        self._write(_Line(logging.WARNING, text, kind), arguments)

    def critical(self, text: str, *arguments: Any, kind: Hashable = None) -> None:
        """Log a line at CRITICAL, likewise."""
        self._write(_Line(logging.CRITICAL, text, kind), arguments)

    def close(self) -> None:
        """Log how many lines were left out."""
        for line in list(self._counts):
            self._sum_up(line)

    def _write(self, line: _Line, arguments: tuple[Any, ...]) -> None:
        with self._lock:
            count = self._counts.get(line, 0)
            self._counts[line] = count + 1
            if count == 0:
                self._examples[line] = textwrap.shorten(line.text % arguments, _EXAMPLE_LENGTH)
        if count == 0:
            timer = threading.Timer(self._minute, self._sum_up, [line])
            timer.daemon = True
            timer.start()
        if count < self._per_minute:
            self._log.log(line.level, line.text, *arguments)

    def _sum_up(self, line: _Line) -> None:
        with self._lock:
            left_out = self._counts.pop(line, 0) - self._per_minute
            example = self._examples.pop(line, "")
        if left_out > 0:
            self._log.log(
                line.level, "... and %s more of this kind, like the first: %s", left_out, example
            )
