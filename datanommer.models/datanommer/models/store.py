"""Batches of messages into the archive: each stored once, or kept among the rejected.

A batch is one transaction. Rows go into every table in one order, whoever writes, so that two
writers wait for each other and do not deadlock.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models import extraction, message, raw
from datanommer.models.database import bound_engine
from datanommer.models.errors import NotStorable
from datanommer.models.message import Row

#: The most messages of one batch: an open transaction keeps other writers of its topics waiting.
MAX_BATCH = 10_000

_TRIES = 5
_MESSAGE_COLUMNS = (
    "id, msg_id, i, topic, category, timestamp, username, crypto, signature, certificate_id, "
    "source_name, source_version, msg, headers, extra"
)


class Counts(NamedTuple):
    """What became of the messages of a batch, or of several."""

    stored: int = 0
    duplicates: int = 0
    rejected: int = 0

    def plus(self, other: Counts) -> Counts:
        """The sums of both."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass(slots=True)
class Reject:
    """What no row of `messages` can hold.

    Attributes:
        kind: a short constant; see `datanommer.models.schema.Rejected`.
        reason: why, in words.
        raw: what was received.
        sha256: what makes two rejects the same.
        msg_id: the id, if it has one that is text, made fit for a text column.
        topic: the topic, likewise.
    """

    kind: str
    reason: str
    raw: bytes
    sha256: bytes
    msg_id: str | None
    topic: str | None


class _StoredRowVanishedError(Exception):
    """The row that kept another one out was deleted before it could be looked at."""


def add(envelope: Any) -> Counts:
    """Store one message of the bus, in a transaction of its own.

    Args:
        envelope: ``{"topic": str, "body": {...}[, "headers": {...}]}``. What cannot be stored as
            a message goes to `rejected`, with the reason; nothing is raised for it.

    Returns:
        What became of it: one of the counts is 1.

    Raises:
        ConfigurationError: `init` was not called.
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; nothing was stored.
    """
    return add_all([envelope])


def add_all(envelopes: Iterable[Any]) -> Counts:
    """Store a batch of messages of the bus in one transaction; see `add`.

    Args:
        envelopes: at most `MAX_BATCH` (10,000) of them.

    Raises:
        ValueError: the batch is too large; nothing was stored.
        ConfigurationError, sqlalchemy.exc.DBAPIError, psycopg2.Error: as `add` does.
    """
    return store([prepare(envelope) for envelope in envelopes])


def prepare(envelope: Any) -> Row | Reject:
    """The row of an envelope with its users and packages, or the reason why there is none."""
    try:
        row = message.from_envelope(envelope)
    except NotStorable as error:
        return reject(envelope, error)
    row.users, row.packages = extraction.extract({**envelope["body"], "topic": row.topic})
    return row


def reject(received: Any, error: NotStorable) -> Reject:
    """The reject of something received that `error` says cannot be stored.

    Args:
        received: what came, as an object, or as bytes where it could not be read as one.
        error: why.
    """
    outer = received if isinstance(received, dict) else {}
    inner = outer.get("body")
    body = inner if isinstance(inner, dict) else outer
    written = received if isinstance(received, bytes) else raw.dumps(received)
    return Reject(
        kind=error.kind,
        reason=_safe(error.reason) or "",
        raw=written,
        sha256=hashlib.sha256(written).digest(),
        msg_id=_safe(body.get("msg_id")),
        topic=_safe(body.get("topic", outer.get("topic"))),
    )


def store(batch: Sequence[Row | Reject]) -> Counts:
    """Store what `prepare` made; the limits and errors are those of `add_all`."""
    if len(batch) > MAX_BATCH:
        raise ValueError(
            f"A batch holds at most {MAX_BATCH:,} messages, not {len(batch):,}: "
            "it is one transaction. Split it."
        )
    engine = bound_engine()
    for tries_left in reversed(range(_TRIES)):
        try:
            with engine.begin() as connection:
                return _store(connection, batch)
        except (
            psycopg2.errors.DeadlockDetected,
            psycopg2.errors.SerializationFailure,
            _StoredRowVanishedError,
        ):
            if not tries_left:
                raise
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311  apart from the other writer
    raise AssertionError("the last try returns or raises")


def _store(connection: sa.Connection, batch: Sequence[Row | Reject]) -> Counts:
    rows = [item for item in batch if isinstance(item, Row)]
    rejects = [item for item in batch if isinstance(item, Reject)]
    waiting, refused = _insert(connection, rows)
    conflicts = _conflicts(connection, waiting)
    rejects += refused + conflicts
    _insert_rejects(connection, rejects)
    return Counts(
        stored=len(rows) - len(waiting) - len(refused),
        duplicates=len(waiting) - len(conflicts),
        rejected=len(rejects),
    )


def _insert(connection: sa.Connection, rows: Sequence[Row]) -> tuple[list[Row], list[Reject]]:
    """Insert the rows; return those whose id was there already, and those that were refused.

    What the database refuses though it looked storable is found by halving, as a last resort.
    """
    if not rows:
        return [], []
    try:
        with connection.begin_nested():
            return _insert_together(connection, rows), []
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        if len(rows) == 1:
            return [], [_refused(rows[0], error)]
    middle = len(rows) // 2
    halves = [_insert(connection, half) for half in (rows[:middle], rows[middle:])]
    return halves[0][0] + halves[1][0], halves[0][1] + halves[1][1]


def _insert_together(connection: sa.Connection, rows: Sequence[Row]) -> list[Row]:
    cursor = connection.connection.cursor()
    certificates = _insert_certificates(cursor, rows)
    _insert_names(cursor, "users", {name for row in rows for name in row.users})
    _insert_names(cursor, "packages", {name for row in rows for name in row.packages})
    # Ids follow arrival, so that messages of one second come out in the order they came in.
    cursor.execute(
        "SELECT nextval(pg_get_serial_sequence('messages', 'id')) FROM generate_series(1, %s)",
        [len(rows)],
    )
    numbered = [(number, row) for (number,), row in zip(cursor.fetchall(), rows, strict=True)]
    numbered.sort(key=lambda pair: (pair[1].msg_id, pair[0]))
    inserted = {
        number
        for (number,) in execute_values(
            cursor,
            f"INSERT INTO messages ({_MESSAGE_COLUMNS}) VALUES %s "
            "ON CONFLICT (msg_id) DO NOTHING RETURNING id",
            [_values(number, row, certificates) for number, row in numbered],
            template="(%s, %s, %s, %s, %s, %s::timestamp AT TIME ZONE 'UTC'" + ", %s" * 9 + ")",
            page_size=len(rows),
            fetch=True,
        )
    }
    stored = [(number, row) for number, row in numbered if number in inserted]
    _insert_associations(cursor, "user_messages", [(n, r, r.users) for n, r in stored])
    _insert_associations(cursor, "package_messages", [(n, r, r.packages) for n, r in stored])
    return [row for number, row in numbered if number not in inserted]


def _values(number: int, row: Row, certificates: dict[str, int]) -> tuple[Any, ...]:
    return (
        number,
        row.msg_id,
        row.i,
        row.topic,
        row.category,
        row.timestamp,
        row.username,
        row.crypto,
        row.signature,
        None if row.certificate is None else certificates[row.certificate],
        row.source_name,
        row.source_version,
        row.msg,
        row.headers,
        row.extra,
    )


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
    return {bytes(key): number for key, number in cursor}


def _insert_names(cursor: Any, table: str, names: set[str]) -> None:
    if names:
        cursor.execute(
            f"INSERT INTO {table} (name) SELECT unnest(%s) ON CONFLICT (name) DO NOTHING",
            [sorted(names)],
        )


def _insert_associations(
    cursor: Any, table: str, named: Iterable[tuple[int, Row, tuple[str, ...]]]
) -> None:
    values = [(name, row.timestamp, number) for number, row, names in named for name in names]
    if values:
        execute_values(
            cursor,
            f"INSERT INTO {table} (name, timestamp, msg) VALUES %s",
            sorted(values),
            template="(%s, %s::timestamp AT TIME ZONE 'UTC', %s)",
            page_size=len(values),
        )


def _conflicts(connection: sa.Connection, rows: Sequence[Row]) -> list[Reject]:
    """Those of the rows whose id belongs to a message of other content."""
    if not rows:
        return []
    cursor = connection.connection.cursor()
    cursor.execute(
        "SELECT msg_id, topic, msg::text FROM messages WHERE msg_id = ANY(%s)",
        [[row.msg_id for row in rows]],
    )
    stored = {msg_id: message.content(topic, msg) for msg_id, topic, msg in cursor.fetchall()}
    conflicts = []
    for row in rows:
        if row.msg_id not in stored:
            raise _StoredRowVanishedError
        received = message.content(row.topic, row.msg)
        if received != stored[row.msg_id]:
            conflicts.append(_conflict(row, received))
    return conflicts


def _insert_rejects(connection: sa.Connection, rejects: Sequence[Reject]) -> None:
    if not rejects:
        return
    times = Counter(reject.sha256 for reject in rejects)
    once = {reject.sha256: reject for reject in rejects}
    execute_values(
        connection.connection.cursor(),
        "INSERT INTO rejected (sha256, msg_id, topic, kind, reason, raw, seen) VALUES %s "
        "ON CONFLICT (sha256) DO UPDATE SET seen = rejected.seen + excluded.seen",
        [
            (
                psycopg2.Binary(key),
                reject.msg_id,
                reject.topic,
                reject.kind,
                reject.reason,
                psycopg2.Binary(reject.raw),
                times[key],
            )
            for key, reject in sorted(once.items())
        ],
    )


def _conflict(row: Row, received: tuple[str, str]) -> Reject:
    # The same message again is the same conflict, whatever its counter or timestamp says.
    identity = "\0".join((row.msg_id, *received))
    reason = f"the id {row.msg_id} belongs to a message of other content, which came first"
    return _of_row(row, "conflict", reason, identity.encode())


def _refused(row: Row, error: psycopg2.Error) -> Reject:
    reason = error.diag.message_primary or type(error).__name__
    return _of_row(row, "invalid", f"PostgreSQL refused it: {reason}")


def _of_row(row: Row, kind: str, reason: str, identity: bytes | None = None) -> Reject:
    received = raw.dumps(message.received(row))
    return Reject(
        kind=kind,
        reason=reason,
        raw=received,
        sha256=hashlib.sha256(identity or received).digest(),
        msg_id=row.msg_id,
        topic=row.topic,
    )


def _safe(value: Any) -> str | None:
    """The text, fit for a text column: no NUL, no lone surrogate, not endless."""
    if not isinstance(value, str):
        return None
    text = value[: message.MAX_TEXT_BYTES].replace("\0", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode()
