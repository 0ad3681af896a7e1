"""Values as text for people: durations, counts, facts, and texts that senders chose."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_KILO = 1000
#: Two digits say enough of a size.
_TWO_DIGITS = 10


def format_bytes(size: float) -> str:
    """A number of bytes, such as 1.2 GB."""
    for unit in _UNITS:
        if size < _KILO or unit == _UNITS[-1]:
            break
        size /= _KILO
    digits = 1 if size < _TWO_DIGITS and unit != _UNITS[0] else 0
    return f"{size:,.{digits}f} {unit}"


def format_messages(number: int) -> str:
    """How many messages, such as 1 message."""
    return "1 message" if number == 1 else f"{number:,} messages"


def format_exact_duration(duration: timedelta) -> str:
    """A duration with its microseconds, such as 0:12:43.087949; it may be negative."""
    return str(duration) if duration >= timedelta(0) else f"-{-duration}"


def format_duration(duration: timedelta) -> str:
    """A duration to the second, such as 0:12:43; it may be negative."""
    return format_exact_duration(timedelta(seconds=int(duration.total_seconds())))


def format_counts(counts: Mapping[str, int]) -> str:
    """Counts on one line, such as "valid 184, invalid 1"."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def format_facts(facts: Mapping[str, object], *, width: int = 10) -> Iterator[str]:
    """A line for each name with its value; a name whose value is None has no line."""
    for name, value in facts.items():
        if value is not None:
            yield f"{name + ':':<{width}}{value}"


def printable(text: str) -> str:
    """The text with each character that is not printable as an escape.

    Senders choose the texts in a message: they may hold line breaks, or commands for a terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def quoted_unless_printable(text: str) -> str:
    """The text if all of it is printable, else its literal in Python and ASCII, with quotes."""
    return text if text.isprintable() else ascii(text)


def is_coloured() -> bool:
    """Whether standard output is a terminal whose user has nothing against colours.

    Source of the variables: https://no-color.org/ and terminfo.
    """
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not is_plain
