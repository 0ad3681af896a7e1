"""The callback that ``fedora-messaging consume`` runs.

It replaces fedora-messaging's consumer with its own (`batch_consumer`). That one hands over all
waiting messages in a thread, and acknowledges them when they are committed. Until then the broker
keeps them, and sends them again if the connection ends. While the database is away, the thread
waits, and the messages wait in their queue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from fedora_messaging.exceptions import Nack
from fedora_messaging.message import Message
from twisted.internet import reactor

from datanommer.consumer import connection
from datanommer.consumer.amqp import batch_consumer
from datanommer.consumer.amqp.batch_consumer import BatchCallback
from datanommer.consumer.backoff import Backoff
from datanommer.consumer.failure import cause, exit_code, explain
from datanommer.consumer.keeping.reporter import Reporter
from datanommer.consumer.metrics.configured import configured
from datanommer.consumer.metrics.figures import Figures
from datanommer.consumer.quiet_log import QuietLog
from datanommer.models import configuration
from datanommer.models.configuration import AMQP_METRICS_KEY
from datanommer.models.database import migrations
from datanommer.models.database.deadline import Deadline
from datanommer.models.errors import DatanommerError, TookTooLong
from datanommer.models.preparing import processors
from datanommer.models.preparing.delivery import Delivery, prepare
from datanommer.models.storing.batch import Batch, store

log = logging.getLogger(__name__)

_ROAD = "amqp"  # in the metrics

# For one try. Only the end of the consumer waits for it. If that is too short, the next try gets
# twice as long.
_STORE_SECONDS = 30.0
_LONGEST_SECONDS = 300.0


class Callback(BatchCallback):
    """Stores the messages that it is called with.

    The database is named as for all of datanommer (see `datanommer.models.database.location`).

    Raises:
        SystemExit: it cannot start, and has logged why.
    """

    def __init__(self) -> None:
        self._states_log = QuietLog(log, per_minute=1)
        self._stopping = threading.Event()
        try:
            config = configuration.load()
            batch_consumer.install()
            metrics = configured(config, AMQP_METRICS_KEY, [_ROAD], log)
            self._engine, error = connection.connect(config, log)
        except DatanommerError as error:
            log.critical("datanommer cannot start. %s", error)
            raise SystemExit(exit_code(error)) from None
        self._reporter = Reporter(log, metrics.committed if metrics else None)
        if metrics:
            metrics.serve(lambda: Figures(self._reporter.counts(), {}))
        # Somebody may change the schema while the database is away, or is upgraded.
        self._must_look = error is not None
        processors.configure(config)
        # fedora-messaging ends only once the call in progress has returned.
        core: Any = reactor  # Twisted's interfaces have no types that mypy can read
        core.addSystemEventTrigger("before", "shutdown", self._stopping.set)

    def __call__(self, message: Message) -> None:
        """Store one message, as ``fedora-messaging reconsume`` asks for it.

        Raises:
            Nack: the process ends.
        """
        # No public attribute has all of what was sent.
        properties, body = message._properties, message._encoded_body  # noqa: SLF001
        delivery = batch_consumer.delivery(message.topic, properties, body)
        self.store([delivery], lambda: True)

    def store(self, deliveries: Sequence[Delivery], is_wanted: Callable[[], bool]) -> None:
        """Store messages in one transaction, however long it takes.

        When the connection to the broker is lost, a call may still wait when the next one begins.
        So several threads may be in here, even with the same messages.

        Args:
            deliveries: the messages, at most `datanommer.models.storing.batch.MAX_BATCH`.
            is_wanted: whether the broker still counts on this call, and does not send them again.

        Raises:
            Nack: the consumer ends, or they are no longer wanted.
        """
        moments = [time.time()] * len(deliveries)
        self._reporter.add("received", _ROAD, len(deliveries))
        batch = Batch.of(map(prepare, deliveries))
        backoff, seconds = Backoff(), _STORE_SECONDS
        while error := self._try_to_store(batch, moments, seconds):
            if isinstance(error, TookTooLong):
                seconds = min(2 * seconds, _LONGEST_SECONDS)
            if self._stopping.wait(backoff.pause()) or not is_wanted():
                raise Nack

    def _try_to_store(
        self, batch: Batch, moments: Sequence[float], seconds: float
    ) -> Exception | None:
        """Store a batch within some seconds; returns the error if that failed."""
        deadline = Deadline(seconds)
        had_to_look = self._must_look
        try:
            if had_to_look:
                migrations.require_head(self._engine, deadline, for_writing=True)
            counts = store(self._engine, batch, deadline, self._reporter.log_reject)
        except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
            self._states_log.warning(
                "The database does not take messages: %s. They wait in their queue.",
                explain(error, log),
                kind=cause(error),
            )
            self._engine.dispose()
            self._must_look = True
            return error
        self._reporter.add_stored(_ROAD, counts, moments)
        if had_to_look:
            self._must_look = False
            self._states_log.warning("The database takes messages again.")
        return None
