"""The callback that ``fedora-messaging consume`` runs.

fedora-messaging calls it for one message after another, in a thread, and acknowledges a message
when the call returns: that is, when the message is committed. Until then it belongs to the broker,
which sends it again when the connection ends. While the database is away the call waits, and so the
messages wait in their queue. (Source: fedora_messaging.twisted.consumer, fedora-messaging 3.9.)
"""

from __future__ import annotations

import json
import logging
import random
import threading
from datetime import datetime
from typing import Any

import psycopg2
import sqlalchemy as sa
from fedora_messaging.exceptions import Nack
from fedora_messaging.message import Message
from twisted.internet import reactor

from datanommer.consumer import connection
from datanommer.consumer.lines import Lines
from datanommer.models import configuration, extraction, fedora_messaging, migrations, store
from datanommer.models.database import reason
from datanommer.models.deadline import Deadline
from datanommer.models.errors import DatanommerError

log = logging.getLogger(__name__)

#: In seconds, of one try. Nothing but the end of the consumer waits for it.
_STORE_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds between two tries, with jitter
_EXPECTED = (psycopg2.Error, sa.exc.DBAPIError, DatanommerError)


class Callback:
    """Stores each message that it is called with.

    The database is named as for all of datanommer (see `datanommer.models.database`).

    Raises:
        SystemExit: it cannot start, and has logged why.
    """

    def __init__(self) -> None:
        self._lines = Lines(log)
        self._states = Lines(log, a_minute=1)
        self._stopping = threading.Event()
        try:
            config = configuration.load()
            self._engine = connection.bind(config, log)
        except DatanommerError as error:
            log.critical("datanommer cannot start. %s", error)
            raise SystemExit(error.exit_code) from None
        extraction.configure(config)
        # fedora-messaging ends when the call that it is in has returned.
        core: Any = reactor  # Twisted's interfaces have no types that mypy can read
        core.addSystemEventTrigger("before", "shutdown", self._stopping.set)

    def __call__(self, message: Message) -> None:
        """Store a message, however long it takes.

        After a loss of the connection to the broker, the call of before may still wait while the
        next one begins: several threads may be in here, even with one message.

        Raises:
            Nack: the consumer ends, and the message goes back into its queue.
        """
        item = fedora_messaging.prepare(_line(message))
        pause = _FIRST_PAUSE
        is_away = False
        while not self._is_stored(item, is_away):
            is_away = True
            if self._stopping.wait(pause * random.uniform(0.5, 1.5)):  # noqa: S311
                raise Nack
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _is_stored(self, item: store.Item, was_away: bool) -> bool:
        deadline = Deadline(_STORE_SECONDS)
        try:
            if was_away:
                # Somebody may have changed the schema meanwhile.
                migrations.require_head(self._engine, deadline)
            store.store([item], deadline, self._log_reject)
        except Exception as error:  # a fault of ours must lose nothing either
            if not isinstance(error, _EXPECTED):
                log.exception("This is a fault of datanommer; please report it.")
            self._states.warning(
                "The database does not take messages: %s. They wait in their queue.", reason(error)
            )
            self._engine.dispose()
            return False
        if was_away:
            self._states.warning("The database takes messages again.")
        return True

    def _log_reject(self, reject: store.Reject) -> None:
        self._lines.warning("Rejected %s", reject)


def _line(message: Message) -> dict[str, Any]:
    """The message as the JSON object that ``fedora-messaging record`` would write."""
    # No public attribute has the headers.
    headers = message._headers  # noqa: SLF001
    return {
        "topic": message.topic,
        "body": message.body,
        "id": message.id,
        # AMQP has types that JSON has not: RabbitMQ itself notes times, where it moves messages.
        "headers": json.loads(json.dumps(headers, default=_text)),
    }


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)
