"""The use of the spool: messages go in while the database is away, and are stored afterwards.

A thread of its own, the drainer, stores what waits, oldest first. It tries again and again, at
growing intervals.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import sqlalchemy as sa

from datanommer.consumer.backoff import Backoff
from datanommer.consumer.deadlines import Deadlines
from datanommer.consumer.failure import explain
from datanommer.consumer.quiet_log import QuietLog
from datanommer.consumer.reporter import Reporter
from datanommer.models.database import migrations
from datanommer.models.errors import DatanommerError, SignaturesUnknown, SpoolDamaged
from datanommer.models.receiving.received import Received
from datanommer.models.receiving.receiver import Receiver
from datanommer.models.receiving.spool import Spool, set_aside
from datanommer.models.storing.batch import Batch, store

log = logging.getLogger("fedmsg.consumers.datanommer.spooler")

_LOOK_SECONDS = 5.0  # for the look whether the database is back
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

    Attributes:
        spooled: how many messages went into the spool.
    """

    def __init__(
        self,
        engine: sa.Engine,
        spool: Spool,
        receiver: Receiver,
        batch_size: int,
        deadlines: Deadlines,
        reporter: Reporter,
    ) -> None:
        self._engine = engine
        self._spool = spool
        self._receiver = receiver
        self._batch_size = batch_size
        self._deadlines = deadlines
        self._stopping = deadlines.stopping
        self._reporter = reporter
        self._log = QuietLog(log, per_minute=1)
        self._lock = threading.Lock()  # of the change of `_is_active`, and of what is put
        self._is_active = spool.waiting().messages > 0
        self._has_work = threading.Event()
        self.spooled = 0
        self._drainer = threading.Thread(target=self._drain, name="datanommer-drain", daemon=True)
        self._drainer.start()
        if self._is_active:
            log.warning("%s messages wait in the spool, and are stored first.", self.waiting)
            self._has_work.set()

    @property
    def is_active(self) -> bool:
        """Whether messages have to go into the spool."""
        return self._is_active

    @property
    def waiting(self) -> int:
        """How many messages wait in the spool."""
        try:
            return self._spool.waiting().messages
        except DatanommerError:
            return 0

    def start(self, error: Exception) -> None:
        """Become active, because a message could not be stored.

        Args:
            error: why not.
        """
        with self._lock:
            if not self._is_active:
                self._is_active = True
                if not isinstance(error, SignaturesUnknown):  # which the drainer reports
                    log.warning(
                        "The database does not take messages: %s. They wait in %s.",
                        explain(error, log),
                        self._spool.file,
                    )
        self._engine.dispose()
        self._has_work.set()

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
                self._put(received)
            except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
                self._log.critical(
                    "Messages wait in memory alone, %s of them here and more in the queue of the "
                    "hub: they cannot be stored now, and the spool does not take them: %s",
                    len(received),
                    explain(error, log),
                )
                return False
            return True

    def close(self) -> None:
        """End the drainer, once work was cut short, and close the spool."""
        self._has_work.set()
        # It may be in the middle of connecting. If it then stores messages and does not take them
        # out of the spool, they count as duplicates after the next start.
        self._drainer.join(_END_SECONDS)
        if waiting := self.waiting:
            log.warning("%s messages wait in %s for the next start.", waiting, self._spool.file)
        self._log.close()
        self._spool.close()

    def _put(self, received: Sequence[Received]) -> None:
        try:
            self._spool.put(received)
        except SpoolDamaged as error:
            self._replace_spool(error)
            self._spool.put(received)
        self.spooled += len(received)

    def _replace_spool(self, error: SpoolDamaged) -> None:
        aside = set_aside(self._spool.folder)
        log.critical(
            "%s It is kept as %s; datanommer-spool check says what can be read of it.", error, aside
        )
        self._spool.reopen()

    def _drain(self) -> None:
        backoff = Backoff()
        limit = self._batch_size
        # Before and after the wait: the drainer may clear again the event that ends its wait.
        while not self._stopping.is_set() and self._has_work.wait() and not self._stopping.is_set():
            try:
                with self._deadlines.within(_LOOK_SECONDS) as deadline:
                    migrations.require_head(self._engine, deadline)
                while self._store_oldest(limit):
                    backoff.reset()
                    limit = self._batch_size
            except Exception as error:  # noqa: BLE001  without this thread nothing would be stored
                self._engine.dispose()
                self._report_waiting(error)
                # The database may take fewer messages at a time.
                limit = max(1, limit // 2)
                self._stopping.wait(backoff.pause())

    def _store_oldest(self, limit: int) -> bool:
        """Store what has waited longest; False if nothing waits, or the hub ends."""
        if self._stopping.is_set():
            return False
        waiting = self._spool.first(limit)
        if not waiting:
            self._become_idle()
            return self._is_active
        items, refused = self._receiver.items([received for _, received in waiting])
        if items:
            with self._deadlines.within(_STORE_SECONDS) as deadline:
                counts = store(self._engine, Batch.of(items), deadline, self._reporter.log_reject)
            self._reporter.add(counts)
        self._spool.remove(waiting[-1][0])
        self._reporter.add_refused(refused)
        return True

    def _become_idle(self) -> None:
        with self._lock:
            # Nobody can put anything now: if the spool is empty, it stays so.
            if self._spool.waiting().messages == 0:
                self._is_active = False
                self._has_work.clear()
        if not self._is_active:
            self._spool.shrink()
            log.warning("Messages go into the database again; all that waited is stored.")

    def _report_waiting(self, error: Exception) -> None:
        is_critical = isinstance(error, SignaturesUnknown)
        report = self._log.critical if is_critical else self._log.warning
        report("%s messages wait in the spool: %s", self.waiting, explain(error, log))
