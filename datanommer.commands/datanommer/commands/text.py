"""Texts for people: times, and what senders wrote, on one line."""

from __future__ import annotations

from datetime import datetime, timedelta


def date(moment: datetime) -> str:
    """A time (naive, in UTC) to the second, such as 2013-02-18T05:55:18Z."""
    return f"{moment.isoformat(timespec='seconds')}Z"


def clock(age: timedelta) -> str:
    """A time span, such as 0:12:43; it may be negative."""
    return str(age) if age >= timedelta(0) else f"-{-age}"


def seconds(age: timedelta) -> str:
    """A time span to the second, such as 0:12:43; it may be negative."""
    return clock(timedelta(seconds=int(age.total_seconds())))


def printable(text: str) -> str:
    """The text with what is not printable as escapes.

    Whoever sends a message chooses what is in it: line breaks, and what commands a terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
