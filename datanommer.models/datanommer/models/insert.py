"""Rows into the tables of the archive, in the order in which every writer takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models import sync_events
from datanommer.models.message import Row

#: From how many rows on COPY by way of a temporary table is faster than INSERT: at 10 it is slower
#: by an eighth, at 50 faster by a tenth, at 1,000 by two fifths (benchmarks/batches.py).
COPY_FROM = 50

_COLUMNS = (
    "id, certificate_id, msg_id, i, topic, category, timestamp, username, crypto, signature, "
    "source_name, source_version, msg, headers, extra"
)
# Rows up to the size of a page stay whole in it, because what is compressed or moved out of line
# here would be so in `messages` once more: a tenth of the time of a batch.
_STAGING = f"""
    CREATE TEMPORARY TABLE staging WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS AS
    SELECT {_COLUMNS} FROM messages WITH NO DATA
"""
_ONCE = "ON CONFLICT (msg_id) DO NOTHING"
#: How many rows PostgreSQL is sent at a time. It reads them while the next are written, which takes
#: a tenth off the time of a batch, with 50 as with 300; each time, a thread may wait for its turn.
_ROWS_AT_ONCE = 250
#: How many characters are too many for an INSERT, which is one statement, and for rows at once.
_LARGE = 16 * 1024 * 1024


def insert(connection: sa.Connection, rows: Sequence[Row]) -> list[Row]:
    """Insert rows with their certificates, users and packages, and what they tell of syncs.

    Returns:
        Those that were not inserted, because their id is that of another row.

    Raises:
        psycopg2.Error: the database failed or refused; the transaction is over.
    """
    cursor = connection.connection.cursor()
    certificates = _insert_certificates(cursor, rows)
    insert_names(cursor, "users", {name for row in rows for name in row.users})
    insert_names(cursor, "packages", {name for row in rows for name in row.packages})
    numbered = _numbered(cursor, rows)
    keyed = [
        (number, None if row.certificate is None else certificates[row.certificate], row)
        for number, row in numbered
    ]
    if len(rows) < COPY_FROM and sum(row.size for row in rows) < _LARGE:
        _insert_messages(cursor, keyed)
    else:
        _copy_messages(cursor, keyed)
    if cursor.rowcount == len(rows):
        inserted = {number for number, _ in numbered}
    else:
        inserted = _inserted(cursor, numbered)
    stored = [(number, row) for number, row in numbered if number in inserted]
    _insert_associations(cursor, "user_messages", [(n, row, row.users) for n, row in stored])
    _insert_associations(cursor, "package_messages", [(n, row, row.packages) for n, row in stored])
    sync_events.insert(cursor, stored)
    return [row for number, row in numbered if number not in inserted]


def _numbered(cursor: Any, rows: Sequence[Row]) -> list[tuple[int, Row]]:
    """The rows with their ids, which follow arrival.

    So messages of one second come out in the order they came in. The lock is what INSERT takes;
    who reads in the order of ids knows by it which of them are still open.
    """
    cursor.execute(
        "LOCK TABLE messages IN ROW EXCLUSIVE MODE; "
        # The sequence is looked up once, not for every row.
        "SELECT nextval(sequence) FROM generate_series(1, %s), "
        "(SELECT pg_get_serial_sequence('messages', 'id')::regclass AS sequence OFFSET 0) found",
        [len(rows)],
    )
    return [(number, row) for (number,), row in zip(cursor.fetchall(), rows, strict=True)]


def write_ahead(rows: Sequence[Row]) -> None:
    """Write down now what COPY will be given of rows, so that no connection has to wait for it.

    It is a tenth of the time of a batch, for who has a thread to spare.
    """
    if len(rows) >= COPY_FROM:
        for row in rows:
            row.line = _line(_values(row))


def _values(row: Row) -> tuple[Any, ...]:
    """The values of a row, in the order of `_COLUMNS`, from the third on."""
    return (
        row.msg_id,
        row.i,
        row.topic,
        row.category,
        f"{row.timestamp.isoformat()}+00",
        row.username,
        row.crypto,
        None if row.signature is None else rf"\x{row.signature.hex()}",
        row.source_name,
        row.source_version,
        row.msg,
        row.headers,
        row.extra,
    )


# The order of insertion is one that all writers have, so that two of them do not deadlock.


#: A row with its id and that of its certificate.
_Keyed = tuple[int, int | None, Row]


def _insert_messages(cursor: Any, keyed: Iterable[_Keyed]) -> None:
    values = [(*keys, *_values(row)) for *keys, row in keyed]
    execute_values(
        cursor,
        f"INSERT INTO messages ({_COLUMNS}) VALUES %s {_ONCE}",
        sorted(values, key=itemgetter(2, 0)),
        page_size=len(values),
    )


def _copy_messages(cursor: Any, keyed: Iterable[_Keyed]) -> None:
    # It lasts as long as the connection, unless the transaction that made it failed.
    cursor.execute("SELECT to_regclass('pg_temp.staging')")
    if cursor.fetchone()[0] is None:
        cursor.execute(_STAGING)
    lines = (
        f"{number}\t{_NULL if certificate is None else certificate}\t"
        + (row.line or _line(_values(row)))
        for number, certificate, row in keyed
    )
    _copy(cursor, "staging", _COLUMNS, lines)
    cursor.execute(
        f"INSERT INTO messages ({_COLUMNS}) SELECT {_COLUMNS} FROM staging ORDER BY msg_id, id "
        f"{_ONCE}"
    )


def _inserted(cursor: Any, numbered: Sequence[tuple[int, Row]]) -> set[int]:
    cursor.execute(
        "SELECT id FROM messages WHERE id = ANY(%s)", [[number for number, _ in numbered]]
    )
    return {number for (number,) in cursor.fetchall()}


def _insert_associations(
    cursor: Any, table: str, named: Iterable[tuple[int, Row, tuple[str, ...]]]
) -> None:
    values = sorted(
        (name, f"{row.timestamp.isoformat()}+00", row.category, number)
        for number, row, names in named
        for name in names
    )
    if len(values) >= COPY_FROM:
        _copy(cursor, table, "name, timestamp, category, msg", map(_line, values))
    elif values:
        execute_values(
            cursor,
            f"INSERT INTO {table} (name, timestamp, category, msg) VALUES %s",
            values,
            page_size=len(values),
        )


def _copy(cursor: Any, table: str, columns: str, lines: Iterable[str]) -> None:
    cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", _Lines(lines))


class _Lines:
    """Lines as a file for COPY, written while PostgreSQL already reads those before."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    def read(self, _: int) -> bytes:
        lines: list[str] = []
        size = 0
        for line in islice(self._lines, _ROWS_AT_ONCE):
            lines.append(line)
            size += len(line)
            if size > _LARGE:
                break
        return "\n".join([*lines, ""]).encode()


def _line(values: Sequence[Any]) -> str:
    """Values in the text format of COPY, which PostgreSQL reads faster than its CSV."""
    # No text of a row holds a NUL, which so can stand for NULL while backslashes are doubled.
    fields = ["\0" if value is None else str(value) for value in values]
    line = "\t".join(fields).replace("\\", "\\\\")
    if line.count("\t") >= len(values) or "\n" in line or "\r" in line:
        line = "\t".join([field.translate(_ESCAPES) for field in fields])
    return line.replace("\0", _NULL)


_NULL = r"\N"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _insert_certificates(cursor: Any, rows: Sequence[Row]) -> dict[str, int]:
    """The ids of all certificates of the rows, those inserted that were missing."""
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
    return {by_hash[key]: number for key, number in known.items()}


def _certificate_ids(cursor: Any, hashes: Iterable[bytes]) -> dict[bytes, int]:
    cursor.execute(
        "SELECT sha256, id FROM certificates WHERE sha256 = ANY(%s)",
        [[psycopg2.Binary(key) for key in hashes]],
    )
    return {bytes(key): number for key, number in cursor.fetchall()}


def insert_names(cursor: Any, table: str, names: set[str]) -> None:
    """Insert those names of users or packages that are not there."""
    if names:
        cursor.execute(
            f"INSERT INTO {table} (name) SELECT unnest(%s) ON CONFLICT (name) DO NOTHING",
            [sorted(names)],
        )
