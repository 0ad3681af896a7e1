"""Pages by key: each begins beyond the last message of the one before, and costs as much as it.

By time, a message that arrives late (its timestamp is older than the page that was read last) is
missed by who pages towards the present. By id, in the order of arrival, none is: `settled` sees to
it that no message comes to light behind one that was read.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models import conditions, grep, walk
from datanommer.models.conditions import Entry
from datanommer.models.errors import InvalidQuery, NotSettled
from datanommer.models.filters import Filters
from datanommer.models.schema import Message
from datanommer.models.sessions import session

_PATIENCE = 10.0  # seconds; a batch is written in far less
_PAUSE = 0.01  # seconds
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  naive UTC, as in the classic API
_MICROSECOND = timedelta(microseconds=1)
_MAX_ID = 2**63 - 1
_OF_TIME = re.compile(r"([0-9]{1,18})-([0-9]{1,19})")
_OF_ID = re.compile(r"[0-9]{1,19}")


class Page(NamedTuple):
    """A page of messages.

    Attributes:
        messages: in the order that was asked for; none, if there are no more (for now).
        after: what to ask the next page with; ASCII that is safe in a URL. An empty page gives
            back what it was asked with, so that one can ask again later.
    """

    messages: list[Message]
    after: str | None


def page(
    filters: Filters,
    *,
    after: Message | str | None = None,
    by: str = "time",
    order: str = "asc",
    rows_per_page: int = 100,
) -> Page:
    """What `Message.page` returns.

    Raises:
        InvalidQuery: an argument makes no sense.
        NotSettled: by id, somebody has been writing messages for ten seconds.
    """
    descending = grep.is_descending(order)
    size = grep.check_size(rows_per_page)
    if not size:
        raise InvalidQuery(
            f"rows_per_page is {rows_per_page!r}. Give how many messages a page has."
        )
    if by == "time":
        place = None if after is None else _place(after)
        found = grep.first(filters, size, descending=descending, after=place).all()
        if found:
            place = found[-1].timestamp, found[-1].id
        return Page(found, None if place is None else _written(place))
    if by == "id":
        number = None if after is None else _number(after)
        found = _by_id(filters, size, number, descending=descending)
        if found:
            number = found[-1].id
        return Page(found, None if number is None else str(number))
    raise InvalidQuery(f"by is {by!r}. Give 'time', or 'id' for the order of arrival.")


def settled() -> int:
    """The id up to which every message that there will be is there.

    Ids are drawn one after the other, but transactions end in any order. Who inserts into
    `messages` holds a lock on it before an id is drawn; when those that hold it now have ended,
    all ids that were drawn before are settled.

    Raises:
        NotSettled: one of them does not end.
    """
    last = session.scalars(sa.select(sa.func.coalesce(sa.func.max(Message.id), 0))).one()
    writers = _writers()
    until = time.monotonic() + _PATIENCE
    while writers:
        if time.monotonic() > until:
            raise NotSettled(
                f"A transaction has been writing messages for over {_PATIENCE:.0f} seconds, and "
                "until it ends, their order is open. Try again; if it stays, look for it in "
                "pg_stat_activity (state `idle in transaction`)."
            )
        time.sleep(_PAUSE)
        writers &= _writers()
    return int(last)


def _writers() -> set[str]:
    found = session.scalars(
        sa.text(
            "SELECT virtualtransaction FROM pg_locks WHERE mode = 'RowExclusiveLock' AND granted "
            "AND relation = 'messages'::regclass AND pid <> pg_backend_pid() "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    )
    return set(found)


def _by_id(filters: Filters, size: int, after: int | None, *, descending: bool) -> list[Message]:
    last = settled()
    way, is_short = walk.choose(filters, measured=True)
    m = orm.aliased(Message)
    if is_short:
        found = way.all(fenced=True).cte("matching").prefix_with("MATERIALIZED")
        number: Any = found.c[0]
        query = sa.select(number.label("id"))
    else:
        number = m.id
        query = sa.select(number.label("id")).where(
            *conditions.of(filters, Entry.of_message(m), fenced=True)
        )
    if after is not None:
        query = query.where(number < after if descending else number > after)
    query = query.where(number <= last)
    ids = query.order_by(number.desc() if descending else number).limit(size).subquery("found")
    return (
        session.query(Message)
        .join(ids, ids.c.id == Message.id)
        .order_by(Message.id.desc() if descending else Message.id)
        .all()
    )


def _place(after: Message | str) -> walk.Place:
    if isinstance(after, Message):
        return after.timestamp, after.id
    found = _OF_TIME.fullmatch(after) if isinstance(after, str) else None
    try:
        if found and int(found[2]) <= _MAX_ID:
            return _EPOCH + int(found[1]) * _MICROSECOND, int(found[2])
    except OverflowError:
        pass
    raise _no_place(after)


def _written(place: walk.Place) -> str:
    return f"{(place[0] - _EPOCH) // _MICROSECOND}-{place[1]}"


def _number(after: Message | str) -> int:
    if isinstance(after, Message):
        return after.id
    if isinstance(after, str) and _OF_ID.fullmatch(after) and int(after) <= _MAX_ID:
        return int(after)
    raise _no_place(after)


def _no_place(after: Any) -> InvalidQuery:
    return InvalidQuery(
        f"after is {after!r}. Give a message, or the `after` of a page in the same order; "
        "nothing for the first page."
    )
