"""Batches of messages into the archive: each stored once, or kept among the rejected.

A batch is one transaction. Rows go into every table in one order, whoever writes, so that two
writers wait for each other and do not deadlock.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values

from datanommer.models import extraction, message, raw, years
from datanommer.models.database import bound_engine, reason
from datanommer.models.deadline import Deadline, within
from datanommer.models.errors import NotStorable
from datanommer.models.insert import insert
from datanommer.models.message import Row

log = logging.getLogger(__name__)

#: The most messages of one batch: an open transaction keeps other writers of its topics waiting.
MAX_BATCH = 10_000

#: The most bytes of a reject that are kept.
MAX_RAW_BYTES = 128 * 1024 * 1024

_TRIES = 5
_BYTES_OF_A_STATEMENT = 32 * 1024 * 1024
_MOST_SEEN = 2**31 - 1
_CONFLICT = "the id {} belongs to a message of other content, which came first"
_Result = TypeVar("_Result")
# What PostgreSQL says of a row, and would say again: SQLSTATE classes 22, 23, 0A and 54.
_REFUSALS = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.NotSupportedError,
    psycopg2.errors.ProgramLimitExceeded,
    psycopg2.errors.StatementTooComplex,
)


class Counts(NamedTuple):
    """What became of the messages of a batch, or of several."""

    stored: int = 0
    duplicates: int = 0
    rejected: int = 0

    def __str__(self) -> str:
        return f"stored {self.stored}, duplicates {self.duplicates}, rejected {self.rejected}"

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

    @property
    def size(self) -> int:
        """How many bytes of what was received are kept."""
        return len(self.raw)

    def __str__(self) -> str:
        return f"({self.kind}): {message.which(self.msg_id, self.topic)}: {self.reason}"


#: What a batch consists of.
Item = Row | Reject


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


def prepare(envelope: Any, given: Mapping[str, Any] | None = None) -> Item:
    """The row of an envelope with its users and packages, or the reason why there is none.

    Args:
        envelope: what came, whatever it is; nothing is raised for it.
        given: what `message.given_to` gave to it before.
    """
    try:
        return _row(envelope, given)
    except NotStorable as error:
        return reject(envelope, error)
    except Exception as error:
        log.exception("This is a fault of datanommer; please report it. The message is rejected.")
        return reject(envelope, NotStorable("invalid", f"datanommer failed on it: {error!r}"))


def _row(envelope: Any, given: Mapping[str, Any] | None) -> Row:
    row = message.from_envelope(envelope, given)
    row.users, row.packages = extraction.extract(extraction.body_of(envelope, row.topic))
    return row


def reject(received: Any, error: NotStorable, topic: str | None = None) -> Reject:
    """The reject of something received that `error` says cannot be stored.

    Args:
        received: what came, as an object, or as bytes where it could not be read as one.
        error: why.
        topic: the topic, where `received` does not tell.
    """
    outer = received if isinstance(received, dict) else {}
    inner = outer.get("body")
    body = inner if isinstance(inner, dict) else outer
    written, is_exact = (received, True) if isinstance(received, bytes) else raw.write(received)
    reason = error.reason if is_exact else f"{error.reason} ({raw.INEXACT})"
    return Reject(
        kind=error.kind,
        reason=_safe(reason) or "",
        raw=written[:MAX_RAW_BYTES],
        sha256=hashlib.sha256(written).digest(),
        msg_id=_safe(body.get("msg_id")),
        topic=_safe(body.get("topic", outer.get("topic", topic))),
    )


def store(
    batch: Sequence[Item],
    deadline: Deadline | None = None,
    on_reject: Callable[[Reject], None] = lambda _: None,
) -> Counts:
    """Store what `prepare` made; the limits and errors are those of `add_all`.

    Args:
        batch: at most `MAX_BATCH` rows and rejects.
        deadline: of the whole; when it is over, the database counts as failed.
        on_reject: called for each reject, once they are kept.
    """
    if len(batch) > MAX_BATCH:
        raise ValueError(
            f"A batch holds at most {MAX_BATCH:,} messages, not {len(batch):,}: "
            "it is one transaction. Split it."
        )
    counts, rejects = in_transaction(lambda connection: _store(connection, batch), deadline)
    for rejected in rejects:
        on_reject(rejected)
    return counts


def in_transaction(
    work: Callable[[sa.Connection], _Result], deadline: Deadline | None = None
) -> _Result:
    """Do some work in a transaction of its own; again, where it met with another writer.

    Args:
        work: gets the connection.
        deadline: of each try.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            with (
                bound_engine().connect() as connection,
                within(deadline, connection),
                connection.begin(),
            ):
                return work(connection)
        except (
            psycopg2.errors.DeadlockDetected,
            psycopg2.errors.SerializationFailure,
            _StoredRowVanishedError,
        ):
            if not tries_left:
                raise
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311  apart from the other writer
    raise AssertionError("the last try returns or raises")


def _store(connection: sa.Connection, batch: Sequence[Item]) -> tuple[Counts, list[Reject]]:
    rows = [item for item in batch if isinstance(item, Row)]
    outcome = settle(connection, rows)
    rejects = [item for item in batch if isinstance(item, Reject)]
    rejects += [_reject_row(row, error) for row, error in outcome.refused]
    _insert_rejects(connection, rejects)
    duplicates = len(outcome.duplicates)
    stored = len(rows) - duplicates - len(outcome.refused)
    return Counts(stored, duplicates, len(rejects)), rejects


class Outcome(NamedTuple):
    """What became of rows: those that are in neither list are stored.

    Attributes:
        duplicates: the rows of messages that were stored before.
        refused: the rows that cannot be stored, each with the reason.
    """

    duplicates: list[Row]
    refused: list[tuple[Row, NotStorable]]


def settle(connection: sa.Connection, rows: Sequence[Row]) -> Outcome:
    """Store rows in the transaction of a connection, and tell what became of them.

    Raises:
        psycopg2.Error: the database failed; the transaction is over.
    """
    duplicates = years.duplicates(connection, rows)
    waiting, refused = _insert(connection, _without(rows, duplicates))
    conflicts = _conflicts(connection, waiting)
    duplicates += _without(waiting, [row for row, _ in conflicts])
    return Outcome(duplicates, refused + conflicts)


def _without(rows: Sequence[Row], others: Sequence[Row]) -> Sequence[Row]:
    """The rows that are not among the others (by identity: equal rows are two messages)."""
    left_out = {id(row) for row in others}
    return [row for row in rows if id(row) not in left_out] if left_out else rows


_Refused = list[tuple[Row, NotStorable]]


def _insert(connection: sa.Connection, rows: Sequence[Row]) -> tuple[list[Row], _Refused]:
    """Insert the rows; return those whose id was there already, and those that were refused.

    What the database refuses though it looked storable is found by halving, as a last resort.
    """
    if not rows:
        return [], []
    try:
        with connection.begin_nested():
            return insert(connection, rows), []
    except _REFUSALS as error:
        if len(rows) == 1:
            return [], [
                (rows[0], NotStorable("invalid", f"PostgreSQL refused it: {reason(error)}"))
            ]
    middle = len(rows) // 2
    waiting, refused = _insert(connection, rows[:middle])
    more_waiting, more_refused = _insert(connection, rows[middle:])
    return waiting + more_waiting, refused + more_refused


def _conflicts(connection: sa.Connection, rows: Sequence[Row]) -> _Refused:
    """Those of the rows whose id belongs to a message of other content."""
    if not rows:
        return []
    cursor = connection.connection.cursor()
    cursor.execute(
        "SELECT msg_id, topic, msg::text FROM messages WHERE msg_id = ANY(%s)",
        [[row.msg_id for row in rows]],
    )
    stored = {msg_id: message.content(topic, msg) for msg_id, topic, msg in cursor.fetchall()}
    if any(row.msg_id not in stored for row in rows):
        raise _StoredRowVanishedError
    return [
        (row, NotStorable("conflict", _CONFLICT.format(row.msg_id)))
        for row in rows
        if message.content(row.topic, row.msg) != stored[row.msg_id]
    ]


def _insert_rejects(connection: sa.Connection, rejects: Sequence[Reject]) -> None:
    if not rejects:
        return
    times = Counter(reject.sha256 for reject in rejects)
    once = {reject.sha256: reject for reject in rejects}
    values = [
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
    ]
    # A statement has at most 1 GB, and a reject takes up to a quarter of that.
    largest = max(reject.size for reject in once.values())
    execute_values(
        connection.connection.cursor(),
        "INSERT INTO rejected (sha256, msg_id, topic, kind, reason, raw, seen) VALUES %s "
        "ON CONFLICT (sha256) DO UPDATE SET seen = "
        f"least(rejected.seen::bigint + excluded.seen, {_MOST_SEEN})",
        values,
        page_size=max(1, _BYTES_OF_A_STATEMENT // (largest + 1)),
    )


def _reject_row(row: Row, error: NotStorable) -> Reject:
    received = raw.dumps(message.received(row))
    identity = received
    if error.kind == "conflict":
        # The same message again is the same conflict, whatever its counter or timestamp says.
        identity = "\0".join((row.msg_id, *message.content(row.topic, row.msg))).encode()
    return Reject(
        kind=error.kind,
        reason=error.reason,
        raw=received[:MAX_RAW_BYTES],
        sha256=hashlib.sha256(identity).digest(),
        msg_id=row.msg_id,
        topic=row.topic,
    )


def _safe(value: Any) -> str | None:
    """The text, fit for a text column: no NUL, no lone surrogate, not endless."""
    if not isinstance(value, str):
        return None
    text = value[: message.MAX_TEXT_BYTES].replace("\0", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode()
