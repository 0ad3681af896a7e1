"""The end of the hub, which loses nothing that it received.

With moksha alone, SIGTERM kills the hub, and the messages in its memory are lost. On current
Python, SIGINT and SIGHUP do not end a hub on an idle bus; on a busy bus, it goes on receiving
messages that it then loses. Here all three end the hub in order: it stops listening, keeps what it
has received (in the database as far as time allows), and then the process ends.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any, Protocol

from moksha.hub.reactor import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning

log = logging.getLogger("fedmsg.consumers.datanommer.shutdown")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: For how many seconds the hub still reads the messages that have reached its sockets.
LISTEN_SECONDS = 1.0
#: For how many seconds messages in memory may still go into the database. The rest goes into the
#: spool, which is many times faster. systemd waits 90 seconds, people less than 10.
DATABASE_SECONDS = 3.0
#: If more messages are in memory, they go into the spool at once: the database would take longer.
DATABASE_BACKLOG = 10_000


class EndingConsumer(Protocol):
    """A consumer that can end in order."""

    hub: Any
    incoming: Any

    def stop_listening(self) -> None:
        """Take nothing more from the bus. Only the thread of the reactor may call this."""

    def say_goodbye(self) -> Deferred[Any]:
        """Leave the bus once all is kept; fires when the brokers know of it."""

    def listen_until(self, moment: float) -> None:
        """Close the sockets at a moment of `time.monotonic`, however busy they are."""

    def cut_short_after(self, seconds: float) -> None:
        """Store messages in the database for so long, and then in the spool."""

    def finish(self) -> bool:
        """Keep all that was received, and end; whether all workers have ended."""


def hold_signals() -> None:
    """Block signals until the handlers of `prepare` are set.

    The hub receives messages once it has subscribed. Without the handlers, a signal loses them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def prepare(consumer: EndingConsumer) -> None:
    """Let signals end the hub in order, as soon as it runs."""
    # moksha sets its own handlers once all consumers are made, just before the reactor runs.
    reactor.callWhenRunning(_handle_signals, consumer)
    reactor.addSystemEventTrigger("before", "shutdown", _finish, consumer)


def _handle_signals(consumer: EndingConsumer) -> None:
    def handle(signum: int, _: object) -> None:
        # Set the limits here: the reactor first reads all that has come, and in blocking mode
        # stores it. If the bus sends faster than the hub reads, it never gets to `_stop`.
        _limit_storing(consumer)
        consumer.listen_until(time.monotonic() + LISTEN_SECONDS)
        # In the reactor, and not in the handler: it may be asleep, and this wakes it up.
        reactor.callFromThread(_stop_for, consumer, signum)

    for each in SIGNALS:
        signal.signal(each, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _limit_storing(consumer: EndingConsumer) -> None:
    backlog = consumer.incoming.qsize()
    consumer.cut_short_after(0 if backlog > DATABASE_BACKLOG else DATABASE_SECONDS)


def end(consumer: EndingConsumer, exit_code: int) -> None:
    """End the hub in order, as a signal does, and then the process with this exit code.

    Only the thread of the reactor may call this.
    """
    # The reactor ignores a SystemExit that a callback raises, and moksha would exit with 0.
    reactor.addSystemEventTrigger("after", "shutdown", _exit, exit_code)
    _limit_storing(consumer)
    _stop(consumer)


def _exit(code: int) -> None:
    logging.shutdown()
    os._exit(code)


def _stop_for(consumer: EndingConsumer, signum: int) -> None:
    log.info("%s: the hub ends, and keeps what it has received.", signal.Signals(signum).name)
    _stop(consumer)


def _stop(consumer: EndingConsumer) -> None:
    consumer.stop_listening()
    _limit_storing(consumer)  # it may have received many messages meanwhile
    consumer.hub.stop()
    try:
        reactor.stop()
    except ReactorNotRunning:
        log.info("It is ending already.")


def _finish(consumer: EndingConsumer) -> Deferred[None]:
    """Begin to keep all messages and leave the bus; the Deferred fires when both are done."""
    consumer.stop_listening()
    done: Deferred[Any] = Deferred()
    done.addCallback(_say_goodbye, consumer)

    def finish() -> None:
        have_ended = True
        try:
            _limit_storing(consumer)  # no signal has done so if something else ends the hub
            have_ended = consumer.finish()
        finally:
            reactor.callFromThread(done.callback, have_ended)

    threading.Thread(target=finish, name="datanommer-finish", daemon=True).start()
    return done


def _say_goodbye(have_ended: bool, consumer: EndingConsumer) -> Deferred[Any]:
    gone = consumer.say_goodbye()
    if not have_ended:
        log.critical("A thread is stuck. Its messages are kept, and the hub ends without it.")
        # The reactor would wait for the thread for ever.
        gone.addCallback(lambda _: _exit(1))
    return gone
