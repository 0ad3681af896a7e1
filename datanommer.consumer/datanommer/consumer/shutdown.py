"""The end of the hub, with all that it received kept.

moksha lets SIGTERM kill the hub, and with it what waits in memory; and on current Python, SIGINT
and SIGHUP do not end a hub on an idle bus, and on a busy one it goes on hearing what it then loses.
Here all three end it in order: it hears no more of the bus, works off what it has, into the
database while that takes it, and then the process ends.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from moksha.hub.reactor import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning

if TYPE_CHECKING:
    from datanommer.consumer.nommer import Nommer

log = logging.getLogger("fedmsg.consumers.datanommer.shutdown")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Seconds in which what has come to the sockets is still heard.
LISTEN_SECONDS = 1.0
#: Seconds that what waits in memory may take to go into the database; the rest goes into the
#: spool, which takes it many times faster. systemd waits 90 seconds, people less than 10.
DATABASE_SECONDS = 3.0
#: A backlog of more messages goes into the spool at once: the database would take longer.
DATABASE_BACKLOG = 10_000


def hold_signals() -> None:
    """Let signals wait until `prepare` has something that answers them.

    From the subscription on, the hub receives: one that came then would lose it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def prepare(consumer: Nommer) -> None:
    """Let signals end the hub in order, from when it runs."""
    # moksha sets its own handlers when all consumers are made, just before the reactor runs.
    reactor.callWhenRunning(_handle_signals, consumer)
    reactor.addSystemEventTrigger("before", "shutdown", _finish, consumer)


def _handle_signals(consumer: Nommer) -> None:
    def handle(number: int, _: object) -> None:
        # Here, because the reactor first reads, and in blocking mode stores, all that has come;
        # on a bus that sends faster than it reads, it would do nothing else any more.
        _hurry(consumer)
        consumer.listen_until(time.monotonic() + LISTEN_SECONDS)
        # In the reactor, and not in the handler: it may be asleep, and this wakes it up.
        reactor.callFromThread(_stop, consumer, number)

    for number in SIGNALS:
        signal.signal(number, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _hurry(consumer: Nommer) -> None:
    backlog = consumer.incoming.qsize()
    consumer.hurry_after(0 if backlog > DATABASE_BACKLOG else DATABASE_SECONDS)


def stop_listening(hub: Any) -> None:
    """Close the sockets that the hub listens to: neither moksha nor the reactor does.

    From the thread of the reactor only.
    """
    for extension in hub.extensions:
        factory = getattr(extension, "twisted_zmq_factory", None)  # STOMP has none
        for connection in list(factory.connections) if factory else ():
            connection.shutdown()


def _stop(consumer: Nommer, number: int) -> None:
    log.info("%s: the hub ends, and keeps what it has received.", signal.Signals(number).name)
    stop_listening(consumer.hub)
    _hurry(consumer)  # it may have received much meanwhile
    consumer.hub.stop()
    try:
        reactor.stop()
    except ReactorNotRunning:
        log.info("It is ending already.")


def _finish(consumer: Nommer) -> Deferred[None]:
    """Fire when all that the consumer received is kept."""
    stop_listening(consumer.hub)
    done: Deferred[None] = Deferred()

    def finish() -> None:
        try:
            _hurry(consumer)  # where it was no signal that ends the hub
            consumer.finish()
        finally:
            reactor.callFromThread(done.callback, None)

    threading.Thread(target=finish, name="datanommer-finish", daemon=True).start()
    return done
