"""Messages that are stored already: duplicates, and conflicts, which reuse the id of another.

The unique index on `msg_id` finds a row whose id is known; `conflicts` compares the contents. The
index does not find a message of AMQP that has the id of another year. In AMQP, ids have no year,
and whoever forwards a message puts one in front. datanommer takes the year of ``sent-at``. A bridge
to fedmsg takes the year of its own clock, which differs if the message crosses New Year, or the
bridge is late. So a message that came over AMQP is also looked for under the year before and the
year after, and is the same if topic and `msg` are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models.envelopes import identity
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import NotStorable
from datanommer.models.storing.transaction import RowVanishedError

_CONFLICT = "the id {} belongs to a message of other content, which came first"

#: The first half of the keys of our advisory locks: "dn20".
_LOCKS = 0x646E3230
#: How many locks there are. One for each message would be too many: a batch has thousands, and
#: PostgreSQL's table of locks has room for 64 a connection. With these, two writers of single
#: messages seldom meet.
_NUMBER_OF_LOCKS = 64


class _Candidate(NamedTuple):
    """A row that may be stored under another year.

    Attributes:
        bare_id: its id without the year.
        other_ids: those that it would have in the year before and the year after.
    """

    row: Row
    bare_id: str
    other_ids: tuple[str, str]


def of_other_years(connection: sa.Connection, rows: Sequence[Row]) -> list[Row]:
    """The rows whose message has an id of another year, in the database or earlier in `rows`.

    The unique index on msg_id does not notice two transactions that insert one message under two
    years. So until this one ends, others that ask about these messages wait. Call it before
    anything else that locks: whoever waits here then holds nothing that another writer needs.

    Raises:
        psycopg2.Error: the database failed; the transaction is over.
    """
    candidates = _candidates(rows)
    if not candidates:
        return []
    cursor = connection.connection.cursor()
    _lock(cursor, (each.bare_id for each in candidates))
    known = _stored(cursor, [other for each in candidates for other in each.other_ids])
    known_rows: list[Row] = []
    for row, _, other_ids in candidates:
        seen = [known[other] for other in other_ids if other in known]
        if any(identity.content(row.topic, row.msg) == identity.content(*each) for each in seen):
            known_rows.append(row)
        else:
            known.setdefault(row.msg_id, (row.topic, row.msg))
    return known_rows


def _candidates(rows: Sequence[Row]) -> list[_Candidate]:
    candidates = []
    for row in rows:
        if row.from_amqp and (match := identity.YEAR.match(row.msg_id)):
            year, bare_id = int(match[1]), row.msg_id[match.end() :]
            others = (f"{year - 1:04}-{bare_id}", f"{year + 1:04}-{bare_id}")
            candidates.append(_Candidate(row, bare_id, others))
    return candidates


def _lock(cursor: Any, bare_ids: Iterable[str]) -> None:
    # All writers lock in the same order, so that no two deadlock.
    keys = sorted({zlib.crc32(each.encode()) % _NUMBER_OF_LOCKS for each in bare_ids})
    cursor.execute("SELECT pg_advisory_xact_lock(%s, key) FROM unnest(%s) AS key", [_LOCKS, keys])


def _stored(cursor: Any, ids: list[str]) -> dict[str, tuple[str, str]]:
    """Topic and `msg` of the messages that have one of the ids."""
    # Make the planner search the index for each id. With ANY it reads the whole table, for 2,000
    # ids in 300,000 messages.
    cursor.execute(
        "SELECT stored.* FROM unnest(%s) AS other (id) CROSS JOIN LATERAL "
        "(SELECT msg_id, topic, msg::text FROM messages WHERE msg_id = other.id LIMIT 1) stored",
        [ids],
    )
    return {msg_id: (topic, msg) for msg_id, topic, msg in cursor.fetchall()}


def conflicts(connection: sa.Connection, rows: Sequence[Row]) -> list[tuple[Row, NotStorable]]:
    """The rows whose id belongs to a message of other content, each with the reason.

    Args:
        connection: in the transaction of the batch.
        rows: rows that were not inserted, because their ids are known.

    Raises:
        RowVanishedError: one of the messages was deleted meanwhile.
        psycopg2.Error: the database failed; the transaction is over.
    """
    if not rows:
        return []
    cursor = connection.connection.cursor()
    cursor.execute(
        "SELECT msg_id, topic, msg::text FROM messages WHERE msg_id = ANY(%s)",
        [[row.msg_id for row in rows]],
    )
    stored = {msg_id: identity.content(topic, msg) for msg_id, topic, msg in cursor.fetchall()}
    if any(row.msg_id not in stored for row in rows):
        raise RowVanishedError
    return [
        (row, NotStorable("conflict", _CONFLICT.format(row.msg_id)))
        for row in rows
        if identity.content(row.topic, row.msg) != stored[row.msg_id]
    ]
