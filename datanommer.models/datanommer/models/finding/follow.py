"""Messages that arrive: each once, in the order of arrival, and none is missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError

from datanommer.models import tables
from datanommer.models.database.engine import reason
from datanommer.models.errors import DatabaseUnavailable, NotSettled
from datanommer.models.filtering import content, predicates, topic_pattern
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.predicates import Entry
from datanommer.models.finding import arrival

_CHUNK_SIZE = 200
# Seconds. A look is a transaction with three short queries. While nothing has come for a while, a
# message may take half a second longer.
_BETWEEN_LOOKS = 0.1
_BETWEEN_QUIET_LOOKS = 0.5
_QUIET = 60.0
_BETWEEN_TRIES = 1.0

_Row = TypeVar("_Row")


def arriving(
    engine: sa.Engine,
    filters: Filters,
    after: int,
    read: Callable[[Sequence[int]], Iterable[_Row]],
    say: Callable[[str], object],
) -> Iterator[list[_Row]]:
    """What `read` gives for the messages that arrive from now on, in chunks, without end.

    While the database is away, it is tried again, and nothing is missed.

    Args:
        engine: of the database.
        filters: as for `arrived`.
        after: the id of the last message before them.
        read: reads the messages with these ids.
        say: called with a sentence when the database is away, and when it is back.

    Raises:
        OnStandby: the database is a standby.
    """
    is_away = False
    last_seen = time.monotonic()
    while True:
        try:
            ids, last = arrived(engine, filters, after)
            rows = list(read(ids)) if ids else []
        except (DatabaseUnavailable, InterfaceError, NotSettled, OperationalError) as error:
            if not is_away:
                say(f"Waiting for the database: {reason(error)}")
            is_away = True
            time.sleep(_BETWEEN_TRIES)
            continue
        if is_away:
            say("The database is back.")
        is_away = False
        if rows:
            yield rows
        if last > after:
            after, last_seen = last, time.monotonic()
            continue
        is_quiet = time.monotonic() - last_seen > _QUIET
        time.sleep(_BETWEEN_QUIET_LOOKS if is_quiet else _BETWEEN_LOOKS)


def last_id(engine: sa.Engine) -> int:
    """The id of the last message that has arrived; see `arrival`.

    Raises:
        NotSettled, OnStandby: as `arrival.settled`.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with engine.connect() as connection:
        return arrival.settled(connection)


def arrived(engine: sa.Engine, filters: Filters, after: int) -> tuple[list[int], int]:
    """The ids of some messages that match and arrived after another one.

    Args:
        engine: of the database.
        filters: which messages; topics may be patterns, also of topics that are new.
        after: the id of the last message that was looked at.

    Returns:
        The ids in the order of arrival, and what `after` is the next time. If that is the same,
        there are no more for now.

    Raises:
        NotSettled, OnStandby: as `arrival.settled`.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with engine.connect() as connection:
        last = arrival.settled(connection)
        if last <= after:
            return [], after
        # Only now are the topics of all these messages there.
        query = _query(topic_pattern.resolve(connection, filters), after, last)
        rows = connection.execute(query).all()
    found = [row_id for row_id, *msg in rows if content.all_match(filters.field_values, *msg)]
    return found, rows[-1].id if len(rows) == _CHUNK_SIZE else last


def _query(filters: Filters, after: int, last: int) -> sa.Select[Any]:
    m = tables.messages
    columns = [m.c.id, *([sa.cast(m.c.msg, sa.Text)] if filters.field_values else [])]
    return (
        sa.select(*columns)
        .where(m.c.id > after, m.c.id <= last)
        .where(*predicates.of(filters, Entry.of_message(m), fenced=True))
        .order_by(m.c.id)
        .limit(_CHUNK_SIZE)
    )
