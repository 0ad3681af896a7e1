"""A bus, a hub and a database, with what can break between them."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bus import Bus, Daemon, eventually, happens
from datanommer.models.spooling.spool import Spool

from .disk import Disk
from .proxy import Proxy
from .roads import Road, ZeroMQ
from .server import Server
from .stream import Stream
from .verdict import Verdict, count_stored, judge
from .witness import FILE_KEY

#: Seconds after which all that was published is stored: a pause of the hub between two tries to
#: reach the database is about as long as the fault was.
_RECOVERY = 60
#: What a hub says of messages that are lost.
_LOSSES = (
    r"(\d+) of its messages cannot be read",
    r"Messages that waited in the spool are lost \((\d+)\)",
    r"Lost (\d+) messages at the end",
)
#: The size in MiB of a disk that only the spool is on.
_DISK_SIZE = 64


class Database:
    """A database on a server, and the network to it.

    Args:
        server: the server.
        is_empty: whether it has no tables yet; otherwise it is at head.
    """

    def __init__(self, server: Server, *, is_empty: bool = False) -> None:
        self.server = server
        self.name = server.create_database(is_empty=is_empty)
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
    """A hub (or what else datanommer runs in), and a publisher that it listens to.

    Args:
        database: where the hub stores.
        folder: for the hub's files.
        seed: of what is published.
        poison: the share of messages that belong among the rejected.
        road: how they come.
        config: what the configuration says besides.
        has_own_disk: whether the spool is on a small disk of its own.

    Attributes:
        disk: the disk of the spool, if it is on one of its own.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        seed: int = 0,
        poison: float = 0.0,
        road: Callable[[Bus], Road] = ZeroMQ,
        config: Mapping[str, Any] | None = None,
        has_own_disk: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.disk = Disk(folder / "disk", _DISK_SIZE) if has_own_disk else None
        self._hubs: list[Daemon] = []
        self.database = database
        self.bus = Bus(folder)
        self.road = road(self.bus)
        self.stream = Stream(self.road, random.Random(seed), poison)
        self.spool = (self.disk.folder if self.disk else folder) / "spool"
        self._witness = folder / "received"
        self.bus.config["datanommer.sqlalchemy.url"] = database.url
        # The disk that the tests run on is no matter here.
        self.bus.config["datanommer.spool_min_free_bytes"] = 0
        self.bus.config["datanommer.spool_dir"] = str(self.spool)
        self.bus.config[FILE_KEY] = str(self._witness)
        self.bus.config.update(config or {})

    def start_hub(self) -> Daemon:
        """A hub that listens, or will when it can."""
        self.hub = self.road.start_consumer()
        self._hubs.append(self.hub)
        return self.hub

    def stop_hub(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send the hub a signal; the seconds that it takes to end in order, if it still runs."""
        began = time.monotonic()
        self.hub.send(number)
        exit_code = self.hub.exit_code()
        assert exit_code in {0, self.road.unreached}, (exit_code, self.hub.log)
        return time.monotonic() - began

    def revive_hub(self) -> None:
        """Start the hub again if it did not reach the broker, as systemd does on a failure."""
        if not self.hub.is_alive and self.hub.exit_code() == self.road.unreached:
            self.start_hub()

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
        """Wait until all is stored that the hub does not tell to be lost, or for a long time."""
        wanted = len(self.stream.published)

        def have_come() -> bool:
            self.revive_hub()
            return self.database.count() + self.told() >= wanted and not self.count_spooled()

        happens(have_come, _RECOVERY)

    def count_spooled(self) -> int:
        spool = Spool(self.spool)
        return sum(
            each.waiting().messages for each in (spool, spool.slow) if Spool.exists(each.folder)
        )

    def told(self) -> int:
        """How many messages are lost, by what the hubs have told."""
        return sum(
            int(number)
            for hub in self._hubs
            for pattern in _LOSSES
            for number in re.findall(pattern, hub.log)
        )

    def judge(self, only_received: bool = False) -> Verdict:
        """What became of what was published, or of what the hub received of it."""
        published = self.stream.published
        if only_received:
            received = self.received()
            published = [each for each in published if each["body"]["msg_id"] in received]
        spools = [self.spool, Spool(self.spool).slow.folder]
        return judge(published, self.database.own_url, spools, self.told())

    def close(self) -> None:
        self.stream.stop()
        self.bus.close()
        self.road.close()
        if self.disk:
            self.disk.close()
