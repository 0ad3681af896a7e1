"""What became of the messages of a consumer: counts for its status, and lines for its log."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from datanommer.consumer.quiet_log import QuietLog
from datanommer.models.envelopes.reject import Reject
from datanommer.models.receiving.received import SPOOL
from datanommer.models.receiving.receiver import Refused
from datanommer.models.spooling.loss import Loss
from datanommer.models.storing.batch import Counts

#: Called with a road, and with the moments when the messages of a batch were received.
OnCommit = Callable[[str, Iterable[float]], None]


class Reporter:
    """Counts messages by road, and logs those that are rejected or refused; threads can share one.

    The fate of a message is received, refused, spooled, lost, or a field of `Counts`.

    Args:
        log: where the lines go.
        on_commit: hears of each batch that is in the database.
    """

    def __init__(self, log: logging.Logger, on_commit: OnCommit | None = None) -> None:
        self._log = QuietLog(log)
        self._on_commit = on_commit
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def counts(self) -> dict[tuple[str, str], int]:
        """How many messages had each fate, by the fate and the road."""
        with self._lock:
            return dict(self._counts)

    def total(self, fate: str) -> int:
        """How many messages had a fate, over all roads."""
        return sum(number for (each, _), number in self.counts().items() if each == fate)

    @property
    def unreadable(self) -> int:
        """How many messages in the spool could no longer be read."""
        return self._counts["lost", SPOOL]

    def add(self, fate: str, road: str, number: int) -> None:
        """Count messages of a road that had a fate."""
        with self._lock:
            self._counts[fate, road] += number

    def add_stored(self, road: str, counts: Counts, moments: Iterable[float]) -> None:
        """Count what became of a batch in the database.

        Args:
            road: how its messages came.
            counts: what became of them.
            moments: when each of them was received, in epoch seconds.
        """
        for fate, number in counts._asdict().items():
            self.add(fate, road, number)
        if self._on_commit:
            self._on_commit(road, moments)

    def log_reject(self, reject: Reject) -> None:
        """Log a reject; the counts of its batch count it."""
        self._log.warning("Rejected %s", reject)

    def add_refused(self, road: str, refused: Sequence[Refused]) -> None:
        """Count and log refused messages of a road."""
        self.add("refused", road, len(refused))
        for each in refused:
            self._log.warning("Refused: %s", each)

    def add_loss(self, loss: Loss) -> None:
        """Count and log messages that can no longer be read."""
        self.add("lost", SPOOL, loss.missing)
        self._log.critical("%s", loss, kind=loss)  # each has to be logged

    def close(self) -> None:
        """Log how many lines were left out."""
        self._log.close()
