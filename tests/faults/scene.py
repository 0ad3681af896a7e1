"""A bus, a hub and a database, with what can break between them."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from bus import Bus, Daemon, eventually, happens
from datanommer.models.receiving.spool import Spool

from .proxy import Proxy
from .server import Server
from .stream import Stream
from .verdict import Verdict, count_stored, judge
from .witness import FILE_KEY, Witness

_TESTS = Path(__file__).parent.parent
#: Seconds after which all that was published is stored: a pause of the hub between two tries to
#: reach the database is about as long as the fault was.
_RECOVERY = 60


class Database:
    """A database at head on a server, and the network to it.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = server.create_database()
        self.proxy = Proxy(server.port)
        #: As the hub reaches it, and as the harness does whatever is wrong between.
        self.url = server.url(self.name, self.proxy.port)
        self.own_url = server.own_url(self.name)

    def count(self) -> int:
        """How many messages are stored or rejected."""
        return count_stored(self.own_url)

    def execute(self, statement: str) -> None:
        self.server.execute(statement, self.name)

    def close(self) -> None:
        self.proxy.close()
        self.server.drop_database(self.name)


class Scene:
    """A hub, and a publisher that it listens to.

    Args:
        database: where the hub stores.
        folder: for the hub's files.
        seed: of what is published.
        poison: the share of messages that belong among the rejected.
        config: what the configuration says besides.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        seed: int = 0,
        poison: float = 0.0,
        **config: object,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.database = database
        self.bus = Bus(folder)
        self.stream = Stream(self.bus.publisher, random.Random(seed), poison)
        self.spool = folder / "spool"
        self._witness = folder / "received"
        self.bus.config["datanommer.sqlalchemy.url"] = database.url
        # The disk that the tests run on is no matter here.
        self.bus.config["datanommer.spool_min_free_bytes"] = 0
        self.bus.config[FILE_KEY] = str(self._witness)
        self.bus.config.update(config)

    def start_hub(self) -> Daemon:
        """A hub that has subscribed, with a witness in it."""
        os.environ["PYTHONPATH"] = str(_TESTS)
        try:
            consumer = f"faults.{Witness.__module__.rpartition('.')[2]}:{Witness.__name__}"
            self.hub = self.bus.start("fedmsg-hub", "--with-consumers", consumer)
        finally:
            del os.environ["PYTHONPATH"]
        publisher = self.bus.publisher
        eventually(
            lambda: publisher.has_new_subscriber(0) or not self.hub.is_alive, "a subscription"
        )
        assert self.hub.is_alive, self.hub.log
        publisher.wait_for_subscriber()
        self.hub.wait_until_it_says("Running the MokshaHub reactor")
        return self.hub

    def stop_hub(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send the hub a signal; the seconds that it takes to end, with exit code 0."""
        began = time.monotonic()
        self.hub.send(number)
        exit_code = self.hub.exit_code()
        assert exit_code == 0, (exit_code, self.hub.log)
        return time.monotonic() - began

    def kill_hub(self) -> None:
        """Kill it with SIGKILL; what was published for nobody is dropped by the publisher."""
        self.hub.kill()
        self.forget_subscribers()

    def forget_subscribers(self) -> None:
        """Take note of those that have left; the next one is new."""
        publisher = self.bus.publisher
        while publisher.has_new_subscriber(0.2):
            publisher._socket.recv()

    def received(self) -> set[str]:
        """The ids of what fedmsg-hub handed to the consumer."""
        # A kill may have torn the last line; it is not whole then.
        return set(self._witness.read_text().rpartition("\n")[0].splitlines())

    def wait_until_received(self) -> None:
        """Wait until the hub has all that was published."""
        wanted = {each["body"]["msg_id"] for each in self.stream.published}
        eventually(lambda: wanted <= self.received(), "everything to be received")

    def wait_until_spooling(self, seconds: float = _RECOVERY) -> bool:
        """Wait until messages wait in the spool; whether they do in time."""
        return happens(lambda: self.count_spooled() > 0, seconds)

    def wait_until_stored(self) -> None:
        """Wait until the hub has stored all that was published, or for a long time."""
        wanted = len(self.stream.published)
        happens(lambda: self.database.count() >= wanted and not self.count_spooled(), _RECOVERY)

    def count_spooled(self) -> int:
        if not Spool.exists(self.spool):
            return 0
        spool = Spool(self.spool)
        try:
            return spool.waiting().messages
        finally:
            spool.close()

    def judge(self, only_received: bool = False) -> Verdict:
        """What became of what was published, or of what the hub received of it."""
        published = self.stream.published
        if only_received:
            received = self.received()
            published = [each for each in published if each["body"]["msg_id"] in received]
        return judge(published, self.database.own_url, [self.spool])

    def close(self) -> None:
        self.stream.stop()
        self.bus.close()
