"""The end of the hub, with all that it received kept.

moksha lets SIGTERM kill the hub, and with it what waits in memory; and on current Python, SIGINT
and SIGHUP do not end a hub on an idle bus. Here all three end it in order: it hears no more of the
bus, works off what it has, into the database while that takes it, and then the process ends.
"""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

from moksha.hub.reactor import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning

if TYPE_CHECKING:
    from datanommer.consumer.nommer import Nommer

log = logging.getLogger("fedmsg.consumers.datanommer.shutdown")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Seconds that what waits in memory may take to go into the database; the rest goes into the
#: spool, which takes it many times faster. systemd waits 90 seconds, people less than 10.
DATABASE_SECONDS = 4.0


def prepare(consumer: Nommer) -> None:
    """Let signals end the hub in order, from when it runs."""
    # moksha sets its own handlers when all consumers are made, just before the reactor runs.
    reactor.callWhenRunning(_handle_signals, consumer)
    reactor.addSystemEventTrigger("before", "shutdown", _finish, consumer)


def _handle_signals(consumer: Nommer) -> None:
    def handle(number: int, _: object) -> None:
        # Here, because the reactor may first read, and in blocking mode store, all that has come.
        consumer.hurry_after(DATABASE_SECONDS)
        # In the reactor, and not in the handler: it may be asleep, and this wakes it up.
        reactor.callFromThread(_stop, consumer.hub, number)

    for number in SIGNALS:
        signal.signal(number, handle)


def _stop(hub: Any, number: int) -> None:
    log.info("%s: the hub ends, and keeps what it has received.", signal.Signals(number).name)
    hub.stop()
    try:
        reactor.stop()
    except ReactorNotRunning:
        log.info("It is ending already.")


def _finish(consumer: Nommer) -> Deferred[None]:
    """Fire when all that the consumer received is kept."""
    done: Deferred[None] = Deferred()

    def finish() -> None:
        consumer.hurry_after(DATABASE_SECONDS)  # where it was no signal that ends the hub
        consumer.finish()
        reactor.callFromThread(done.callback, None)

    threading.Thread(target=finish, name="datanommer-finish", daemon=True).start()
    return done
