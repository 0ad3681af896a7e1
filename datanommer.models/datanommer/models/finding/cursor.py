"""A cursor: where a page ended, and the next one begins; as text, it is safe in a URL."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from datanommer.models import times
from datanommer.models.errors import InvalidQuery
from datanommer.models.tables import NaiveUTC

#: Where a message is in order of time: its timestamp (naive, in UTC) and its id.
Cursor = tuple[datetime, int]

_MICROSECOND = timedelta(microseconds=1)
_MAX_ID = 2**63 - 1
_OF_TIME = re.compile(r"([0-9]{1,18})-([0-9]{1,19})")
_OF_ID = re.compile(r"[0-9]{1,19}")


def to_text(cursor: Cursor) -> str:
    """The text of a cursor in order of time."""
    return f"{(cursor[0] - times.EPOCH) // _MICROSECOND}-{cursor[1]}"


def from_text(text: Any) -> Cursor:
    """The cursor in order of time that a text holds.

    Raises:
        InvalidQuery: it holds none.
    """
    match = _OF_TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        if match and int(match[2]) <= _MAX_ID:
            return times.EPOCH + int(match[1]) * _MICROSECOND, int(match[2])
    except OverflowError:
        pass
    raise _invalid(text)


def id_from_text(text: Any) -> int:
    """The id that a text holds, which is the cursor in the order of arrival.

    Raises:
        InvalidQuery: it holds none.
    """
    if isinstance(text, str) and _OF_ID.fullmatch(text) and int(text) <= _MAX_ID:
        return int(text)
    raise _invalid(text)


def literals(cursor: Cursor) -> tuple[Any, Any]:
    """The timestamp and the id of a cursor, for SQL."""
    timestamp, row_id = cursor
    return sa.literal(timestamp, NaiveUTC), sa.literal(row_id, sa.BigInteger)


def _invalid(after: Any) -> InvalidQuery:
    return InvalidQuery(
        f"after is {after!r}. Give a message, or the `after` of a page in the same order; "
        "nothing for the first page."
    )
