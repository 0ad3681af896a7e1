"""A batch: rows and rejects that are stored in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, Self, TypeVar

import sqlalchemy as sa

from datanommer.models.database.deadline import Deadline
from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.preparing.preparation import Item
from datanommer.models.storing import copy_format, rejects, rows
from datanommer.models.storing.transaction import in_transaction

#: The most messages of one batch: an open transaction keeps other writers of its topics waiting.
MAX_BATCH = 10_000
#: A batch is full once its messages have so many bytes. A message that is read takes many times its
#: size in memory, and a batch has to be stored in time.
BATCH_BYTES = 16 * 1024 * 1024


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


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows and rejects that are stored in one transaction.

    Attributes:
        copy_lines: the lines for COPY that were written ahead, by the row's `id()`.
        is_replay: whether they were stored before. Then no reject counts as seen once more.
    """

    rows: list[Row]
    rejects: list[Reject]
    copy_lines: Mapping[int, str] = field(default_factory=dict)
    is_replay: bool = False

    @classmethod
    def of(
        cls, items: Iterable[Item], *, written_ahead: bool = False, is_replay: bool = False
    ) -> Self:
        """The batch of rows and rejects in any order.

        Args:
            items: the rows and the rejects.
            written_ahead: write for COPY now, so that no connection has to wait for it. Where
                another thread stores the batch, that takes a tenth off its time.
            is_replay: whether they were stored before.
        """
        rows: list[Row] = []
        rejects: list[Reject] = []
        for item in items:
            if isinstance(item, Row):
                rows.append(item)
            else:
                rejects.append(item)
        lines = {}
        if written_ahead and len(rows) >= copy_format.COPY_FROM:
            lines = {id(row): copy_format.line_of(row) for row in rows}
        return cls(rows, rejects, lines, is_replay)

    def __len__(self) -> int:
        return len(self.rows) + len(self.rejects)


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


_Message = TypeVar("_Message", bound=_Sized)


def split(messages: Iterable[_Message], most: int) -> Iterator[list[_Message]]:
    """The messages in batches, in order, each of at most `BATCH_BYTES` plus one message.

    If `messages` raises, what came before is yielded first.

    Args:
        messages: rows, rejects, or messages as they were received.
        most: messages of a batch.
    """
    batch: list[_Message] = []
    size = 0
    try:
        for message in messages:
            batch.append(message)
            size += message.size
            if len(batch) == most or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except Exception:
        yield batch
        raise
    yield batch


def store(
    engine: sa.Engine,
    batch: Batch,
    deadline: Deadline | None = None,
    on_reject: Callable[[Reject], None] = lambda _: None,
) -> Counts:
    """Store a batch in one transaction.

    Args:
        engine: of the database.
        batch: at most `MAX_BATCH` (10,000) rows and rejects.
        deadline: of the whole; when it is over, the database counts as failed.
        on_reject: called for each reject, once they are kept.

    Raises:
        ValueError: the batch is too large; nothing was stored.
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; nothing was stored.
    """
    if len(batch) > MAX_BATCH:
        raise ValueError(
            f"A batch holds at most {MAX_BATCH:,} messages, not {len(batch):,}: "
            "it is one transaction. Split it."
        )
    counts, kept = in_transaction(engine, partial(_insert, batch), deadline)
    for reject in kept:
        on_reject(reject)
    return counts


def _insert(batch: Batch, connection: sa.Connection) -> tuple[Counts, list[Reject]]:
    result = rows.insert(connection, batch.rows, batch.copy_lines)
    kept = [*batch.rejects, *(Reject.of_row(row, error) for row, error in result.rejected)]
    rejects.insert(connection, kept, is_replay=batch.is_replay)
    duplicates = len(result.duplicates)
    stored = len(batch.rows) - duplicates - len(result.rejected)
    return Counts(stored, duplicates, len(kept)), kept
