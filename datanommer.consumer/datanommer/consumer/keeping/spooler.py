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
from datanommer.consumer.failure import cause, explain
from datanommer.consumer.keeping.committer import Committer
from datanommer.consumer.keeping.deadlines import Deadlines
from datanommer.consumer.keeping.reporter import Reporter
from datanommer.consumer.keeping.slow_lane import SlowLane
from datanommer.consumer.quiet_log import QuietLog
from datanommer.models.errors import (
    BehindHead,
    DatanommerError,
    OnStandby,
    SignaturesUnknown,
    SpoolFull,
    TookTooLong,
)
from datanommer.models.receiving.received import Received
from datanommer.models.spooling.spool import Spool

log = logging.getLogger("fedmsg.consumers.datanommer.spooler")

_UNREADY_SECONDS = 2.0  # between two looks whether the database is upgraded, or promoted
# For a batch from the spool. A single message that takes longer goes into the slow lane.
_STORE_SECONDS = 10.0
_END_SECONDS = 4.0  # for the end of the drainer; connecting takes 3 at most


class Spooler:
    """Keeps messages in the spool, and stores them as soon as the database takes them.

    It is active from the first failure of the database until all that waits is stored. Meanwhile
    every message has to go into the spool, so that the order is kept.

    Args:
        engine: of the database.
        spool: where messages wait. If some do from the start, it is active from the start.
        committer: stores them.
        batch_size: how many messages are taken out of the spool at a time.
        reporter: hears of those that go in, and of those that can no longer be read.
        deadlines: of all work with the database. When that is cut short, the drainer ends.
        is_ready: whether the database takes messages, as far as anybody knows. If not, it is active
            from the start.
    """

    def __init__(
        self,
        engine: sa.Engine,
        spool: Spool,
        committer: Committer,
        batch_size: int,
        reporter: Reporter,
        deadlines: Deadlines,
        *,
        is_ready: bool = True,
    ) -> None:
        self._engine = engine
        self._spool = spool
        self._committer = committer
        self._batch_size = self._limit = batch_size
        self._reporter = reporter
        self._deadlines = deadlines
        self._stopping = deadlines.stopping
        self._movements = deadlines.movements
        self._log = QuietLog(log, per_minute=1)
        self._lock = threading.Lock()  # held to change `_is_active`, and to put messages
        self._slow_lane = SlowLane(spool.slow, committer, reporter, deadlines)
        self._waiting = 0
        has_messages = self._has_messages()
        self._is_active = has_messages or not is_ready
        self._has_work = threading.Event()
        # Whether the log has yet to say that the database takes messages again.
        self._is_outage = self._is_active
        # Since it became active: whether it has stored any, and how many were unreadable before.
        self._has_stored = False
        self._unreadable = reporter.unreadable
        # How many of the next messages are stored one at a time, because one of them takes long.
        self._alone = 0
        self._drainer = threading.Thread(
            target=self._movements.live, args=[self._drain], name="datanommer-drain", daemon=True
        )
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
        """How many messages wait in the spool, or waited when it could last be read."""
        with contextlib.suppress(DatanommerError):
            self._waiting = self._spool.waiting().messages + self._slow_lane.waiting
        return self._waiting

    @property
    def oldest(self) -> float | None:
        """When what has waited longest was put in, in epoch seconds; None if nobody can tell."""
        moments: list[float | None] = []
        for spool in (self._spool, self._spool.slow):
            with contextlib.suppress(DatanommerError):
                moments.append(spool.oldest() if Spool.exists(spool.folder) else None)
        return min((moment for moment in moments if moment is not None), default=None)

    def _has_messages(self) -> bool:
        """Whether messages wait at the start; logs if the spool cannot be used."""
        try:
            self._spool.require_room()
        except SpoolFull as error:
            log.critical(
                "%s While the database does not take messages, they wait in memory only.", error
            )
        return self.waiting > 0

    def start(self, error: Exception, number: int) -> None:
        """Become active, because messages could not be stored.

        Args:
            error: why not.
            number: how many messages.
        """
        with self._lock:
            if not self._is_active:
                self._is_active = self._is_outage = True
                self._alone = number if isinstance(error, TookTooLong) else 0
                # The drainer reports that signatures are unknown.
                if not (isinstance(error, SignaturesUnknown) or self._deadlines.have_cut(error)):
                    self._log.warning(
                        "The database does not take messages: %s. They wait in %s.",
                        explain(error, log),
                        self._spool.folder,
                        kind=cause(error),
                    )
        self._engine.dispose()
        self._has_work.set()

    def end_outage(self) -> None:
        """Log that messages go into the database again, if they did not before."""
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
                    "Messages wait in memory only, %s of them here and more in the queue of the "
                    "hub: they cannot be stored now, and the spool does not take them: %s",
                    len(received),
                    explain(error, log),
                    kind=cause(error),
                )
                return False
            self._reporter.add("spooled", received[0].road, len(received))
            return True

    def close(self) -> None:
        """End the drainer, once work was cut short."""
        self._has_work.set()
        # It may be in the middle of connecting. If it then stores messages and does not take them
        # out of the spool, they count as duplicates after the next start.
        self._drainer.join(_END_SECONDS)
        self._slow_lane.close()
        if waiting := self.waiting:
            log.warning("%s messages wait in %s for the next start.", waiting, self._spool.folder)
        self._log.close()

    def _drain(self) -> None:
        backoff = Backoff()
        # Check before the wait, too: the drainer may have cleared the event that `close` set.
        while not self._stopping.is_set() and self._has_work.wait() and not self._stopping.is_set():
            with self._movements.working():
                pause = self._store_waiting(backoff)
            self._stopping.wait(pause)

    def _store_waiting(self, backoff: Backoff) -> float:
        """Store as much of what waits as possible; how long to pause then, in seconds."""
        try:
            while self._store_oldest(self._limit):
                backoff.reset()
                self._limit = self._batch_size
        except Exception as error:  # noqa: BLE001  without this thread nothing would be stored
            self._engine.dispose()
            if not self._deadlines.have_cut(error):
                self._report_waiting(error)
            # The database may take fewer messages at a time.
            self._limit = max(1, self._limit // 2)
            is_unready = isinstance(error, BehindHead | OnStandby)
            return _UNREADY_SECONDS if is_unready else backoff.pause()
        return 0.0

    def _store_oldest(self, limit: int) -> bool:
        """Store what has waited longest; False if nothing waits, or the hub ends."""
        if self._stopping.is_set():
            return False
        # Before each batch: somebody may change the schema. Until it is at head, no table
        # is touched.
        self._committer.require_head()
        limit = 1 if self._alone else limit
        try:
            if not self._committer.drain(self._spool, limit, _STORE_SECONDS):
                self._become_idle()
                return self._is_active
            self._has_stored = True
        except TookTooLong as error:
            if limit > 1:
                self._alone = limit
                return True
            self._slow_lane.take_over(self._spool, error)
        self._alone = max(0, self._alone - 1)
        return True

    def _become_idle(self) -> None:
        with self._lock:
            # Nobody can put anything now: if the spool is empty, it stays so.
            if self._spool.waiting().messages > 0:
                return
            self._is_active = False
            self._has_work.clear()
            # If the spool took nothing either, nothing was stored: the database may still be away.
            if not self._has_stored:
                return
            stored = self._what_is_stored()
            self._is_outage = self._has_stored = False
            self._unreadable = self._reporter.unreadable
        # Into the quiet log, which a database that keeps coming and going does not fill.
        self._log.warning("Messages go into the database again; %s.", stored)

    def _what_is_stored(self) -> str:
        is_whole = self._unreadable == self._reporter.unreadable
        stored = "all that waited is" if is_whole else "what could be read of the spool is"
        slow = self._slow_lane.waiting
        return f"{stored} stored, but for {slow} that take long" if slow else f"{stored} stored"

    def _report_waiting(self, error: Exception) -> None:
        is_critical = isinstance(error, SignaturesUnknown)
        report = self._log.critical if is_critical else self._log.warning
        report(
            "%s messages wait in the spool: %s",
            self.waiting,
            explain(error, log),
            kind=cause(error),
        )
