"""Consumers that a hub of the tests runs beside datanommer's, or in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedmsg.consumers import FedmsgConsumer

from datanommer.consumer import Nommer
from datanommer.consumer.stomp import extension


class Impatient(Nommer):
    """datanommer's consumer, which gives up on brokers sooner."""

    def __init__(self, hub: Any) -> None:
        extension.GIVE_UP_SECONDS = 1.0
        super().__init__(hub)


class Other(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Another consumer: it writes down what it gets, fails on what it is told to, and answers."""

    config_key = "datanommer.enabled"
    topic = "/topic/other.*"

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._file = Path(hub.config["other.file"])

    def consume(self, message: dict[str, Any]) -> None:
        """Write down the content."""
        with self._file.open("a") as file:
            file.write(json.dumps(message["body"]["msg"]) + "\n")
        if message["body"]["msg"] == "fail":
            raise ValueError
        self.hub.send_message("/topic/answers", {"answer": message["body"]["msg"]})


class Broken(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Another consumer, which fails on each message before it is in a queue."""

    config_key = "datanommer.enabled"
    topic = "*"

    def _consume(self, message: Any) -> None:
        raise ValueError(message)
