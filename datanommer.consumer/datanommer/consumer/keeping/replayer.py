"""When another server takes over the database, what was stored lately is stored again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import sqlalchemy as sa

from datanommer.consumer.failure import cause, explain, is_of_database
from datanommer.consumer.keeping.deadlines import Deadlines
from datanommer.consumer.quiet_log import QuietLog
from datanommer.models.database import migrations, timeline
from datanommer.models.receiving.received import Received
from datanommer.models.receiving.receiver import Receiver
from datanommer.models.spooling.replay import Replay
from datanommer.models.storing.batch import Batch, split, store

log = logging.getLogger("fedmsg.consumers.datanommer.replayer")

# Between two looks at the timeline. Copies expire only when a look has found the same one.
_PAUSE = 5.0
_LOOK_SECONDS = 5.0
_STORE_SECONDS = 60.0  # for a batch, which nothing waits for
_END_SECONDS = 4.0  # for the end of the thread; connecting takes 3 at most


class Replayer:
    """Keeps copies of what is stored, and looks in a thread whether another server has taken over.

    Args:
        engine: of the database.
        replay: what keeps the copies; without one, nothing is done.
        receiver: makes rows and rejects of messages.
        batch_size: how many messages are stored again at a time.
        deadlines: of all work with the database. When that is cut short, the thread ends.

    Attributes:
        replayed: how many messages another server did not have.
    """

    def __init__(
        self,
        engine: sa.Engine,
        replay: Replay | None,
        receiver: Receiver,
        batch_size: int,
        deadlines: Deadlines,
    ) -> None:
        self._engine = engine
        self._replay = replay
        self._receiver = receiver
        self._batch_size = batch_size
        self._deadlines = deadlines
        self._stopping = deadlines.stopping
        self._movements = deadlines.movements
        self._log = QuietLog(log, per_minute=1)
        self.replayed = 0
        self._thread = threading.Thread(
            target=self._movements.live, args=[self._watch], name="datanommer-replay", daemon=True
        )
        if replay:
            self._thread.start()

    def keep(self, received: Sequence[Received]) -> None:
        """Keep copies of messages that were stored; nothing is raised."""
        if not self._replay:
            return
        try:
            self._replay.keep(received)
        except OSError as error:
            self._log.critical(
                "Copies cannot be kept for a replay: %s. If a standby takes over now, it may lack "
                "the last messages.",
                error.strerror,
            )

    def close(self) -> None:
        """End the thread, once work was cut short."""
        if self._replay:
            self._thread.join(_END_SECONDS)
        self._log.close()

    def _watch(self) -> None:
        assert self._replay
        while not self._stopping.is_set():
            with self._movements.working():
                self._try_to_look(self._replay)
            self._stopping.wait(_PAUSE)

    def _try_to_look(self, replay: Replay) -> None:
        try:
            self._look(replay)
        except Exception as error:  # noqa: BLE001  the next look may find it mended
            if not is_of_database(error):  # which others report
                self._log.warning(
                    "Cannot tell whether another server has taken over: %s",
                    explain(error, log),
                    kind=cause(error),
                )

    def _look(self, replay: Replay) -> None:
        with self._deadlines.within(_LOOK_SECONDS) as deadline:
            current = timeline.current(self._engine, deadline)
        if current != (noted := replay.timeline()):
            # Connections that still lead to the old server would keep messages from the new one.
            self._engine.dispose()
            if noted:
                self._store_again(replay, noted, current)
            replay.note(current)
        replay.expire()

    def _store_again(self, replay: Replay, noted: str, current: str) -> None:
        log.warning(
            "Another server has taken over the database, or it was restored from a backup (it is "
            "%s now, and was %s). Recently stored messages are stored again.",
            current,
            noted,
        )
        with self._deadlines.within(_LOOK_SECONDS) as deadline:
            migrations.require_head(self._engine, deadline)
        count = missing = 0
        for batch in split(replay.messages(), self._batch_size):
            items, _ = self._receiver.items(self._movements.each(batch))
            with self._deadlines.within(_STORE_SECONDS) as deadline:
                counts = store(self._engine, Batch.of(items, is_replay=True), deadline)
            count += len(items)
            missing += counts.stored
        self.replayed += missing
        log.warning("%s of the %s messages stored last were missing there.", missing, count)
