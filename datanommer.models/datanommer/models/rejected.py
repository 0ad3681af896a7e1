"""What was rejected: found, exported, and tried again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models import record
from datanommer.models.database import bound_engine
from datanommer.models.errors import NoSuchReject
from datanommer.models.schema import Rejected

#: The kind of what an upgrade left behind: rows of the classic tables, and no messages.
CLASSIC = "classic"

_BATCH = 1000
_BATCH_BYTES = 16 * 1024 * 1024
_FETCH = 10  # rows with their raw, which may be long, that memory holds at a time
_TRIES = 5


class Entry(NamedTuple):
    """A reject without what was received.

    Attributes:
        received_at: when it first came (naive, in UTC).
        seen: how often it came.
    """

    id: int
    received_at: datetime
    kind: str
    seen: int
    msg_id: str | None
    topic: str | None
    reason: str


def find(
    *,
    kind: str | None = None,
    since: datetime | None = None,
    before: datetime | None = None,
    limit: int | None = None,
) -> Iterator[Entry]:
    """The rejects, those that came last first.

    Args:
        kind: only this kind; see `datanommer.models.errors.KINDS`.
        since: only what first came at this time or later (naive is UTC).
        before: only what first came at this time or earlier (naive is UTC).
        limit: at most so many.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    columns = [getattr(Rejected, name) for name in Entry._fields]
    query = sa.select(*columns).order_by(Rejected.received_at.desc(), Rejected.id.desc())
    conditions = conditions_of(kind=kind)
    if since is not None:
        conditions.append(Rejected.received_at >= since)
    if before is not None:
        conditions.append(Rejected.received_at <= before)
    with bound_engine().connect() as connection:
        found = connection.execution_options(yield_per=_BATCH).execute(
            query.where(*conditions).limit(limit)
        )
        yield from map(Entry._make, found)


def get(number: int) -> Rejected:
    """The reject with that id.

    Raises:
        NoSuchReject: there is none.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with orm.Session(bound_engine(), expire_on_commit=False) as session:
        found = session.get(Rejected, number)
    if found is None:
        raise NoSuchReject([number])
    return found


def export(output: record.Output, *, kind: str | None = None) -> None:
    """Write the rejects in the order of their ids, one JSON object a line, in UTF-8.

    Each is ``{"rejected": {...}, "raw": ...}``: why, and what was received, as JSON where it can
    be read as that, else as text. `record.parse` takes it as what is in ``raw``.

    Raises:
        OSError: `output` cannot be written.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    columns = [getattr(Rejected, name) for name in (*Entry._fields, "raw")]
    query = sa.select(*columns).where(*conditions_of(kind=kind)).order_by(Rejected.id)
    with bound_engine().connect() as connection:
        for *fields, raw in connection.execution_options(yield_per=_FETCH).execute(query):
            why = Entry._make(fields)._asdict()
            why["received_at"] = f"{why['received_at'].isoformat()}Z"
            opening = f'{{"rejected": {json.dumps(why)}, "raw": '
            output.write(opening.encode() + _as_json(raw) + b"}\n")


def _as_json(raw: bytes) -> bytes:
    try:
        json.loads(raw.decode())
    except (ValueError, RecursionError):
        return json.dumps(raw.decode("utf-8", "surrogateescape")).encode()
    # No string of JSON holds one: it stands between values.
    return raw.replace(b"\n", b" ")


def count(*, ids: Collection[int] | None = None, kind: str | None = None) -> int:
    """How many rejects there are.

    Args:
        ids: only those with these ids.
        kind: only this kind.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = sa.select(sa.func.count()).select_from(Rejected)
    with bound_engine().connect() as connection:
        return connection.scalars(query.where(*conditions_of(ids=ids, kind=kind))).one()


def conditions_of(
    *, ids: Collection[int] | None = None, kind: str | None = None
) -> list[sa.ColumnElement[bool]]:
    """What a query for the rejects of these ids, or of this kind, asks for."""
    conditions: list[sa.ColumnElement[bool]] = []
    if ids is not None:
        conditions.append(Rejected.id.in_(ids))
    if kind is not None:
        conditions.append(Rejected.kind == kind)
    return conditions
