"""Consumers that datanommer's is compared with, in the same hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fedmsg.meta
from fedmsg.consumers import FedmsgConsumer
from sqlalchemy import orm

from benchmarks import classic_way
from benchmarks.hub import CLASSIC_KEY, COUNT_KEY, EVERY_KEY
from datanommer import models
from datanommer.models.configuration import URL_KEY


class NoOp(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Counts messages, and does nothing with them: what the hub alone can do.

    Args:
        hub: the hub of moksha.
    """

    config_key = COUNT_KEY
    topic = "*"
    validate_signatures = False

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._file = Path(hub.config[COUNT_KEY])
        self._every = hub.config[EVERY_KEY]
        self._count = 0

    def consume(self, message: dict[str, Any]) -> None:
        self._count += 1
        if self._count % self._every == 0:
            self._file.write_text(str(self._count))


class Classic(NoOp):
    """Stores messages in the classic way, with the users and packages that fedmsg.meta finds.

    Args:
        hub: the hub of moksha.
    """

    def __init__(self, hub: Any) -> None:
        self._session = orm.Session(classic_way.engine(hub.config[CLASSIC_KEY]))
        fedmsg.meta.make_processors(**hub.config)
        super().__init__(hub)

    def consume(self, message: dict[str, Any]) -> None:
        names = [
            tuple(sorted(ask(message["body"], **self.hub.config)))
            for ask in (fedmsg.meta.msg2usernames, fedmsg.meta.msg2packages)
        ]
        classic_way.add(self._session, message, *names)
        super().consume(message)


class Blocking(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Stores one message after another over moksha's own STOMP, which acknowledges what it returns.

    Args:
        hub: the hub of moksha.
    """

    config_key = "benchmarks.stores"
    topic = "/queue/benchmark"
    validate_signatures = False

    def __init__(self, hub: Any) -> None:
        models.init(hub.config[URL_KEY])
        super().__init__(hub)

    def consume(self, message: dict[str, Any]) -> None:
        models.add(message)
