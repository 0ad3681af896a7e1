"""The consumer that fedmsg-hub runs."""

from __future__ import annotations

import contextlib
import gc
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from fedmsg.consumers import FedmsgConsumer
from moksha.hub.api.consumer import Consumer

from datanommer.consumer import connection, settings, shutdown
from datanommer.consumer.writer import Examined, Writer
from datanommer.models import extraction, spool
from datanommer.models.errors import DatanommerError, NotStorable
from datanommer.models.pipeline import Pipeline
from datanommer.models.reception import SIGNATURES_KEY, Received, Receiver

# Below the logger of fedmsg: wherever a configuration sends the hub's log, this goes there too.
log = logging.getLogger("fedmsg.consumers.datanommer")

#: What ends a worker, behind all that came before it.
_END = object()


class Nommer(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Stores every message of the topics that it listens to.

    Without ``datanommer.enabled`` in the fedmsg configuration it does nothing.

    Args:
        hub: the hub of moksha, with the fedmsg configuration in its `config`.

    Raises:
        SystemExit: it cannot start, and has logged why. moksha would log any other exception and
            go on: a hub that looks alive and stores nothing.
    """

    config_key = "datanommer.enabled"
    #: moksha would read each message as soon as it comes, and so keep what is ten times as large.
    jsonify = False
    topic: str | list[str] = "*"

    def __init__(self, hub: Any) -> None:
        if not hub.config.get(self.config_key):
            super().__init__(hub)
            return
        try:
            self._prepare(hub.config)
            super().__init__(hub)  # subscribes: nothing is taken before all of the above is good
            # Nobody uses moksha's own queue before the reactor runs. This one takes a tenth of the
            # time, and a signal may look at it whatever it interrupts.
            self.incoming: queue.SimpleQueue[Any] = queue.SimpleQueue()
            shutdown.prepare(self)
            # What was made until now stays until the end. Python need not go through it again and
            # again, to collect garbage in a flood.
            gc.collect()
            gc.freeze()
        except DatanommerError as error:
            log.critical("datanommer cannot start, and ends the hub. %s", error)
            raise SystemExit(error.exit_code) from None
        except Exception as error:
            log.critical("datanommer cannot start, and ends the hub.", exc_info=True)
            raise SystemExit(1) from error

    def _prepare(self, config: Mapping[str, Any]) -> None:
        self.topic = settings.topics(config)
        self._batch_size = settings.batch_size(config)
        self._listens_until: float | None = None
        self._is_stopping = False
        self._ended = threading.Semaphore(0)  # a time for each worker that has
        receiver = self._make_receiver(config)
        # Here, and not with the first message: several worker threads would race for it.
        extraction.configure(config)
        engine, waiting = connection.bind(config, log), spool.configured(config)
        # Before there is a thread of ours: one that does not hold them would be given them.
        shutdown.hold_signals()
        self._writer = Writer(engine, waiting, receiver, self._batch_size)

    def _make_receiver(self, config: Mapping[str, Any]) -> Receiver:
        receiver = Receiver(config)
        if outdated := receiver.outdated():
            log.critical(
                "Signatures cannot be validated: %s. Messages wait in the spool until the current "
                "one is there; nothing need be restarted.",
                outdated,
            )
        if config.get(SIGNATURES_KEY) is None:
            # fedmsg would look it up in vain, after it has subscribed.
            self.validate_signatures = False
            log.warning(
                "Signatures are not validated: the fedmsg configuration does not say whether "
                "they should be. Set %s there.",
                SIGNATURES_KEY,
            )
        return receiver

    def _consume(self, message: Any) -> bool | None:
        """Take a message from the bus; it is read and validated when its turn has come.

        fedmsg validates it here, and moksha again before it is consumed: once is enough. And
        fedmsg puts the headers of the envelope into the body here, which is then not what was
        signed: they stay where they are.

        Args:
            message: what `Received.of` takes.

        Returns:
            False where it is not kept, and STOMP is to bring it again.
        """
        if self._is_stopping:
            return False
        handled: bool | None = Consumer._consume(self, message)  # noqa: SLF001
        if self._listens_until is not None and time.monotonic() > self._listens_until:
            shutdown.stop_listening(self.hub)
        return handled

    def _work_loop(self) -> None:
        """Take all that waits, up to the size of a batch, and store it in one go; then again.

        A quiet bus has batches of one, so that a message is in the database at once. On a busy one
        a batch is examined, which is Python's work, while PostgreSQL stores the one before.
        """
        try:
            with Pipeline(self._keep) as pipeline:
                is_last = False
                while not is_last:
                    batch = self._take()
                    start = time.time()
                    is_last = batch[-1] is _END
                    examined = self._examine(batch[:-1] if is_last else batch)
                    pipeline.begin(examined, time.time() - start)
        finally:
            self._ended.release()

    def _take(self) -> list[Any]:
        batch = [self.incoming.get()]
        with contextlib.suppress(queue.Empty):
            while batch[-1] is not _END and len(batch) < self._batch_size:
                batch.append(self.incoming.get_nowait())
        return batch

    def _do_work(self, message: Any) -> bool:
        """Store one message at once, in moksha's blocking mode.

        Returns:
            Whether it is kept; STOMP acknowledges it then.
        """
        start = time.time()
        examined = self._examine([message])
        self._keep(examined, time.time() - start)
        return bool(examined.received)

    def _examine(self, messages: list[Any]) -> Examined:
        self.headcount_out += len(messages)
        return self._writer.examine([Received.of(message) for message in messages])

    def _keep(self, batch: Examined, spent: float) -> None:
        """Keep a batch, with what moksha and fedmsg note down for each message.

        Args:
            spent: how long it took to examine it, in seconds.
        """
        if not batch.received:
            return
        start = time.time()
        # The status file holds one message. Until a batch is stored that is its first, from
        # which on fedmsg fetches again what a crash may have lost.
        self._note(self.pre_consume, batch.received[0])
        if self._writer.write(batch):
            self._note(self.post_consume, batch.received[-1])
        number = len(batch.received)
        self._times.extend([(spent + time.time() - start) / number] * number)

    def _note(self, note: Callable[[dict[str, Any]], None], received: Received) -> None:
        """Let fedmsg note in its status file, if there is one, how far the hub is."""
        if not self.status_filename:
            return
        try:
            note(received.envelope())
        except NotStorable:
            pass  # fedmsg could not read it again either
        except Exception as error:  # noqa: BLE001  moksha would log the whole message
            log.error("The status file cannot be written: %s", error)  # noqa: TRY400

    def consume(self, message: Any) -> None:
        """Keep one message.

        Args:
            message: what `Received.of` takes.
        """
        self._do_work(message)

    def listen_until(self, moment: float) -> None:
        """Close the sockets at a moment of `time.monotonic`, however busy they are."""
        self._listens_until = moment

    def stop(self) -> None:
        """End each worker once it has worked off what came before."""
        if not self._is_stopping:
            self._is_stopping = True
            for _ in range(self._workers):
                self.incoming.put(_END)

    def hurry_after(self, seconds: float) -> None:
        """Let messages go into the database for so long, and from then on into the spool."""
        timer = threading.Timer(seconds, self._writer.hurry)
        timer.daemon = True
        timer.start()

    def finish(self) -> None:
        """Keep all that was received, and end."""
        self.stop()
        for _ in range(self._workers):
            self._ended.acquire()
        # What a thread of fedmsg fetched from datagrepper may have come after the end.
        late = [self.incoming.get_nowait() for _ in range(self.incoming.qsize())]
        self._keep(self._examine([each for each in late if each is not _END]), 0)
        self._writer.close()

    @property
    def _workers(self) -> int:
        return int(getattr(self, "N", 0))  # none in moksha's blocking mode

    def __json__(self) -> dict[str, Any]:
        """What the hub's monitoring socket tells, with what became of the messages."""
        told: dict[str, Any] = super().__json__()
        if self._initialized:
            told["datanommer"] = {
                **self._writer.counts._asdict(),
                "invalid": self._writer.refused,
                "spooled": self._writer.spooled,
                "waiting": self._writer.waiting,
                "lost": self._writer.lost,
            }
        return told
