"""Batches into the database, or while that is away, onto the disk.

A batch is examined, and goes straight into the database. Where that fails, it goes into the spool,
and so does every batch after it, until a thread of its own has stored all that waits: the order is
kept. That thread tries again and again, at growing intervals.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2
import sqlalchemy as sa

from datanommer.consumer.lines import Lines
from datanommer.models import insert, migrations, store
from datanommer.models.database import reason
from datanommer.models.deadline import Deadline
from datanommer.models.errors import DatanommerError, SignaturesUnknown, SpoolDamaged
from datanommer.models.message import Row
from datanommer.models.reception import Received, Receiver, Refused
from datanommer.models.spool import Spool, set_aside
from datanommer.models.store import Item, Reject

log = logging.getLogger("fedmsg.consumers.datanommer.writer")

# What the bus brings waits in memory meanwhile, so not for long; what takes longer can still be
# stored from the spool, which waits for nobody.
_DIRECT_SECONDS = 5.0
_DRAIN_SECONDS = 60.0
_LAST_SECONDS = 4.0  # for what is left at the end; connecting takes 3 at most
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds between two tries, with jitter
_EXPECTED = (psycopg2.Error, sa.exc.DBAPIError, DatanommerError)


@dataclass(frozen=True, slots=True)
class Examined:
    """A batch that was examined.

    Attributes:
        received: what is to be kept of it.
        items: the same, ready for the database; None where not all of it was examined.
        error: what kept it from being examined, if anything did.
    """

    received: Sequence[Received]
    items: Sequence[Item] | None
    error: Exception | None = None


class Writer:
    """Keeps what it is given, in the database or in the spool.

    Args:
        engine: of the database, which `datanommer.models` is bound to as well.
        spool: where batches wait; what is in it already is stored first.
        receiver: makes of what was received what is to be stored.
        batch_size: how many messages are taken out of the spool at a time.
    """

    def __init__(
        self, engine: sa.Engine, spool: Spool, receiver: Receiver, batch_size: int
    ) -> None:
        self._engine = engine
        self._spool = spool
        self._receiver = receiver
        self._batch_size = batch_size
        self._lock = threading.Lock()  # of the change between direct and spooling
        self._is_direct = self._spool.waiting().messages == 0
        self._counting = threading.Lock()
        self._away = threading.Event()
        self._stopping = threading.Event()
        self._deadlines: set[Deadline] = set()
        self._lines = Lines(log)
        self._states = Lines(log, a_minute=1)
        self.counts = store.Counts()
        self.refused = 0
        self.spooled = 0
        self.lost = 0
        self._drainer = threading.Thread(target=self._drain, name="datanommer-drain", daemon=True)
        self._drainer.start()
        if not self._is_direct:
            log.warning("%s messages wait in the spool, and are stored first.", self.waiting)
            self._away.set()

    @property
    def waiting(self) -> int:
        """How many messages wait in the spool."""
        try:
            return self._spool.waiting().messages
        except DatanommerError:
            return 0

    def examine(self, batch: Sequence[Received]) -> Examined:
        """Read a batch, check its signatures, and work out its rows; nothing is raised.

        What only the spool will have need not be examined, but that nobody may fill it with what
        is not signed.
        """
        if not (self._is_direct or self._receiver.validates):
            return Examined(batch, None)
        kept: list[Received] = []
        items: list[Item] = []
        for place, received in enumerate(batch):
            if self._stopping.is_set():
                return Examined([*kept, *batch[place:]], None)
            try:
                item = self._receiver.item(received)
            except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
                return Examined([*kept, *batch[place:]], None, error)
            if isinstance(item, Refused):
                self._tell_refused([item])
            else:
                kept.append(received)
                items.append(item)
        insert.write_ahead([item for item in items if isinstance(item, Row)])
        return Examined(kept, items)

    def write(self, batch: Examined) -> bool:
        """Keep a batch; nothing is raised, and nothing is lost while there is a disk to write.

        Returns:
            Whether it is in the database now.
        """
        while True:
            if self._is_direct and batch.items is None:
                batch = self.examine(batch.received)
            if self._is_direct and batch.error:
                self._go_away(batch.error)
            elif self._is_direct and batch.items is not None:
                try:
                    self._store(batch.items, _DIRECT_SECONDS)
                except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
                    self._go_away(error)
                else:
                    return True
            with self._lock:
                # Since the last look, all that waited may have been stored.
                if (not self._is_direct or self._stopping.is_set()) and self._put(batch.received):
                    return False
            if self._stopping.is_set():
                return self._store_at_last(batch)
            time.sleep(0.5)  # for the spool to have room, or for the database to come back

    def hurry(self) -> None:
        """Let go of the database: what is still to be written goes into the spool."""
        self._stopping.set()
        for deadline in list(self._deadlines):
            deadline.expire()

    def close(self) -> None:
        """End; what waits in the spool is stored after the next start."""
        self.hurry()
        self._away.set()
        # It may be in the middle of connecting. What it stores then, and does not take out of the
        # spool, is found to be stored after the next start.
        self._drainer.join(_LAST_SECONDS)
        if waiting := self.waiting:
            log.warning("%s messages wait in %s for the next start.", waiting, self._spool.file)
        self._lines.close()
        self._states.close()
        self._spool.close()

    def _log_reject(self, reject: Reject) -> None:
        self._lines.warning("Rejected %s", reject)

    def _store(self, batch: Sequence[Item], seconds: float) -> None:
        if not batch:
            return
        with self._deadline(seconds) as deadline:
            counts = store.store(batch, deadline, self._log_reject)
        with self._counting:
            self.counts = self.counts.plus(counts)

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[Deadline]:
        """A deadline that `hurry` brings forward."""
        deadline = Deadline(seconds)
        self._deadlines.add(deadline)
        if self._stopping.is_set():  # since before it was added, maybe
            deadline.expire()
        try:
            yield deadline
        finally:
            self._deadlines.discard(deadline)

    def _go_away(self, error: Exception) -> None:
        with self._lock:
            if self._is_direct:
                self._is_direct = False
                if not isinstance(error, SignaturesUnknown):  # which the drainer tells
                    log.warning(
                        "The database does not take messages: %s. They wait in %s.",
                        _reason(error),
                        self._spool.file,
                    )
        self._engine.dispose()
        self._away.set()

    def _put(self, batch: Sequence[Received]) -> bool:
        try:
            try:
                self._spool.put(batch)
            except SpoolDamaged as error:
                self._replace_spool(error)
                self._spool.put(batch)
        except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
            self._states.critical(
                "Messages wait in memory alone, %s of them here and more in the queue of the hub: "
                "they cannot be stored now, and the spool does not take them: %s",
                len(batch),
                _reason(error),
            )
            return False
        self.spooled += len(batch)
        return True

    def _replace_spool(self, error: SpoolDamaged) -> None:
        aside = set_aside(self._spool.folder)
        log.critical(
            "%s It is kept as %s; datanommer-spool check says what can be read of it.", error, aside
        )
        self._spool.reopen()

    def _store_at_last(self, batch: Examined) -> bool:
        """Try the database once more, because nothing else is left; tell if that fails too."""
        try:
            items = self._receiver.items(batch.received)[0] if batch.items is None else batch.items
            store.store(items, Deadline(_LAST_SECONDS), self._log_reject)
        except Exception as error:  # noqa: BLE001  it is lost, whatever the reason
            self.lost += len(batch.received)
            log.critical(
                "Lost %s messages at the end of the hub: they cannot be stored, and the spool "
                "takes no more: %s. %s were lost in all.",
                len(batch.received),
                _reason(error),
                self.lost,
            )
            return False
        return True

    def _tell_refused(self, refused: Sequence[Refused]) -> None:
        with self._counting:
            self.refused += len(refused)
        for each in refused:
            self._lines.warning("Refused: %s", each)

    def _drain(self) -> None:
        pause = _FIRST_PAUSE
        number = self._batch_size
        # Asked before and after the wait: what just ended the wait for good may be cleared again.
        while not self._stopping.is_set() and self._away.wait() and not self._stopping.is_set():
            try:
                with self._deadline(_DIRECT_SECONDS) as deadline:
                    migrations.require_head(self._engine, deadline)
                while self._store_first(number):
                    pause, number = _FIRST_PAUSE, self._batch_size
            except Exception as error:  # noqa: BLE001  nobody would store what waits any more
                self._engine.dispose()
                tell = self._states.warning
                if isinstance(error, SignaturesUnknown):
                    tell = self._states.critical
                tell("%s messages wait in the spool: %s", self.waiting, _reason(error))
                # What is too much for the database at once may go in smaller pieces.
                number = max(1, number // 2)
                self._stopping.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _store_first(self, number: int) -> bool:
        """Store what has waited longest; False where all is stored, or the writer stops."""
        if self._stopping.is_set():
            return False
        waiting = self._spool.first(number)
        if waiting:
            items, refused = self._receiver.items([received for _, received in waiting])
            self._store(items, _DRAIN_SECONDS)
            self._spool.remove(waiting[-1][0])
            self._tell_refused(refused)
            return True
        with self._lock:
            # Nothing can come in now, so this is the end of what waits.
            if self._spool.waiting().messages == 0:
                self._is_direct = True
                self._away.clear()
        if self._is_direct:
            self._spool.shrink()
            log.warning("Messages go into the database again; all that waited is stored.")
        return not self._is_direct


def _reason(error: Exception) -> str:
    if not isinstance(error, _EXPECTED):
        log.error("This is a fault of datanommer; please report it.", exc_info=error)
    return reason(error)
