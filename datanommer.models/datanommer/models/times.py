"""Times in their three forms: naive in UTC, aware, and seconds since 1970.

The API speaks naive UTC, as the classic line did. The database holds aware times. A message brings
epoch seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: The start of 1970: naive, in UTC.
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  naive UTC, as in the classic API


def as_utc(moment: datetime) -> datetime:
    """The aware datetime of `moment`; a naive one is in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def naive_utc(moment: datetime) -> datetime:
    """The naive datetime in UTC of an aware one."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def to_epoch(moment: datetime) -> int | float:
    """Epoch seconds of a naive datetime in UTC: an int where the second is whole."""
    since = moment - EPOCH
    seconds = since.days * 86_400 + since.seconds
    if not since.microseconds:
        return seconds
    # One division of integers is rounded exactly, so a float with microseconds survives.
    return (seconds * 1_000_000 + since.microseconds) / 1_000_000


def to_text(moment: datetime) -> str:
    """A naive datetime in UTC as text, to the second, such as 2013-02-18T05:55:18Z."""
    return f"{moment.isoformat(timespec='seconds')}Z"


def from_text(text: str) -> datetime:
    """The naive datetime in UTC of an ISO 8601 text, such as 2013-02-18 05:55:18.25+00.

    A text without a zone is in UTC.

    Raises:
        OverflowError, ValueError: it is no such text, or outside the years 1 to 9999.
    """
    moment = datetime.fromisoformat(text)
    return naive_utc(moment) if moment.tzinfo else moment


def from_epoch(seconds: float) -> datetime:
    """The naive datetime in UTC of epoch seconds.

    Raises:
        OverflowError, ValueError: it is outside the years 1 to 9999, or not a number (NaN).
    """
    return EPOCH + timedelta(seconds=seconds)
