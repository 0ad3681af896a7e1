"""The use of the spool: messages go in while the database is away, and are stored afterwards.

A thread of its own, the drainer, stores what waits, oldest first. It tries again and again, at
growing intervals.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence

import sqlalchemy as sa

from datanommer.consumer.backoff import Backoff
from datanommer.consumer.deadlines import Deadlines
from datanommer.consumer.failure import cause, explain, is_of_database
from datanommer.consumer.quiet_log import QuietLog
from datanommer.consumer.replayer import Replayer
from datanommer.consumer.reporter import Reporter
from datanommer.models.database import migrations
from datanommer.models.errors import (
    BehindHead,
    DatanommerError,
    OnStandby,
    SignaturesUnknown,
    SpoolFull,
)
from datanommer.models.receiving.received import Received
from datanommer.models.receiving.receiver import Receiver
from datanommer.models.spooling.spool import Loss, Spool
from datanommer.models.storing.batch import BATCH_BYTES, Batch, store

log = logging.getLogger("fedmsg.consumers.datanommer.spooler")

_LOOK_SECONDS = 5.0  # for the look whether the database is back
_UNREADY_SECONDS = 2.0  # between two looks whether the database is upgraded, or promoted
_STORE_SECONDS = 60.0  # for a batch out of the spool, which nothing waits for
_END_SECONDS = 4.0  # for the end of the drainer; connecting takes 3 at most


class Spooler:
    """Keeps messages in the spool, and stores them as soon as the database takes them.

    It is active from the first failure of the database until all that waits is stored. Meanwhile
    every message has to go into the spool, so that the order is kept.

    Args:
        engine: of the database.
        spool: where messages wait. If some do from the start, it is active from the start.
        receiver: makes rows and rejects of messages.
        batch_size: how many messages are taken out of the spool at a time.
        deadlines: of all work with the database. When that is cut short, the drainer ends.
        reporter: hears what becomes of the messages.
        replayer: keeps copies of those that are stored.
        is_ready: whether the database takes messages, as far as anybody knows. If not, it is active
            from the start.

    Attributes:
        spooled: how many messages went into the spool.
        unreadable: how many of them could not be read again.
    """

    def __init__(
        self,
        engine: sa.Engine,
        spool: Spool,
        receiver: Receiver,
        batch_size: int,
        deadlines: Deadlines,
        reporter: Reporter,
        replayer: Replayer,
        *,
        is_ready: bool = True,
    ) -> None:
        self._engine = engine
        self._spool = spool
        self._receiver = receiver
        self._batch_size = batch_size
        self._deadlines = deadlines
        self._stopping = deadlines.stopping
        self._reporter = reporter
        self._replayer = replayer
        self._log = QuietLog(log, per_minute=1)
        self._lock = threading.Lock()  # of the change of `_is_active`, and of what is put
        self._waiting = 0
        has_messages = self._has_messages()
        self._is_active = has_messages or not is_ready
        self._has_work = threading.Event()
        self.spooled = 0
        self.unreadable = 0
        # Whether messages were not taken, and nobody has told that they are again.
        self._is_outage = self._is_active
        # Since it became active: whether it has stored any, and all that waited.
        self._has_stored = False
        self._is_all_stored = True
        self._drainer = threading.Thread(target=self._drain, name="datanommer-drain", daemon=True)
        self._drainer.start()
        if has_messages:
            log.warning("%s messages wait in the spool and will be stored first.", self.waiting)
        if self._is_active:
            self._has_work.set()

    @property
    def is_active(self) -> bool:
        """Whether messages have to go into the spool."""
        return self._is_active

    @property
    def waiting(self) -> int:
        """How many messages wait in the spool, or did when that could be read last."""
        with contextlib.suppress(DatanommerError):
            self._waiting = self._spool.waiting().messages
        return self._waiting

    def _has_messages(self) -> bool:
        """Whether messages wait at the start; a spool that cannot be used is told."""
        try:
            self._spool.require_room()
        except SpoolFull as error:
            log.critical(
                "%s While the database does not take messages, they wait in memory alone.", error
            )
        return self.waiting > 0

    def start(self, error: Exception) -> None:
        """Become active, because a message could not be stored.

        Args:
            error: why not.
        """
        with self._lock:
            if not self._is_active:
                self._is_active = self._is_outage = True
                # The drainer reports that signatures are unknown.
                if not (isinstance(error, SignaturesUnknown) or self._is_own_cut(error)):
                    self._log.warning(
                        "The database does not take messages: %s. They wait in %s.",
                        explain(error, log),
                        self._spool.folder,
                        kind=cause(error),
                    )
        self._engine.dispose()
        self._has_work.set()

    def end_outage(self) -> None:
        """Say that messages go into the database again, if they did not."""
        if not self._is_outage:
            return
        with self._lock:
            has_ended = not self._is_active
            self._is_outage = self._is_active
        if has_ended:
            self._log.warning("Messages go into the database again.")

    def put(self, received: Sequence[Received]) -> bool:
        """Put messages into the spool; nothing is raised.

        Returns:
            Whether they are on the disk. If not, the database takes messages again, or the spool
            takes none.
        """
        with self._lock:
            # The drainer may have stored all that waited since the caller looked.
            if not self._is_active and not self._stopping.is_set():
                return False
            try:
                self._spool.put(received)
            except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
                self._log.critical(
                    "Messages wait in memory alone, %s of them here and more in the queue of the "
                    "hub: they cannot be stored now, and the spool does not take them: %s",
                    len(received),
                    explain(error, log),
                    kind=cause(error),
                )
                return False
            self.spooled += len(received)
            return True

    def close(self) -> None:
        """End the drainer, once work was cut short."""
        self._has_work.set()
        # It may be in the middle of connecting. If it then stores messages and does not take them
        # out of the spool, they count as duplicates after the next start.
        self._drainer.join(_END_SECONDS)
        if waiting := self.waiting:
            log.warning("%s messages wait in %s for the next start.", waiting, self._spool.folder)
        self._log.close()

    def _drain(self) -> None:
        backoff = Backoff()
        limit = self._batch_size
        # Before and after the wait: the drainer may clear again the event that ends its wait.
        while not self._stopping.is_set() and self._has_work.wait() and not self._stopping.is_set():
            try:
                while self._store_oldest(limit):
                    backoff.reset()
                    limit = self._batch_size
            except Exception as error:  # noqa: BLE001  without this thread nothing would be stored
                self._engine.dispose()
                if not self._is_own_cut(error):
                    self._report_waiting(error)
                # The database may take fewer messages at a time.
                limit = max(1, limit // 2)
                is_unready = isinstance(error, BehindHead | OnStandby)
                self._stopping.wait(_UNREADY_SECONDS if is_unready else backoff.pause())

    def _store_oldest(self, limit: int) -> bool:
        """Store what has waited longest; False if nothing waits, or the hub ends."""
        if self._stopping.is_set():
            return False
        # Before each batch: somebody may change the schema. Until it is at head, no table
        # is touched.
        with self._deadlines.within(_LOOK_SECONDS) as deadline:
            migrations.require_head(self._engine, deadline, for_writing=True)
        chunk = self._spool.first(limit, BATCH_BYTES)
        if chunk is None:
            self._become_idle()
            return self._is_active
        items, refused = self._receiver.items(chunk.received)
        if items:
            with self._deadlines.within(_STORE_SECONDS) as deadline:
                counts = store(self._engine, Batch.of(items), deadline, self._reporter.log_reject)
            self._replayer.keep([each for each in chunk.received if self._receiver.lets_in(each)])
            self._reporter.add(counts)
        self._has_stored = True
        loss = self._spool.remove(chunk)
        self._reporter.add_refused(refused)
        if loss:
            self._report_loss(loss)
        return True

    def _become_idle(self) -> None:
        with self._lock:
            # Nobody can put anything now: if the spool is empty, it stays so.
            if self._spool.waiting().messages > 0:
                return
            self._is_active = False
            self._has_work.clear()
            # Where the spool took nothing either, the database need not be back.
            if not self._has_stored:
                return
            stored = "all that waited" if self._is_all_stored else "what could be read of the spool"
            self._is_outage = self._has_stored = False
            self._is_all_stored = True
        # A database that comes and goes all the time fills no log.
        self._log.warning("Messages go into the database again; %s is stored.", stored)

    def _is_own_cut(self, error: Exception) -> bool:
        """Whether the hub ends, and has cut its connections itself, so nothing is wrong."""
        return self._stopping.is_set() and is_of_database(error)

    def _report_loss(self, loss: Loss) -> None:
        self.unreadable += loss.missing
        self._is_all_stored = False
        log.critical("%s", loss)

    def _report_waiting(self, error: Exception) -> None:
        is_critical = isinstance(error, SignaturesUnknown)
        report = self._log.critical if is_critical else self._log.warning
        report(
            "%s messages wait in the spool: %s",
            self.waiting,
            explain(error, log),
            kind=cause(error),
        )
