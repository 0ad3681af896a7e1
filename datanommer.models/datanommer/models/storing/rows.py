"""Rows into the archive: which of them are stored, which are duplicates, which become rejects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psycopg2
import sqlalchemy as sa

from datanommer.models.database.engine import reason
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import NotStorable
from datanommer.models.storing import duplicates, inserts
from datanommer.models.storing.transaction import RowIdTakenError, RowVanishedError
from datanommer.models.tables import messages

# Refusals that PostgreSQL would repeat for the same row: SQLSTATE classes 22, 23, 0A and 54.
_REFUSALS = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.NotSupportedError,
    psycopg2.errors.ProgramLimitExceeded,
    psycopg2.errors.StatementTooComplex,
)
# A prune may delete a certificate or a name that no message needed, just before one is stored.
_REFERENCES = {
    "messages_certificate_id_fkey",
    "package_messages_name_fkey",
    "user_messages_name_fkey",
}
_Rejected = list[tuple[Row, NotStorable]]


class Result(NamedTuple):
    """What became of rows: those that are in neither list are stored.

    Attributes:
        duplicates: the rows of messages that were stored before.
        rejected: the rows that cannot be stored, each with the reason.
    """

    duplicates: list[Row]
    rejected: _Rejected


def insert(
    connection: sa.Connection, rows: Sequence[Row], copy_lines: Mapping[int, str] | None = None
) -> Result:
    """Store rows in the transaction of a connection, and report what became of them.

    Args:
        connection: in a transaction.
        rows: the rows.
        copy_lines: of `datanommer.models.storing.batch.Batch`.

    Raises:
        RowIdTakenError: another transaction has used a `row_id` that was drawn for one of them.
        RowVanishedError: another one has deleted what one of them refers to.
        psycopg2.Error: the database failed; the transaction is over.
    """
    lines = copy_lines or {}
    known = duplicates.of_other_years(connection, rows)
    new = _without(rows, known)
    rejected: _Rejected = []
    try:
        known_ids = _insert(connection, new, lines) if new else []
    except _REFUSALS:
        known_ids, rejected = _insert_by_halves(connection, new, lines)
    conflicts = duplicates.conflicts(connection, known_ids)
    known += _without(known_ids, [row for row, _ in conflicts])
    return Result(known, rejected + conflicts)


def _insert(connection: sa.Connection, rows: Sequence[Row], lines: Mapping[int, str]) -> list[Row]:
    """Insert rows, all or none; those whose id was there already.

    Raises:
        RowIdTakenError: another transaction has used a `row_id` that was drawn for one of them.
        RowVanishedError: another one has deleted what one of them refers to.
        psycopg2.Error: the database failed or refused.
    """
    try:
        with connection.begin_nested():
            return inserts.insert(connection, rows, lines)
    except psycopg2.errors.UniqueViolation as error:
        # A known `msg_id` raises nothing, so it is the other key of the table.
        if error.diag.table_name == messages.name:
            raise RowIdTakenError from error
        raise
    except psycopg2.errors.ForeignKeyViolation as error:
        if error.diag.constraint_name in _REFERENCES:
            raise RowVanishedError from error
        raise


def _without(rows: Sequence[Row], others: Sequence[Row]) -> Sequence[Row]:
    """The rows that are not among the others (by identity: equal rows are two messages)."""
    left_out = {id(row) for row in others}
    return [row for row in rows if id(row) not in left_out] if left_out else rows


def _insert_by_halves(
    connection: sa.Connection, rows: Sequence[Row], lines: Mapping[int, str]
) -> tuple[list[Row], _Rejected]:
    """Find the rows that PostgreSQL refuses though they looked storable: the last resort.

    Returns:
        The rows whose id was there already, and those that become rejects.
    """
    known_ids: list[Row] = []
    rejected: _Rejected = []
    middle = (len(rows) + 1) // 2
    for half in filter(None, (rows[:middle], rows[middle:])):
        try:
            known_ids += _insert(connection, half, lines)
        except _REFUSALS as error:
            if len(half) == 1:
                why = NotStorable("invalid", f"PostgreSQL refused it: {reason(error)}")
                rejected.append((half[0], why))
            else:
                more_known_ids, more_rejected = _insert_by_halves(connection, half, lines)
                known_ids += more_known_ids
                rejected += more_rejected
    return known_ids, rejected
