"""Rejects into the table `rejected`, each once however often it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models.envelopes.reject import Reject
from datanommer.models.storing import copy_format

_COLUMNS = "sha256, msg_id, topic, kind, reason, seen, raw"
_MOST_SEEN = 2**31 - 1
_COUNT = f"UPDATE SET seen = least(rejected.seen::bigint + excluded.seen, {_MOST_SEEN})"
# In a statement, a reject takes eight times its size in memory. A larger one goes by COPY, a piece
# at a time, and by way of a temporary table: COPY knows no ON CONFLICT.
_LARGE = 1024 * 1024
_PIECE = 256 * 1024
_BYTES_OF_A_STATEMENT = 32 * 1024 * 1024
_STAGING = f"CREATE TEMPORARY TABLE staged_rejects AS SELECT {_COLUMNS} FROM rejected WITH NO DATA"


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
    seen = Counter(reject.sha256 for reject in rejects)
    once = dict(sorted({reject.sha256: reject for reject in rejects}.items())).values()
    small = [reject for reject in once if reject.size <= _LARGE]
    large = [reject for reject in once if reject.size > _LARGE]
    cursor = connection.connection.cursor()
    on_conflict = f"ON CONFLICT (sha256) DO {'NOTHING' if is_replay else _COUNT}"
    if small:
        _insert(cursor, small, seen, on_conflict)
    if large:
        _copy(cursor, large, seen, on_conflict)


def _insert(
    cursor: Any, rejects: Sequence[Reject], seen: Mapping[bytes, int], on_conflict: str
) -> None:
    largest = max(reject.size for reject in rejects)
    execute_values(
        cursor,
        f"INSERT INTO rejected ({_COLUMNS}) VALUES %s {on_conflict}",
        [(*_words(reject, seen), psycopg2.Binary(reject.raw)) for reject in rejects],
        page_size=max(1, _BYTES_OF_A_STATEMENT // (largest + 1)),
    )


def _copy(
    cursor: Any, rejects: Iterable[Reject], seen: Mapping[bytes, int], on_conflict: str
) -> None:
    cursor.execute(_STAGING)
    pieces = (piece for reject in rejects for piece in _pieces(reject, seen))
    copy_format.copy_pieces(cursor, "staged_rejects", _COLUMNS, pieces)
    cursor.execute(
        f"INSERT INTO rejected ({_COLUMNS}) SELECT {_COLUMNS} FROM staged_rejects "
        f"ORDER BY sha256 {on_conflict}"
    )
    cursor.execute("DROP TABLE staged_rejects")


def _words(reject: Reject, seen: Mapping[bytes, int]) -> tuple[Any, ...]:
    return (
        *(rf"\x{reject.sha256.hex()}", reject.msg_id, reject.topic, reject.kind, reject.reason),
        seen[reject.sha256],
    )


def _pieces(reject: Reject, seen: Mapping[bytes, int]) -> Iterator[bytes]:
    yield copy_format.line([*_words(reject, seen), r"\x"]).encode()
    for start in range(0, reject.size, _PIECE):
        yield reject.raw[start : start + _PIECE].hex().encode()
    yield b"\n"
