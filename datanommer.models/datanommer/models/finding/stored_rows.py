"""Stored messages, read back as rows in order of time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.envelopes.row import Row
from datanommer.models.filtering import predicates
from datanommer.models.filtering.filters import Filters
from datanommer.models.finding.cursor import Cursor, literals


def select(filters: Filters, *, after: Cursor | None = None) -> sa.Select[Any]:
    """The query of the messages that match, each with its id, oldest first.

    Args:
        filters: which messages.
        after: only those beyond this cursor.
    """
    m, c = tables.messages, tables.certificates
    columns = [
        *(m.c.id, m.c.msg_id, m.c.i, m.c.topic, m.c.category, m.c.timestamp, m.c.username),
        *(m.c.crypto, c.c.body, m.c.signature, m.c.source_name, m.c.source_version),
        # As text, which PostgreSQL passes through.
        *(sa.cast(column, sa.Text) for column in (m.c.msg, m.c.headers, m.c.extra)),
    ]
    query = (
        sa.select(*columns)
        .select_from(m.outerjoin(c))
        .where(*predicates.of(filters, predicates.Entry.of_message(m)))
        .order_by(m.c.timestamp, m.c.id)
    )
    if after is not None:
        query = query.where(sa.tuple_(m.c.timestamp, m.c.id) > sa.tuple_(*literals(after)))
    return query


def read(result: Iterable[Any]) -> list[tuple[int, Row]]:
    """The ids and the rows of what `select` found; their users and packages are empty."""
    return [(row_id, Row(*columns)) for row_id, *columns in result]
