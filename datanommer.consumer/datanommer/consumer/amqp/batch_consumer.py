"""The consumer that `Callback` puts in the place of fedora-messaging's own.

fedora-messaging reads a message before it asks a callback about it. What it cannot read ends its
consumer, unacknowledged: the broker sends it again, and it ends the next one. Nor does it hand over
more than one message at a time. So this consumer takes what waits as it came, has it stored in one
transaction, and acknowledges it.

This is how it holds on to what has no public interface, in fedora-messaging 3.9 (the distribution
asks for less than 4) and in pika:

- fedora_messaging.twisted.protocol makes consumers of what it has imported as ``Consumer``;
- ``Consumer._read`` calls ``_read_one`` with the queue of pika again and again. It ends with what
  that raises: ``Consumer._read_loop_errback`` begins anew where the connection goes on;
- pika decodes properties with the class that ``pika.spec.props`` has for them.

`install` makes sure that all of it is there.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from importlib.metadata import version
from typing import Any

from fedora_messaging.exceptions import Nack
from fedora_messaging.twisted import protocol
from fedora_messaging.twisted.consumer import Consumer
from pika import spec
from pika.adapters.twisted_connection import ClosableDeferredQueue, ReceivedMessage
from twisted.internet import defer, reactor, task, threads

from datanommer.models.errors import DatanommerError
from datanommer.models.preparing.delivery import Delivery
from datanommer.models.storing.batch import BATCH_BYTES, MAX_BATCH

log = logging.getLogger(__name__)

# How often the end of the consumer is looked for while nothing comes, as in fedora-messaging.
_LOOK_SECONDS = 1


class BatchCallback(ABC):
    """A callback of fedora-messaging that stores several messages at a time."""

    @abstractmethod
    def __call__(self, message: Any) -> None:
        """Store one message."""

    @abstractmethod
    def store(self, deliveries: Sequence[Delivery], is_wanted: Callable[[], bool]) -> None:
        """Store messages, however long it takes. Called in a thread.

        Args:
            deliveries: the messages.
            is_wanted: whether they still belong to this connection. If not, the broker sends them
                again.

        Raises:
            Nack: they are not stored.
        """


class Properties(spec.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Properties that end no connection: pika raises on some that a broker lets pass.

    Attributes:
        fault: why they could not be read, if so.
        encoded: the bytes that they are, if so.
    """

    fault: str | None = None

    def decode(self, encoded: bytes, offset: int = 0) -> Properties:
        try:
            super().decode(encoded, offset)
        except Exception as error:  # noqa: BLE001  whatever it is, the broker sends it again
            self.fault = repr(error)
            self.encoded = encoded[offset:]
        return self


class BatchConsumer(Consumer):
    """Hands over all messages that wait at a time, and acknowledges them once they are stored.

    With another callback than a `BatchCallback` it is the consumer of fedora-messaging.
    """

    @defer.inlineCallbacks
    def _read_one(self, queue_object: ClosableDeferredQueue) -> Generator[Any, Any, None]:
        if not isinstance(self.callback, BatchCallback):
            yield super()._read_one(queue_object)
            return
        messages = yield _take(queue_object)
        if messages:
            yield self._store(self.callback, messages)

    @defer.inlineCallbacks
    def _store(
        self, callback: BatchCallback, messages: Sequence[ReceivedMessage]
    ) -> Generator[Any, Any, None]:
        """Have messages stored, and tell the broker what became of them.

        They are all that the channel has delivered up to the last of them and that is not settled:
        so one answer about the last is about all of them.
        """
        channel, last = messages[-1].channel, messages[-1].method.delivery_tag
        self.stats.received += len(messages)
        log.debug("Took %s messages", len(messages))
        try:
            deliveries = [
                delivery(method.routing_key, properties, body)
                for _, method, properties, body in messages
            ]
            yield threads.deferToThread(callback.store, deliveries, lambda: channel.is_open)
        except Nack:
            self.stats.rejected += len(messages)
            if _has_connection(channel):
                channel.basic_nack(last, multiple=True, requeue=True)
        except Exception:
            log.exception("This is a bug in datanommer; please report it. The consumer ends.")
            self.stats.failed += len(messages)
            channel.basic_nack(last, multiple=True, requeue=True)
            raise
        else:
            # Without a connection the next one has its own loop already, or will have.
            if _has_connection(channel):
                channel.basic_ack(last, multiple=True)
                self.stats.processed += len(messages)
                log.debug("Acknowledged %s messages", len(messages))


@defer.inlineCallbacks
def _take(queue_object: ClosableDeferredQueue) -> Generator[Any, Any, list[ReceivedMessage]]:
    """All messages that wait, up to a batch; after a second, none."""
    try:
        first = yield queue_object.get().addTimeout(_LOOK_SECONDS, reactor)
    except (defer.TimeoutError, defer.CancelledError):
        return []
    # What came with the first in one piece enters the queue before the reactor's next turn.
    yield task.deferLater(reactor, 0)
    taken = [first]
    size = len(first.body)
    while queue_object.pending and len(taken) < MAX_BATCH and size < BATCH_BYTES:
        taken.append(queue_object.pending.pop(0))
        size += len(taken[-1].body)
    return taken


def delivery(topic: str | bytes, properties: spec.BasicProperties, body: bytes) -> Delivery:
    """A message with the properties that it has, of all those that pika knows."""
    told = {name: value for name, value in vars(properties).items() if value is not None}
    return Delivery(topic, told, body, fault=told.pop("fault", None))


def _has_connection(channel: Any) -> bool:
    """Whether the connection goes on, even if it closed the channel (``consumer_timeout``)."""
    return bool(channel.is_open or channel.connection.is_open)


def install() -> None:
    """Let fedora-messaging make a `BatchConsumer` of each consumer, for all of this process.

    Raises:
        DatanommerError: this fedora-messaging or pika has no place for it.
    """
    if getattr(protocol, "Consumer", None) is BatchConsumer:
        return
    has_place = (
        getattr(protocol, "Consumer", None) is Consumer
        and hasattr(Consumer, "_read_one")
        and hasattr(ClosableDeferredQueue(), "pending")
        and spec.props.get(spec.BasicProperties.INDEX) is spec.BasicProperties
    )
    if not has_place:
        raise DatanommerError(
            f"It cannot consume with fedora-messaging {version('fedora-messaging')} and pika "
            f"{version('pika')}, whose internals it does not know. Install the versions that "
            "datanommer.consumer[amqp] asks for."
        )
    protocol.Consumer = BatchConsumer  # type: ignore[attr-defined]
    spec.props[spec.BasicProperties.INDEX] = Properties
