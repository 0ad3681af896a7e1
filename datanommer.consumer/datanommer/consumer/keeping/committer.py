"""Batches into the database: straight from the bus, or out of a spool."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from datanommer.consumer.keeping.deadlines import Deadlines
from datanommer.consumer.keeping.replayer import Replayer
from datanommer.consumer.keeping.reporter import Reporter
from datanommer.models.database import migrations
from datanommer.models.database.deadline import Deadline
from datanommer.models.receiving.received import SPOOL, Received
from datanommer.models.receiving.receiver import Receiver
from datanommer.models.spooling.spool import Spool
from datanommer.models.storing.batch import BATCH_BYTES, Batch, store

_LOOK_SECONDS = 5.0  # for the look whether the database is back


class Committer:
    """Stores messages, counts what becomes of them, and keeps copies; threads can share one.

    Args:
        engine: of the database.
        receiver: makes rows and rejects of messages.
        deadlines: of all work with the database.
        reporter: hears what becomes of the messages.
        replayer: keeps copies of those that are stored.
    """

    def __init__(
        self,
        engine: sa.Engine,
        receiver: Receiver,
        deadlines: Deadlines,
        reporter: Reporter,
        replayer: Replayer,
    ) -> None:
        self._engine = engine
        self._receiver = receiver
        self._deadlines = deadlines
        self._reporter = reporter
        self._replayer = replayer

    def commit(self, received: Sequence[Received], batch: Batch, deadline: Deadline) -> None:
        """Store a batch in one transaction.

        Args:
            received: its messages, at least one, all of one road.
            batch: the same, ready for the database.
            deadline: of the whole.

        Raises:
            TookTooLong: it is over.
            sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; nothing was stored.
        """
        counts = store(self._engine, batch, deadline, self._reporter.log_reject)
        self._replayer.keep(received)
        moments = (each.received_at for each in received)
        self._reporter.add_stored(received[0].road, counts, moments)

    def require_head(self) -> None:
        """Make sure that the database can take messages out of a spool.

        Raises:
            DatabaseUnavailable, OnStandby, NotAtHead, sqlalchemy.exc.DBAPIError: it cannot.
        """
        with self._deadlines.within(_LOOK_SECONDS) as deadline:
            migrations.require_head(self._engine, deadline, for_writing=True)

    def drain(self, spool: Spool, limit: int, seconds: float) -> bool:
        """Store what has waited longest in a spool, and take it out.

        Args:
            spool: where it waits.
            limit: how many messages at most.
            seconds: that they may take.

        Returns:
            Whether anything waited.

        Raises:
            TookTooLong, sqlalchemy.exc.DBAPIError, psycopg2.Error: as `commit`.
            SignaturesUnknown, SpoolFull: it cannot be examined, or the spool cannot be used.
        """
        chunk = spool.first(limit, BATCH_BYTES)
        if chunk is None:
            return False
        items, refused = self._receiver.items(self._deadlines.movements.each(chunk.received))
        if items:
            good = [each for each in chunk.received if self._receiver.lets_in(each)]
            with self._deadlines.within(seconds) as deadline:
                self.commit(good, Batch.of(items), deadline)
        loss = spool.remove(chunk)
        self._reporter.add_refused(SPOOL, refused)
        if loss:
            self._reporter.add_loss(loss)
        return True
