"""The consumer that `Callback` puts in the place of fedora-messaging's own.

fedora-messaging parses a message before it calls the callback. It drops what is not valid. On any
other error its consumer ends, the broker sends the message again, and that ends the next consumer.
Besides, the callback gets one message at a time. So this consumer takes all waiting messages
unparsed, has them stored in one transaction, and acknowledges them.

For that it relies on internals of fedora-messaging 3.9 (the distribution asks for less than 4) and
of pika:

- fedora_messaging.twisted.protocol makes its consumers from the class that it imported as
  ``Consumer``;
- ``Consumer._read`` calls ``_read_one`` with pika's queue in a loop. What that raises ends the
  loop. ``Consumer._read_loop_errback`` begins a new one if only the channel was closed;
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

# How often to check whether the consumer is to end while nothing comes, as in fedora-messaging.
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
    """Properties that cannot end the connection: pika raises on some that a broker lets pass.

    Attributes:
        fault: why they could not be read, if so.
        encoded: their bytes, if so.
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
    """Hands over all waiting messages at once, and acknowledges them when they are stored.

    With any callback but a `BatchCallback`, it behaves like fedora-messaging's own consumer.
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

        Nothing that the channel delivered before them is still unsettled. So one answer with the
        last delivery tag settles all of them.
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
            # If the connection is lost, nothing is left to do: the next one has a loop of its own.
            if _has_connection(channel):
                channel.basic_ack(last, multiple=True)
                self.stats.processed += len(messages)
                log.debug("Acknowledged %s messages", len(messages))


@defer.inlineCallbacks
def _take(queue_object: ClosableDeferredQueue) -> Generator[Any, Any, list[ReceivedMessage]]:
    """All waiting messages, up to a batch; none if nothing comes within a second."""
    try:
        first = yield queue_object.get().addTimeout(_LOOK_SECONDS, reactor)
    except (defer.TimeoutError, defer.CancelledError):
        return []
    # What arrived together with the first is in the queue by the reactor's next turn.
    yield task.deferLater(reactor, 0)
    taken = [first]
    size = len(first.body)
    while queue_object.pending and len(taken) < MAX_BATCH and size < BATCH_BYTES:
        taken.append(queue_object.pending.pop(0))
        size += len(taken[-1].body)
    return taken


def delivery(topic: str | bytes, properties: spec.BasicProperties, body: bytes) -> Delivery:
    """A message with those of pika's properties that it has."""
    told = {name: value for name, value in vars(properties).items() if value is not None}
    return Delivery(topic, told, body, fault=told.pop("fault", None))


def _has_connection(channel: Any) -> bool:
    """Whether the connection goes on, even if it closed the channel (``consumer_timeout``)."""
    return bool(channel.is_open or channel.connection.is_open)


def install() -> None:
    """Make fedora-messaging create a `BatchConsumer` for each consumer, in this whole process.

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
