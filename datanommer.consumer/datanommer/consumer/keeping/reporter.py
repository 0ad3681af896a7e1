"""What became of the messages of a hub: counts for its status, and lines for its log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from datanommer.consumer.quiet_log import QuietLog
from datanommer.models.envelopes.reject import Reject
from datanommer.models.receiving.receiver import Refused
from datanommer.models.spooling.loss import Loss
from datanommer.models.storing.batch import Counts


class Reporter:
    """Counts messages, and logs those that are rejected or refused; threads can share one.

    Args:
        log: where the lines go.

    Attributes:
        counts: of the messages that reached the database.
        refused: how many messages were refused.
        unreadable: how many could not be read any more where they waited.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = QuietLog(log)
        self._lock = threading.Lock()
        self.counts = Counts()
        self.refused = 0
        self.unreadable = 0

    def add(self, counts: Counts) -> None:
        """Count what became of a batch in the database."""
        with self._lock:
            self.counts = self.counts.plus(counts)

    def log_reject(self, reject: Reject) -> None:
        """Log a reject; the counts of its batch count it."""
        self._log.warning("Rejected %s", reject)

    def add_refused(self, refused: Sequence[Refused]) -> None:
        """Count and log refused messages."""
        with self._lock:
            self.refused += len(refused)
        for each in refused:
            self._log.warning("Refused: %s", each)

    def add_loss(self, loss: Loss) -> None:
        """Count and log messages that can no longer be read."""
        with self._lock:
            self.unreadable += loss.missing
        self._log.critical("%s", loss, kind=loss)  # each has to be told

    def close(self) -> None:
        """Log how many lines were left out."""
        self._log.close()
