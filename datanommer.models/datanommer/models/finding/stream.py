"""The ids of messages that match, in order of time, a chunk at a time: for any number of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.filtering import content
from datanommer.models.filtering.filters import Filters
from datanommer.models.finding import access_path
from datanommer.models.finding.cursor import Cursor

_CHUNK_SIZE = 1000
#: Small chunks first, so that the first messages come at once. A query for each would be slow.
_FIRST_SIZES = (1, 10, 100)
_FETCH = 50  # rows with their content in memory at a time; they may be long


def ids(
    engine: sa.Engine, filters: Filters, *, limit: int | None = None, descending: bool = False
) -> Iterator[list[int]]:
    """The ids of the first messages that match, in chunks.

    No transaction is open between two chunks, however long the caller takes.

    Args:
        engine: of the database.
        filters: which messages.
        limit: at most so many.
        descending: the newest first.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with engine.connect() as connection:
        path, _ = access_path.choose(connection, filters)
    left = limit
    after: Cursor | None = None
    for most in chain(_FIRST_SIZES if limit is None else (), repeat(_CHUNK_SIZE)):
        # Not all that SQL finds have the fields.
        size = most if left is None or filters.field_values else min(left, most)
        with engine.connect() as connection:
            matching = path.first(size, descending=descending, after=after)
            found, length, after = _read(connection, matching, filters, descending=descending)
        if found:
            yield found[:left]
        if left is not None:
            left -= len(found)
        if length < size or (left is not None and left <= 0):
            return


def newest(engine: sa.Engine, filters: Filters, limit: int) -> Iterator[list[int]]:
    """The ids of the newest messages that match, oldest first, in chunks.

    The arguments and errors are those of `ids`.
    """
    found = array("q")
    for chunk in ids(engine, filters, limit=limit, descending=True):
        found.extend(chunk)
    found.reverse()
    for start in range(0, len(found), _CHUNK_SIZE):
        yield list(found[start : start + _CHUNK_SIZE])


def _read(
    connection: sa.Connection, matching: sa.Subquery, filters: Filters, *, descending: bool
) -> tuple[list[int], int, Cursor | None]:
    """The ids of those that have the fields as well; how many there were, and the last of them."""
    columns: list[Any] = [matching.c.id, matching.c.timestamp]
    query = sa.select(*columns).order_by(*access_path.order(matching.c, descending=descending))
    if filters.field_values:
        m = tables.messages
        query = query.add_columns(sa.cast(m.c.msg, sa.Text)).join(m, m.c.id == matching.c.id)
    rows = connection.execution_options(yield_per=_FETCH).execute(query)
    found: list[int] = []
    length, last = 0, None
    for row_id, timestamp, *msg in rows:
        length += 1
        last = (timestamp, row_id)
        if content.all_match(filters.field_values, *msg):
            found.append(row_id)
    return found, length, last
