"""Messages that take long to store: each is stored alone, and holds up no others."""

from __future__ import annotations

import logging
import threading

from datanommer.consumer.backoff import Backoff
from datanommer.consumer.failure import cause, explain
from datanommer.consumer.keeping.committer import Committer
from datanommer.consumer.keeping.deadlines import Deadlines
from datanommer.consumer.keeping.reporter import Reporter
from datanommer.consumer.quiet_log import QuietLog
from datanommer.models.errors import TookTooLong
from datanommer.models.spooling.spool import Spool

log = logging.getLogger("fedmsg.consumers.datanommer.slow_lane")

# For a message. If that is too short, it gets twice as long next time.
_FIRST_SECONDS = 60.0
_LONGEST_SECONDS = 3600.0
_END_SECONDS = 4.0  # for the end of the thread; connecting takes 3 at most


class SlowLane:
    """Stores messages that take long, one at a time, in a thread of its own.

    Args:
        spool: where they wait.
        committer: stores them.
        reporter: hears of those that can no longer be read.
        deadlines: of all work with the database. When that is cut short, the thread ends.
    """

    def __init__(
        self, spool: Spool, committer: Committer, reporter: Reporter, deadlines: Deadlines
    ) -> None:
        self._spool = spool
        self._committer = committer
        self._reporter = reporter
        self._deadlines = deadlines
        self._stopping = deadlines.stopping
        self._movements = deadlines.movements
        self._log = QuietLog(log, per_minute=1)
        self._has_work = threading.Event()
        if Spool.exists(spool.folder):  # left by an earlier hub
            self._has_work.set()
        self._seconds = _FIRST_SECONDS
        self._thread = threading.Thread(
            target=self._movements.live, args=[self._work], name="datanommer-slow", daemon=True
        )
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many messages wait in it.

        Raises:
            SpoolFull: that cannot be read.
        """
        return self._spool.waiting().messages

    def take_over(self, spool: Spool, error: TookTooLong) -> None:
        """Take over the message that has waited longest in another spool.

        Args:
            spool: the other one.
            error: what happened to the message there.

        Raises:
            SpoolFull: one of them cannot be used. The message is still in the other.
        """
        if (chunk := spool.first(1, 0)) is None:
            return
        if chunk.received:
            self._spool.put(chunk.received)
        if loss := spool.remove(chunk):
            self._reporter.add_loss(loss)
        for received in chunk.received:
            log.warning(
                "A message of topic %r and %s characters could not be stored: %s. It waits in %s, "
                "and will get more time. Other messages overtake it.",
                *(received.topic, received.size, error, self._spool.folder),
            )
        self._has_work.set()

    def close(self) -> None:
        """End the thread, once work was cut short."""
        self._has_work.set()
        self._thread.join(_END_SECONDS)
        self._log.close()

    def _work(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set() and self._has_work.wait() and not self._stopping.is_set():
            # First, or a message that is taken over meanwhile would have to wait.
            self._has_work.clear()
            with self._movements.working():
                pause = self._store_waiting(backoff)
            self._stopping.wait(pause)

    def _store_waiting(self, backoff: Backoff) -> float:
        """Store as much of what waits as possible; how long to pause then, in seconds."""
        try:
            while self._store_oldest(self._seconds):
                backoff.reset()
                self._seconds = _FIRST_SECONDS
        except Exception as error:  # noqa: BLE001  without this thread they would wait for ever
            self._has_work.set()
            if not self._deadlines.have_cut(error):
                self._report(error)
            if isinstance(error, TookTooLong):
                self._seconds = min(2 * self._seconds, _LONGEST_SECONDS)
            return backoff.pause()
        return 0.0

    def _store_oldest(self, seconds: float) -> bool:
        if self._stopping.is_set() or not self.waiting:
            return False
        self._committer.require_head()
        is_stored = self._committer.drain(self._spool, 1, seconds)
        if is_stored:
            log.warning("A slow message is now stored.")
        return is_stored

    def _report(self, error: Exception) -> None:
        self._log.warning(
            "Slow messages wait in %s: %s",
            self._spool.folder,
            explain(error, log),
            kind=cause(error),
        )
