"""Batches into the database, or while that is away, onto the disk.

A batch is examined and goes straight into the database. If that fails, it goes into the spool, and
so does every batch after it, until all that waits there is stored: so the order is kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from datanommer.consumer.failure import explain, is_of_database
from datanommer.consumer.keeping.committer import Committer
from datanommer.consumer.keeping.deadlines import Deadlines
from datanommer.consumer.keeping.replayer import Replayer
from datanommer.consumer.keeping.reporter import OnCommit, Reporter
from datanommer.consumer.keeping.spooler import Spooler
from datanommer.models.database.deadline import Deadline
from datanommer.models.preparing.preparation import Item
from datanommer.models.receiving.received import Received
from datanommer.models.receiving.receiver import Receiver, Refused
from datanommer.models.spooling.replay import Replay
from datanommer.models.spooling.spool import Spool
from datanommer.models.storing.batch import Batch, Counts
from datanommer.models.storing.pipeline import Pipeline

log = logging.getLogger("fedmsg.consumers.datanommer.writer")

# Not for long, because what the bus brings waits in memory meanwhile. A batch that takes longer can
# still be stored from the spool.
_STORE_SECONDS = 5.0
_LAST_SECONDS = 4.0  # for the last try at the end; connecting takes 3 at most


@dataclass(frozen=True, slots=True)
class Examined:
    """A batch that was examined.

    Attributes:
        received: its messages, without those that are refused.
        batch: the same, ready for the database; None if not all of it was examined.
        error: why not, if something failed.
        seconds: how long the examination took.
    """

    received: Sequence[Received]
    batch: Batch | None
    error: Exception | None = None
    seconds: float = 0.0


class Observer(Protocol):
    """Hears when a batch begins and when it ends."""

    def batch_begins(self, received: Sequence[Received], /) -> None:
        """The writer is about to keep a batch."""

    def batch_ends(
        self, received: Sequence[Received], seconds: float, *, in_database: bool
    ) -> None:
        """A batch was kept, or lost, after so many seconds."""


class Writer:
    """Keeps messages, in the database or in the spool.

    Args:
        engine: of the database.
        spool: where messages wait. Those that are in it already are stored first.
        receiver: makes rows and rejects of messages.
        batch_size: how many messages are taken out of the spool at a time.
        observer: hears when a batch begins and when it ends.
        replay: keeps copies of what was stored lately, if anything is to.
        on_commit: hears of each batch that is in the database, those out of the spool as well.
        is_ready: whether the database takes messages, as far as anybody knows. If not, they wait
            in the spool until it does.

    Attributes:
        movements: of all threads that keep messages.
    """

    def __init__(
        self,
        engine: sa.Engine,
        spool: Spool,
        receiver: Receiver,
        batch_size: int,
        observer: Observer,
        *,
        replay: Replay | None = None,
        on_commit: OnCommit | None = None,
        is_ready: bool = True,
    ) -> None:
        self._receiver = receiver
        self._observer = observer
        self._deadlines = Deadlines()
        self._stopping = self._deadlines.stopping
        self.movements = self._deadlines.movements
        self._reporter = Reporter(log, on_commit)
        self._replayer = Replayer(engine, replay, receiver, batch_size, self._deadlines)
        self._committer = Committer(
            engine, receiver, self._deadlines, self._reporter, self._replayer
        )
        self._spooler = Spooler(
            engine,
            spool,
            self._committer,
            batch_size,
            self._reporter,
            self._deadlines,
            is_ready=is_ready,
        )
        self._last_failure: str | None = None

    def status(self) -> dict[str, int]:
        """What became of the messages so far, as the hub's monitoring socket shows it."""
        total = self._reporter.total
        return {
            **{fate: total(fate) for fate in Counts._fields},
            "invalid": total("refused"),
            "spooled": total("spooled"),
            "waiting": self._spooler.waiting,
            "replayed": self._replayer.replayed,
            "lost": total("lost"),
        }

    def counts(self) -> dict[tuple[str, str], int]:
        """How many messages of each road had each fate, as `Reporter.counts`."""
        return self._reporter.counts()

    @property
    def oldest(self) -> float | None:
        """When what waits longest on the disk was put there, in epoch seconds."""
        return self._spooler.oldest

    def write_all(self, batches: Iterable[Sequence[Received]]) -> None:
        """Keep batches as they come: one is examined while PostgreSQL stores the one before.

        Nothing is raised, and nothing is lost while the disk has room.

        Args:
            batches: the messages of each are of one road.
        """
        self.movements.live(self._write_all, batches)

    def _write_all(self, batches: Iterable[Sequence[Received]]) -> None:
        with Pipeline(self._keep) as pipeline:
            for received in batches:
                pipeline.begin(self._take_up(received))

    def write(self, received: Sequence[Received]) -> None:
        """Keep one batch now, as `write_all` does."""
        self._keep(self._take_up(received))

    def cut_short(self) -> None:
        """Stop storing: all further messages go into the spool."""
        self._deadlines.cut_short()

    def close(self) -> None:
        """End. What waits in the spool is stored after the next start."""
        self.cut_short()
        self._spooler.close()
        self._replayer.close()
        self._reporter.close()

    def _take_up(self, received: Sequence[Received]) -> Examined:
        if received:
            self._reporter.add("received", received[0].road, len(received))
        with self.movements.working():
            return self._examine(received)

    def _examine(self, received: Sequence[Received], *, at_last: bool = False) -> Examined:
        """Read a batch, check its signatures, and make its rows; nothing is raised.

        What goes into the spool need not be read now. But signatures are checked, lest somebody
        fills the spool with unsigned messages.

        Args:
            received: the messages of the batch.
            at_last: read all of it, because the spool takes no more.
        """
        start = time.monotonic()
        if self._spooler.is_active and not self._receiver.validates and not at_last:
            return Examined(received, None)
        kept: list[Received] = []
        items: list[Item] = []
        examined = self._receiver.each(self.movements.each(received))
        for index, each in enumerate(self.movements.each(received)):
            if self._stopping.is_set() and not at_last:
                return Examined([*kept, *received[index:]], None)
            try:
                item = next(examined)
            except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
                return Examined([*kept, *received[index:]], None, error)
            if isinstance(item, Refused):
                self._reporter.add_refused(each.road, [item])
                each.refuse()
            else:
                kept.append(each)
                items.append(item)
        batch = Batch.of(items, written_ahead=True)
        return Examined(kept, batch, seconds=time.monotonic() - start)

    def _keep(self, examined: Examined) -> None:
        if examined.received:
            with self.movements.holding(examined.received), self.movements.working():
                self._keep_all(examined)

    def _keep_all(self, examined: Examined) -> None:
        received = examined.received
        start = time.monotonic() - examined.seconds
        self._observer.batch_begins(received)
        is_kept = in_database = False
        while not is_kept:
            if not self._spooler.is_active and examined.batch is None:
                examined = self._examine(examined.received)
            in_database = not self._spooler.is_active and self._store(examined)
            is_kept = in_database or self._spooler.put(examined.received)
            if not is_kept and self._stopping.is_set():
                if examined.batch is None:
                    examined = self._examine(examined.received, at_last=True)
                is_kept = in_database = self._store_at_last(examined)
                break
            if not is_kept:
                time.sleep(0.5)  # until the spool has room, or the database is back
                self.movements.note()
        if is_kept:
            for each in examined.received:
                each.acknowledge()
        seconds = time.monotonic() - start
        self._observer.batch_ends(received, seconds, in_database=in_database)

    def _store(self, examined: Examined) -> bool:
        """Store a batch in the database; if that fails, start the spooler, and return False."""
        error = examined.error
        if examined.batch is not None:
            try:
                with self._deadlines.within(_STORE_SECONDS) as deadline:
                    self._committer.commit(examined.received, examined.batch, deadline)
            except Exception as failure:  # noqa: BLE001  a fault of ours must lose nothing either
                error = failure
            else:
                self._spooler.end_outage()
                return True
        if error:
            self._spooler.start(error, len(examined.received))
        return False

    def _store_at_last(self, examined: Examined) -> bool:
        """Try the database once more, because nothing else is left; log it if that fails too.

        A database that fails here is not tried again: the hub has to end in time.
        """
        error = examined.error
        if examined.batch is not None and self._last_failure is None:
            try:
                self._committer.commit(examined.received, examined.batch, Deadline(_LAST_SECONDS))
            except Exception as failure:  # noqa: BLE001  it is not kept, whatever the reason
                error = failure
            else:
                return True
        reason = explain(error, log) if error else self._last_failure
        if error and is_of_database(error):
            self._last_failure = reason
        self._give_up(examined.received, reason or "")
        return False

    def _give_up(self, received: Sequence[Received], reason: str) -> None:
        lost = sum(each.settlement is None for each in received)
        if lost:
            self._reporter.add("lost", received[0].road, lost)
            log.critical(
                "Lost %s messages when the hub ended: they cannot be stored, and the spool "
                "takes no more: %s. %s were lost in all.",
                lost,
                reason,
                self._reporter.total("lost"),
            )
        else:
            log.warning(
                "%s messages cannot be stored, and the spool takes no more: %s. They are delivered "
                "or fetched again.",
                len(received),
                reason,
            )
