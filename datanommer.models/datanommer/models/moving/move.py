"""A move: the messages of a source are stored here, once or for as long as both are in use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError

from datanommer.models.database.engine import reason
from datanommer.models.errors import DatabaseUnavailable, NotSettled
from datanommer.models.moving.source import Source
from datanommer.models.storing.batch import Batch, Counts, split, store
from datanommer.models.storing.pipeline import Pipeline

_BATCH_SIZE = 2000
_BETWEEN_LOOKS = 0.5  # seconds
_AWAY = (
    DatabaseUnavailable,
    InterfaceError,
    NotSettled,
    OperationalError,
    psycopg2.InterfaceError,
    psycopg2.OperationalError,
)


class Move:
    """Messages on their way from a source.

    Attributes:
        counts: what became of those that were read.
        position: the id in the source up to which all are stored here.
        last: the id up to which they are read now.

    Args:
        source: where the messages are.
        engine: of the database that they go to.
        after: the id in the source of the last message to leave out.
        is_ending: tells whether to begin no more batches.
    """

    def __init__(
        self,
        source: Source,
        engine: sa.Engine,
        after: int = 0,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source = source
        self._engine = engine
        self._is_ending = is_ending
        self.counts = Counts()
        self.position = self.last = after

    def run(self) -> None:
        """Store all messages that are in the source now.

        Raises:
            NotSettled, OnStandby: as `datanommer.models.finding.arrival.settled`.
            sqlalchemy.exc.DBAPIError, psycopg2.Error: one of the databases failed. What was stored
                until then stays.
        """
        self.last = self._source.last_id()
        with Pipeline(self._store) as pipeline:
            for found in split(self._source.read(self.position, self.last), _BATCH_SIZE):
                if found:
                    batch = Batch.of((each.item for each in found), written_ahead=True)
                    pipeline.begin(batch, found[-1].row_id)
                if self._is_ending():
                    return
        # The last messages may have been deleted from the source.
        self.position = max(self.position, self.last)

    def follow(self, say: Callable[[str], object]) -> NoReturn:
        """Store all messages, then those that arrive; a database that is away is tried again.

        Args:
            say: called with a sentence when all are here for the first time, when a database is
                away, and when it is back.

        Raises:
            OnStandby: the source is a standby.
            sqlalchemy.exc.DBAPIError, psycopg2.Error: one of the databases refused something.
        """
        is_away = is_following = False
        while True:
            started = time.monotonic()
            try:
                self.run()
            except _AWAY as error:
                if not is_away:
                    say(f"Waiting for a database: {reason(error)}")
                is_away = True
            else:
                if is_away:
                    say("The database is back.")
                is_away = False
                if not is_following:
                    say(f"All messages are here, up to id {self.position}. Following.")
                is_following = True
            # Each look reads much in a source that has no index for its names.
            time.sleep(max(_BETWEEN_LOOKS, time.monotonic() - started))

    def _store(self, batch: Batch, until: int) -> None:
        self.counts = self.counts.plus(store(self._engine, batch))
        self.position = until
