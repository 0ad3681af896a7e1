"""The rejects that there are: listed, counted and exported."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from datanommer.models.errors import NoSuchReject
from datanommer.models.exchange.dump import Output
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.predicates import Predicate, in_time
from datanommer.models.tables import rejected

#: The kind of what an upgrade left behind: rows of the classic tables, not messages.
CLASSIC = "classic"

_BATCH = 1000
_FETCH = 10  # rows with their raw in memory at a time; they may be long


class RejectSummary(NamedTuple):
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


_COLUMNS = [rejected.c[name] for name in RejectSummary._fields]


def find(
    engine: sa.Engine,
    filters: Filters,
    *,
    kind: str | None = None,
    limit: int | None = None,
) -> Iterator[RejectSummary]:
    """The rejects, newest first.

    Args:
        engine: of the database.
        filters: `since` and `before` are about when a reject first came; the others are ignored.
        kind: only this kind; see `datanommer.models.errors.KINDS`.
        limit: at most so many.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = (
        sa.select(*_COLUMNS)
        .where(*predicates_of(kind=kind), *in_time(filters, rejected.c.received_at))
        .order_by(rejected.c.received_at.desc(), rejected.c.id.desc())
        .limit(limit)
    )
    with engine.connect() as connection:
        rows = connection.execution_options(yield_per=_BATCH).execute(query)
        yield from map(RejectSummary._make, rows)


def get(engine: sa.Engine, reject_id: int) -> tuple[RejectSummary, bytes]:
    """The reject with that id, and what was received.

    Raises:
        NoSuchReject: there is none.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = sa.select(*_COLUMNS, rejected.c.raw).where(rejected.c.id == reject_id)
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NoSuchReject([reject_id])
    *fields, raw = row
    return RejectSummary._make(fields), raw


def export(engine: sa.Engine, output: Output, *, kind: str | None = None) -> None:
    """Write the rejects in the order of their ids, one JSON object a line, in UTF-8.

    Each is ``{"rejected": {...}, "raw": ...}``: why, and what was received, as JSON if it is JSON,
    else as text. `datanommer.models.exchange.parser.parse` reads what is in ``raw``.

    Raises:
        OSError: `output` cannot be written.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = sa.select(*_COLUMNS, rejected.c.raw).where(*predicates_of(kind=kind))
    query = query.order_by(rejected.c.id)
    with engine.connect() as connection:
        for *fields, raw in connection.execution_options(yield_per=_FETCH).execute(query):
            why = RejectSummary._make(fields)._asdict()
            why["received_at"] = f"{why['received_at'].isoformat()}Z"
            opening = f'{{"rejected": {json.dumps(why)}, "raw": '
            output.write(opening.encode() + _as_json(raw) + b"}\n")


def _as_json(raw: bytes) -> bytes:
    try:
        json.loads(raw.decode())
    except (ValueError, RecursionError):
        return json.dumps(raw.decode("utf-8", "surrogateescape")).encode()
    # A string of JSON cannot hold a newline, so these are between values.
    return raw.replace(b"\n", b" ")


def count(engine: sa.Engine, *, ids: Collection[int] | None = None, kind: str | None = None) -> int:
    """How many rejects there are.

    Args:
        engine: of the database.
        ids: only those with these ids.
        kind: only this kind.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = sa.select(sa.func.count()).select_from(rejected)
    with engine.connect() as connection:
        return connection.scalars(query.where(*predicates_of(ids=ids, kind=kind))).one()


def predicates_of(
    *, ids: Collection[int] | None = None, kind: str | None = None
) -> list[Predicate]:
    """The predicates for the rejects with these ids, or of this kind."""
    predicates: list[Predicate] = []
    if ids is not None:
        predicates.append(rejected.c.id.in_(ids))
    if kind is not None:
        predicates.append(rejected.c.kind == kind)
    return predicates
