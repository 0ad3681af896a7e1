"""Rejects into the table `rejected`, each once however often it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models.envelopes.reject import Reject

_BYTES_OF_A_STATEMENT = 32 * 1024 * 1024
_MOST_SEEN = 2**31 - 1


_COUNT = f"UPDATE SET seen = least(rejected.seen::bigint + excluded.seen, {_MOST_SEEN})"


def insert(
    connection: sa.Connection, rejects: Sequence[Reject], *, is_replay: bool = False
) -> None:
    """Insert rejects, or count those that are there already, in the transaction of a connection.

    Args:
        connection: to the database.
        rejects: one may be there several times.
        is_replay: whether they were inserted before, and are not to be counted again.

    Raises:
        psycopg2.Error: the database failed; the transaction is over.
    """
    if not rejects:
        return
    times_seen = Counter(reject.sha256 for reject in rejects)
    once = {reject.sha256: reject for reject in rejects}
    values = [
        (
            psycopg2.Binary(key),
            reject.msg_id,
            reject.topic,
            reject.kind,
            reject.reason,
            psycopg2.Binary(reject.raw),
            times_seen[key],
        )
        for key, reject in sorted(once.items())
    ]
    # A statement has at most 1 GB, and a reject takes up to a quarter of that.
    largest = max(reject.size for reject in once.values())
    execute_values(
        connection.connection.cursor(),
        "INSERT INTO rejected (sha256, msg_id, topic, kind, reason, raw, seen) VALUES %s "
        f"ON CONFLICT (sha256) DO {'NOTHING' if is_replay else _COUNT}",
        values,
        page_size=max(1, _BYTES_OF_A_STATEMENT // (largest + 1)),
    )
