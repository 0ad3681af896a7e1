"""A subscription to the queue of the broker, and what is delivered to it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

from .connection import Connection
from .frames import Frame

#: Whose ids, prefetch header and manners.
Style = Literal["rabbitmq", "activemq"]
#: How ids of ActiveMQ begin.
HOST = "ID:host-1234-5678"
_PREFETCH = {"rabbitmq": "prefetch-count", "activemq": "activemq.prefetchSize"}


@dataclass
class Message:
    number: int
    destination: str
    body: bytes
    headers: dict[str, str]
    has_length: bool
    is_redelivered: bool = False


class Subscription:
    def __init__(self, connection: Connection, frame: Frame, style: Style) -> None:
        self.connection = connection
        self.id = frame.header("id")
        self.mode = frame.headers.get("ack", "auto")
        self._prefetch = int(frame.headers.get(_PREFETCH[style], 0))
        self._style = style
        self._deliveries = itertools.count(1)
        #: The messages by what an ACK names: `ack` in STOMP 1.2, `message-id` in 1.1.
        self.unacknowledged: dict[str, Message] = {}

    @property
    def has_room(self) -> bool:
        return not self._prefetch or len(self.unacknowledged) < self._prefetch

    def deliver(self, message: Message) -> None:
        message_id, name = self._ids(message)
        headers = {
            "subscription": self.id,
            "destination": message.destination,
            "message-id": message_id,
            **self._redelivered(message),
            **({"ack": name} if self.connection.version == "1.2" else {}),
            **message.headers,
            **({"content-length": str(len(message.body))} if message.has_length else {}),
        }
        self.connection.send(Frame("MESSAGE", headers, message.body))
        if self.mode != "auto":
            by = name if self.connection.version == "1.2" else message_id
            self.unacknowledged[by] = message

    def _ids(self, message: Message) -> tuple[str, str]:
        """The id of the message, and the name of this delivery of it."""
        delivery = next(self._deliveries)
        if self._style == "rabbitmq":
            both = f"T_{self.id}@@{self.connection.session}@@{delivery}"
            return both, both
        return f"{HOST}-1:1:1:1:{message.number}", f"{self.connection.session}:{delivery}"

    def _redelivered(self, message: Message) -> dict[str, str]:
        if self._style == "activemq" and not message.is_redelivered:
            return {}
        return {"redelivered": str(message.is_redelivered).lower()}

    def settle(self, name: str) -> list[Message]:
        """Take away what an ACK or a NACK of this name is about."""
        names = [name]
        if self.mode == "client":  # all up to this one
            names = [*itertools.takewhile(lambda each: each != name, self.unacknowledged), name]
        return [self.unacknowledged.pop(each) for each in names]
