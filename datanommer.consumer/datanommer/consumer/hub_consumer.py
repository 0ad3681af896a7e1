"""`Nommer`, the consumer that fedmsg-hub runs."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedmsg.consumers import FedmsgConsumer
from moksha.hub.api.consumer import Consumer
from moksha.hub.reactor import reactor
from twisted.internet.defer import Deferred, DeferredList

from datanommer.consumer import connection, roads, settings, shutdown
from datanommer.consumer.backlog import backlog
from datanommer.consumer.failure import exit_code
from datanommer.consumer.incoming import Incoming
from datanommer.consumer.keeping.movements import whereabouts
from datanommer.consumer.keeping.writer import Writer
from datanommer.consumer.metrics.configured import configured as configured_metrics
from datanommer.consumer.metrics.figures import Figures
from datanommer.consumer.service_manager import ServiceManager
from datanommer.consumer.state_file import StateFile
from datanommer.consumer.zeromq import ZeroMQ
from datanommer.models.configuration import ENABLED_KEY, METRICS_KEY, SIGNATURES_KEY
from datanommer.models.errors import DatanommerError
from datanommer.models.preparing import processors
from datanommer.models.receiving.received import Received
from datanommer.models.receiving.receiver import Receiver
from datanommer.models.spooling.folder import configured_spool
from datanommer.models.spooling.replay import Replay
from datanommer.models.storing.batch import split
from datanommer.models.storing.pipeline import switch_threads_often
from datanommer.models.watching.hub_state import file_to_write

# Below the logger of fedmsg, so that it goes wherever a configuration sends the log of the hub.
log = logging.getLogger("fedmsg.consumers.datanommer")

# When the hub ends, it does not wait for a worker that has not moved for so long. Work with the
# database is cut short then, so only a stuck worker takes as long.
_STUCK_SECONDS = 15.0


class Nommer(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Stores every message of the topics that it listens to.

    Without ``datanommer.enabled`` in the fedmsg configuration it does nothing.

    Args:
        hub: the hub of moksha, with the fedmsg configuration in its `config`.

    Raises:
        SystemExit: it cannot start, and has logged why. moksha would log any other exception and
            go on: a hub that looks alive and stores nothing.
    """

    config_key = ENABLED_KEY
    #: With True, moksha parses each message as it comes, and ten times as much waits in memory.
    jsonify = False
    topic: list[str]

    def __init__(self, hub: Any) -> None:
        service_manager = ServiceManager.taken_from(os.environ)
        if not hub.config.get(self.config_key):
            super().__init__(hub)
            # Other consumers of the hub may be in use.
            reactor.callWhenRunning(
                service_manager.tell_ready, f"{self.config_key} is not set.", lambda _: None
            )
            return
        try:
            self._prepare(hub)
            with backlog.withheld(hub.config):
                super().__init__(hub)  # subscribes, so it comes after all that may fail
            self._roads.append(ZeroMQ(hub, self.topic, self._consume))
            # Nobody uses moksha's own queue before the reactor runs.
            self.incoming = Incoming()
            shutdown.prepare(self)
            if self._missed:
                self._missed.start()
            self._state_file.start(self._counts)
            if self._metrics:
                self._metrics.serve(self._figures)
            reactor.callWhenRunning(self._tell, service_manager)
            # The objects that exist now stay until the end. The garbage collector need not look
            # through them again and again.
            gc.collect()
            gc.freeze()
        except DatanommerError as error:
            log.critical("datanommer cannot start, and ends the hub. %s", error)
            raise SystemExit(exit_code(error)) from None
        except Exception as error:
            log.critical("datanommer cannot start, and ends the hub.", exc_info=True)
            raise SystemExit(1) from error

    def _prepare(self, hub: Any) -> None:
        config = hub.config
        self.hub = hub
        self.topic = settings.topics(config)
        self._batch_size = settings.batch_size(config)
        self._listens_until: float | None = None
        self._is_stopping = False
        self._ended = threading.Semaphore(0)  # released once by each worker
        receiver = self._make_receiver(config)
        # Here, and not with the first message: several worker threads would race for it.
        processors.configure(config)
        self._roads = roads.of_stomp(self, config, self._batch_size)
        self._missed = backlog.configured(config, type(self).__name__, self.topic, self._keep)
        spool = configured_spool(config)
        self._state_file = StateFile(file_to_write(config), spool.folder)
        self._metrics = configured_metrics(config, METRICS_KEY, settings.roads(config), log)
        replay = Replay.configured(config)
        engine, error = connection.connect(config, log)
        # Before we start a thread: the kernel gives a signal to any thread that does not block it.
        shutdown.hold_signals()
        self._writer = Writer(
            engine,
            spool,
            receiver,
            self._batch_size,
            observer=self,
            replay=replay,
            on_commit=self._metrics.committed if self._metrics else None,
            is_ready=error is None,
        )
        switch_threads_often()

    def _tell(self, service_manager: ServiceManager) -> None:
        """Let systemd know that the hub listens, whether it moves, and that it ends."""
        reactor.addSystemEventTrigger(
            "before", "shutdown", service_manager.tell_stopping, "Keeps what it has received."
        )
        DeferredList([road.is_up for road in self._roads]).addCallback(
            lambda _: service_manager.tell_ready("Listens to the bus.", self._still)
        )

    def _still(self, seconds: float) -> str | None:
        return "; ".join(map(whereabouts, self._writer.movements.still(seconds))) or None

    def _make_receiver(self, config: Mapping[str, Any]) -> Receiver:
        receiver = Receiver(config)
        if outdated := receiver.outdated():
            log.critical(
                "Signatures cannot be validated: %s. Messages wait in the spool until the current "
                "one is there. You need not restart anything.",
                outdated,
            )
        if config.get(SIGNATURES_KEY) is None:
            # Otherwise fedmsg looks for the key, after it has subscribed, and fails.
            self.validate_signatures = False
            log.warning(
                "Signatures are not validated: the fedmsg configuration does not say whether "
                "they should be. Set %s there.",
                SIGNATURES_KEY,
            )
        return receiver

    def _consume(self, message: Any) -> None:
        """Take a message from the bus. It is parsed and validated later, by a worker.

        fedmsg validates it here and again before it is consumed; once is enough. fedmsg also moves
        the headers of the envelope into the body here, which then is no longer what was signed.
        datanommer leaves them where they are.

        Args:
            message: what `Received.of` takes.
        """
        if self._is_stopping:
            return
        Consumer._consume(self, Received.of(message))  # noqa: SLF001
        if self._listens_until is not None and time.monotonic() > self._listens_until:
            self.stop_listening()

    def _work_loop(self) -> None:
        """Take all that waits, up to the size of a batch, and store it in one go, again and again.

        On a quiet bus, batches have one message, which is in the database at once. On a busy bus,
        Python examines a batch while PostgreSQL stores the one before.
        """
        try:
            self._writer.write_all(self._batches())
        finally:
            self._ended.release()

    def _batches(self) -> Iterator[list[Received]]:
        is_last = False
        while not is_last:
            messages, is_last = self.incoming.take(self._batch_size)
            received = self._receive(messages)
            with self._writer.movements.holding(received):
                yield from roads.by_road(received)

    def _do_work(self, message: Any) -> None:
        """Store one message at once, in moksha's blocking mode."""
        self._writer.write(self._receive([message]))

    def _receive(self, messages: Sequence[Any]) -> list[Received]:
        self.headcount_out += len(messages)
        return [Received.of(message) for message in messages]

    def batch_begins(self, received: Sequence[Received], /) -> None:
        """Write the first message of a batch to the status file.

        After a crash, all messages from that one on are fetched again.
        """
        if self._missed:
            self._missed.note("pre", received[0])

    def batch_ends(
        self, received: Sequence[Received], seconds: float, *, in_database: bool
    ) -> None:
        """Tell moksha how long each message took, and note the last one in the status file."""
        if in_database and self._missed:
            self._missed.note("post", received[-1])
        self._times.extend([seconds / len(received)] * len(received))

    def _keep(self, messages: Sequence[Received]) -> None:
        self._writer.write(messages)

    def consume(self, message: Any) -> None:
        """Keep one message.

        Args:
            message: what `Received.of` takes.
        """
        self._do_work(message)

    def stop_listening(self) -> None:
        """Take nothing more from the bus. Only the thread of the reactor may call this."""
        for road in self._roads:
            road.stop_listening()

    def say_goodbye(self) -> Deferred[Any]:
        """Leave the bus once all is kept; fires when the brokers know of it."""
        return DeferredList([road.say_goodbye() for road in self._roads])

    def listen_until(self, moment: float) -> None:
        """Close the sockets at a moment of `time.monotonic`, however busy they are."""
        self._listens_until = moment

    def stop(self) -> None:
        """End each worker once it has kept all that came before."""
        if not self._is_stopping:
            self._is_stopping = True
            for _ in range(self._workers):
                self.incoming.end_worker()

    def cut_short_after(self, seconds: float) -> None:
        """Store messages in the database for so long, and then in the spool."""
        timer = threading.Timer(seconds, self._writer.cut_short)
        timer.daemon = True
        timer.start()

    def finish(self) -> bool:
        """Keep all that was received, and end; whether all workers have ended.

        The messages that a stuck worker holds are kept, too.
        """
        self.stop()
        if self._missed:
            self._missed.close()
        have_ended = [self._has_ended() for _ in range(self._workers)]
        # The reactor may have taken one from the bus meanwhile.
        messages = self._receive(list(self.incoming.left()))
        if not all(have_ended):
            self._writer.cut_short()  # lest this thread gets stuck on the same message
            messages = [*self._writer.movements.held(), *messages]
        for batch in split(messages, self._batch_size):
            for of_road in roads.by_road(batch):
                self._writer.write(of_road)
        self._writer.close()
        self._state_file.close()
        return all(have_ended)

    def _has_ended(self) -> bool:
        """Wait until a worker has ended; False if one is stuck."""
        while not self._ended.acquire(timeout=0.5):
            if self._writer.movements.a_holder_is_still(_STUCK_SECONDS):
                return False
        return True

    def _counts(self) -> dict[str, Any]:
        """What became of the messages so far, for the file that tells how the hub is."""
        counts = self._writer.status()
        return {
            **counts,
            "backlog": self.incoming.qsize(),
            "refused": counts["invalid"],
            "oldest": self._writer.oldest if counts["waiting"] else None,
        }

    def _figures(self) -> Figures:
        """The same, for Prometheus."""
        counts = self._counts()
        gauges = {
            "backlog_messages": counts["backlog"],
            "waiting_messages": counts["waiting"],
            "waiting_oldest_timestamp_seconds": counts["oldest"],
        }
        return Figures(self._writer.counts(), gauges)

    @property
    def _workers(self) -> int:
        return int(getattr(self, "N", 0))  # none in moksha's blocking mode

    def __json__(self) -> dict[str, Any]:
        """The status on the hub's monitoring socket, with what became of the messages so far."""
        status: dict[str, Any] = super().__json__()
        if self._initialized:
            status["datanommer"] = self._writer.status()
        return status
