"""The consumer that fedmsg-hub runs."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

from fedmsg.consumers import FedmsgConsumer
from moksha.hub.api.consumer import Consumer

from datanommer.consumer import connection, settings, shutdown
from datanommer.consumer.lines import Lines, name
from datanommer.consumer.writer import Writer
from datanommer.models import extraction, spool
from datanommer.models.errors import DatanommerError
from datanommer.models.signatures import Validator

_SIGNATURES_KEY = "validate_signatures"
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
    topic: str | list[str] = "*"

    def __init__(self, hub: Any) -> None:
        if not hub.config.get(self.config_key):
            super().__init__(hub)
            return
        try:
            self._prepare(hub.config)
            super().__init__(hub)  # subscribes: nothing is taken before all of the above is good
            shutdown.prepare(self)
        except DatanommerError as error:
            log.critical("datanommer cannot start, and ends the hub. %s", error)
            raise SystemExit(error.exit_code) from None
        except Exception as error:
            log.critical("datanommer cannot start, and ends the hub.", exc_info=True)
            raise SystemExit(1) from error

    def _prepare(self, config: Mapping[str, Any]) -> None:
        self.topic = settings.topics(config)
        self._batch_size = settings.batch_size(config)
        self._invalid = 0
        self._lines = Lines(log)
        self._states = Lines(log, a_minute=1)
        self._listens_until = float("inf")
        self._is_stopping = False
        self._ended = threading.Semaphore(0)  # a time for each worker that has
        self._validator = self._make_validator(config)
        # Here, and not with the first message: several worker threads would race for it.
        extraction.configure(config)
        engine, waiting = connection.bind(config, log), spool.configured(config)
        # Before there is a thread of ours: one that does not hold them would be given them.
        shutdown.hold_signals()
        self._writer = Writer(engine, waiting, self._batch_size)

    def _make_validator(self, config: Mapping[str, Any]) -> Validator | None:
        if config.get(_SIGNATURES_KEY):
            return Validator(config)
        if config.get(_SIGNATURES_KEY) is None:
            # fedmsg would look it up in vain, after it has subscribed.
            self.validate_signatures = False
            log.warning(
                "Signatures are not validated: the fedmsg configuration does not say whether "
                "they should be. Set %s there.",
                _SIGNATURES_KEY,
            )
        return None

    def _consume(self, message: dict[str, Any]) -> bool | None:
        """Take a message from the bus.

        fedmsg validates it here, and moksha again before it is consumed: once is enough. And
        fedmsg puts the headers of the envelope into the body here, which is then not what was
        signed: they stay where they are.

        Returns:
            False where it is not kept, and STOMP is to bring it again.
        """
        if self._is_stopping:
            return False
        handled: bool | None = Consumer._consume(self, message)  # noqa: SLF001
        if time.monotonic() > self._listens_until:
            shutdown.stop_listening(self.hub)
        return handled

    def _work_loop(self) -> None:
        """Take all that waits, up to the size of a batch, and store it in one go; then again.

        A quiet bus has batches of one, so that a message is in the database at once.
        """
        try:
            while (batch := self._take())[-1] is not _END:
                self._work(batch)
            self._work(batch[:-1])
        finally:
            self._ended.release()

    def _take(self) -> list[Any]:
        batch = [self.incoming.get()]
        with contextlib.suppress(queue.Empty):
            while batch[-1] is not _END and len(batch) < self._batch_size:
                batch.append(self.incoming.get_nowait())
        return batch

    def _do_work(self, message: dict[str, Any]) -> bool:
        """Store one message at once, in moksha's blocking mode.

        Returns:
            Whether it is kept; STOMP acknowledges it then.
        """
        return self._work([message])

    def _work(self, messages: list[dict[str, Any]]) -> bool:
        """What moksha does for a message, for a batch of them; whether all are valid and kept."""
        start = time.time()
        self.headcount_out += len(messages)
        valid = [message for message in messages if self._is_valid(message)]
        if valid:
            # The status file holds one message. Until a batch is stored that is its first, from
            # which on fedmsg fetches again what a crash may have lost.
            self.pre_consume(valid[0])
            if self._keep(valid):
                self.post_consume(valid[-1])
        if messages:
            self._times.extend([(time.time() - start) / len(messages)] * len(messages))
        return len(valid) == len(messages)

    def _is_valid(self, message: dict[str, Any]) -> bool:
        try:
            self.validate(message)
        except RuntimeWarning as warning:
            self._lines.warning("Refused: %s", warning)
            return False
        return True

    def validate(self, message: dict[str, Any]) -> None:
        """Refuse a message that is not signed as the configuration asks.

        Raises:
            RuntimeWarning: it is refused; says why, and which it is.
        """
        _massage(message)
        if self._validator is None:
            return
        body = message["body"]
        if message["topic"] != body["topic"]:
            reason: str | None = "the topics of envelope and body differ"
        else:
            try:
                reason = self._validator.validate(body)
            except OSError as error:
                reason = f"gpg cannot be run: {error.strerror}"
        if reason is not None:
            self._invalid += 1
            if outdated := self._validator.outdated():
                self._states.critical(
                    "Every signed message is refused, and lost for this archive: %s. "
                    "Put the current one there; nothing need be restarted.",
                    outdated,
                )
            raise RuntimeWarning(f"{reason} ({name(body.get('msg_id'), message['topic'])})")

    def consume(self, message: dict[str, Any]) -> None:
        """Keep one message.

        Args:
            message: the envelope, ``{"topic": str, "body": {...}}``. Where the sender's body was
                no JSON object with a topic, it is in `msg` of a body.
        """
        self._keep([message])

    def _keep(self, messages: list[dict[str, Any]]) -> bool:
        return self._writer.write(messages)

    def pre_consume(self, message: dict[str, Any]) -> None:
        """Note in the status file, if there is one, that this message comes next."""
        _attempt(super().pre_consume, message)

    def post_consume(self, message: dict[str, Any]) -> None:
        """Note in the status file, if there is one, that this message is stored."""
        _attempt(super().post_consume, message)

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
        self._work([message for message in late if message is not _END])
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
                "invalid": self._invalid,
                "spooled": self._writer.spooled,
                "waiting": self._writer.waiting,
                "lost": self._writer.lost,
            }
        return told


def _massage(message: dict[str, Any]) -> None:
    """Make a body of what is none, such as the bare content that STOMP brings (as fedmsg does)."""
    body = message.get("body")
    if not isinstance(body, dict) or "topic" not in body:
        message["body"] = {"topic": message.get("topic"), "msg": body}


def _attempt(note: Any, message: dict[str, Any]) -> None:
    try:
        note(message)
    except Exception as error:  # noqa: BLE001  moksha would log the whole message
        log.error("The status file cannot be written: %s", error)  # noqa: TRY400
