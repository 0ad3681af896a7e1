"""The SQL of a batch: rows into each table, in the order in which every writer takes them.

Many rows go by COPY straight into `messages`. COPY knows no ON CONFLICT, so it fails where one of
them is stored already. Then they go by way of a temporary table, and so do the batches of the next
minute: if one message comes twice (from another hub, or loaded again), others will too.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models.envelopes.row import Row
from datanommer.models.storing import copy_format, extractions

#: The columns of `messages` that a row fills.
COLUMNS = (
    "id, certificate_id, msg_id, i, topic, category, timestamp, username, agent, crypto, "
    "signature, source_name, source_version, msg, headers, extra"
)
# Rows up to the size of a page stay whole in it. Otherwise PostgreSQL would compress them or move
# them out of line twice, here and in `messages`: a tenth of the time of a batch. The table does not
# outlast the transaction: a pooler such as pgbouncer gives the session to another client then.
_STAGING = f"""
    CREATE TEMPORARY TABLE staging WITH (toast_tuple_target = 8160) ON COMMIT DROP AS
    SELECT {COLUMNS} FROM messages WITH NO DATA
"""
# PostgreSQL plans once for a connection how it looks up the keys that a row refers to. If the
# archive is still small then, it takes a sequential scan, and keeps to it while the archive grows:
# a burst of 20,000 messages with users went at a tenth of its pace. This ends with the transaction.
_BY_INDEX = "SET LOCAL enable_seqscan = off"
# How long to avoid a straight COPY after one failed, in seconds: a failure leaves rows for VACUUM.
_CAUTION = 60.0
# Until when, by `time.monotonic`, rows go by way of the temporary table.
_staging_until = 0.0
# The unique constraint of `messages` on `msg_id`.
_KEY = "messages_msg_id_key"
_ONCE = "ON CONFLICT (msg_id) DO NOTHING"


def insert(
    connection: sa.Connection, rows: Sequence[Row], copy_lines: Mapping[int, str]
) -> list[Row]:
    """Insert rows with their certificates, users and packages, and what applications extract.

    Returns:
        The rows that were not inserted, because another row has their id.

    Raises:
        psycopg2.Error: the database failed or refused; the transaction is over.
    """
    cursor = connection.connection.cursor()
    certificates = _insert_certificates(cursor, rows)
    insert_names(cursor, "users", {name for row in rows for name in row.users})
    insert_names(cursor, "packages", {name for row in rows for name in row.packages})
    with_ids = _draw_ids(cursor, rows)
    keyed = [
        (row_id, None if row.certificate is None else certificates[row.certificate], row)
        for row_id, row in with_ids
    ]
    if len(rows) < copy_format.COPY_FROM and sum(row.size for row in rows) < copy_format.LARGE:
        number = _insert_messages(cursor, keyed)
    else:
        number = _copy_messages(cursor, keyed, copy_lines)
    if number == len(rows):
        inserted = {row_id for row_id, _ in with_ids}
    else:
        inserted = _inserted(cursor, with_ids)
    stored = [(row_id, row) for row_id, row in with_ids if row_id in inserted]
    _insert_associations(cursor, "user_messages", [(*each, each[1].users) for each in stored])
    _insert_associations(cursor, "package_messages", [(*each, each[1].packages) for each in stored])
    for extraction in extractions.installed():
        extraction.insert(cursor, stored)
    return [row for row_id, row in with_ids if row_id not in inserted]


def _draw_ids(cursor: Any, rows: Sequence[Row]) -> list[tuple[int, Row]]:
    """The rows with ids, in the order of arrival.

    So messages of one second come out in the order they came in. With the first id, the transaction
    takes the lock of an INSERT. It shows those who read by id which transactions are still open.
    """
    cursor.execute(f"{_BY_INDEX}; SELECT datanommer_draw_ids(%s)", [len(rows)])
    return [(row_id, row) for (row_id,), row in zip(cursor.fetchall(), rows, strict=True)]


#: A row with its id and that of its certificate.
_Keyed = tuple[int, int | None, Row]


def _insert_messages(cursor: Any, keyed: Iterable[_Keyed]) -> int:
    values = [(*keys, *copy_format.values_of(row)) for *keys, row in keyed]
    execute_values(
        cursor,
        f"INSERT INTO messages ({COLUMNS}) VALUES %s {_ONCE}",
        sorted(values, key=itemgetter(2, 0)),
        page_size=len(values),
    )
    return int(cursor.rowcount)


def _copy_messages(cursor: Any, keyed: Iterable[_Keyed], copy_lines: Mapping[int, str]) -> int:
    in_order = sorted(keyed, key=lambda each: (each[2].msg_id, each[0]))

    def lines() -> Iterator[str]:
        for row_id, certificate, row in in_order:
            line = copy_lines.get(id(row)) or copy_format.line_of(row)
            yield f"{row_id}\t{copy_format.NULL if certificate is None else certificate}\t{line}"

    if time.monotonic() >= _staging_until and _copy_straight(cursor, lines()):
        return len(in_order)
    return _copy_by_staging(cursor, lines())


def _copy_straight(cursor: Any, lines: Iterable[str]) -> bool:
    """Copy rows into `messages`, all or none; False if one of the ids is there already."""
    global _staging_until  # noqa: PLW0603  what all threads have learned
    cursor.execute("SAVEPOINT straight")
    try:
        copy_format.copy(cursor, "messages", COLUMNS, lines)
    except psycopg2.errors.UniqueViolation as error:
        if error.diag.constraint_name != _KEY:
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT straight")
        _staging_until = time.monotonic() + _CAUTION
        return False
    cursor.execute("RELEASE SAVEPOINT straight")
    return True


def _copy_by_staging(cursor: Any, lines: Iterable[str]) -> int:
    # It exists if another part of the batch went before.
    cursor.execute("SELECT to_regclass('pg_temp.staging')")
    if cursor.fetchone()[0] is None:
        cursor.execute(_STAGING)
    copy_format.copy(cursor, "staging", COLUMNS, lines)
    cursor.execute(
        f"INSERT INTO messages ({COLUMNS}) SELECT {COLUMNS} FROM staging ORDER BY msg_id, id "
        f"{_ONCE}"
    )
    return int(cursor.rowcount)


def _inserted(cursor: Any, with_ids: Sequence[tuple[int, Row]]) -> set[int]:
    cursor.execute(
        "SELECT id FROM messages WHERE id = ANY(%s)", [[row_id for row_id, _ in with_ids]]
    )
    return {row_id for (row_id,) in cursor.fetchall()}


def _insert_associations(
    cursor: Any, table: str, named: Iterable[tuple[int, Row, tuple[str, ...]]]
) -> None:
    values = sorted(
        (name, f"{row.timestamp.isoformat()}+00", row.category, row_id)
        for row_id, row, names in named
        for name in names
    )
    if len(values) >= copy_format.COPY_FROM:
        lines = map(copy_format.line, values)
        copy_format.copy(cursor, table, "name, timestamp, category, msg", lines)
    elif values:
        execute_values(
            cursor,
            f"INSERT INTO {table} (name, timestamp, category, msg) VALUES %s",
            values,
            page_size=len(values),
        )


def _insert_certificates(cursor: Any, rows: Sequence[Row]) -> dict[str, int]:
    """The ids of all certificates of the rows. Those that are missing are inserted."""
    by_hash = {
        hashlib.sha256(body.encode()).digest(): body
        for body in {row.certificate for row in rows if row.certificate is not None}
    }
    if not by_hash:
        return {}
    known = _certificate_ids(cursor, by_hash)
    missing = sorted((key, by_hash[key]) for key in by_hash.keys() - known.keys())
    if missing:
        execute_values(
            cursor,
            "INSERT INTO certificates (sha256, body) VALUES %s ON CONFLICT (sha256) DO NOTHING",
            missing,
            page_size=len(missing),
        )
        known = _certificate_ids(cursor, by_hash)
    return {by_hash[key]: certificate_id for key, certificate_id in known.items()}


def _certificate_ids(cursor: Any, hashes: Iterable[bytes]) -> dict[bytes, int]:
    cursor.execute(
        "SELECT sha256, id FROM certificates WHERE sha256 = ANY(%s)",
        [[psycopg2.Binary(key) for key in hashes]],
    )
    return {bytes(key): certificate_id for key, certificate_id in cursor.fetchall()}


def insert_names(cursor: Any, table: str, names: set[str]) -> None:
    """Insert the names of users or packages that are missing in a table."""
    if names:
        cursor.execute(
            f"INSERT INTO {table} (name) SELECT unnest(%s) ON CONFLICT (name) DO NOTHING",
            [sorted(names)],
        )
