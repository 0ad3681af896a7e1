"""The callback that ``fedora-messaging consume`` runs.

fedora-messaging calls it for one message after another, in a thread, and acknowledges a message
when the call returns: that is, once the message is committed. Until then it belongs to the broker,
which sends it again if the connection ends. While the database is away, the call waits, and so do
the messages in their queue. (Source: fedora_messaging.twisted.consumer, fedora-messaging 3.9.)
"""

from __future__ import annotations

import json
import logging
import threading
from datetime import datetime
from typing import Any

from fedora_messaging.exceptions import Nack
from fedora_messaging.message import Message
from twisted.internet import reactor

from datanommer.consumer import connection
from datanommer.consumer.backoff import Backoff
from datanommer.consumer.failure import explain
from datanommer.consumer.quiet_log import QuietLog
from datanommer.models import configuration
from datanommer.models.database import migrations
from datanommer.models.database.deadline import Deadline
from datanommer.models.envelopes import fedora_messaging, users_and_packages
from datanommer.models.envelopes.reject import Reject
from datanommer.models.errors import DatanommerError
from datanommer.models.storing.batch import Batch, store

log = logging.getLogger(__name__)

# For one try. Only the end of the consumer waits for it.
_STORE_SECONDS = 30.0


class Callback:
    """Stores each message that it is called with.

    The database is named as for all of datanommer (see `datanommer.models.database.location`).

    Raises:
        SystemExit: it cannot start, and has logged why.
    """

    def __init__(self) -> None:
        self._messages_log = QuietLog(log)
        self._states_log = QuietLog(log, per_minute=1)
        self._stopping = threading.Event()
        try:
            config = configuration.load()
            self._engine = connection.connect(config, log)
        except DatanommerError as error:
            log.critical("datanommer cannot start. %s", error)
            raise SystemExit(error.exit_code) from None
        users_and_packages.configure(config)
        # fedora-messaging ends only once the call in progress has returned.
        core: Any = reactor  # Twisted's interfaces have no types that mypy can read
        core.addSystemEventTrigger("before", "shutdown", self._stopping.set)

    def __call__(self, message: Message) -> None:
        """Store a message, however long it takes.

        When the connection to the broker is lost, a call may still wait when the next one begins.
        So several threads may be in here, even with the same message.

        Raises:
            Nack: the consumer ends, and the message goes back into its queue.
        """
        batch = Batch.of([fedora_messaging.prepare(_recorded(message))])
        backoff = Backoff()
        has_failed = False
        while not self._try_to_store(batch, has_failed):
            has_failed = True
            if self._stopping.wait(backoff.pause()):
                raise Nack

    def _try_to_store(self, batch: Batch, has_failed: bool) -> bool:
        """Store a batch, and return whether that has worked.

        Args:
            batch: the batch.
            has_failed: whether the try before has failed.
        """
        deadline = Deadline(_STORE_SECONDS)
        try:
            if has_failed:
                # Somebody may have changed the schema meanwhile.
                migrations.require_head(self._engine, deadline)
            store(self._engine, batch, deadline, self._log_reject)
        except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
            self._states_log.warning(
                "The database does not take messages: %s. They wait in their queue.",
                explain(error, log),
            )
            self._engine.dispose()
            return False
        if has_failed:
            self._states_log.warning("The database takes messages again.")
        return True

    def _log_reject(self, reject: Reject) -> None:
        self._messages_log.warning("Rejected %s", reject)


def _recorded(message: Message) -> dict[str, Any]:
    """The message as the JSON object that ``fedora-messaging record`` would write."""
    # No public attribute has the headers.
    headers = message._headers  # noqa: SLF001
    return {
        "topic": message.topic,
        "body": message.body,
        "id": message.id,
        # AMQP has types that JSON has not. RabbitMQ itself adds times when it moves a message.
        "headers": json.loads(json.dumps(headers, default=_as_text)),
    }


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)
