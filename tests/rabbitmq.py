"""A part of a real RabbitMQ for a test, and the configuration of fedora-messaging for it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pika.exceptions

import stomp

ADDRESS = ("127.0.0.1", 5672)
#: Of the plugin rabbitmq_stomp.
STOMP_ADDRESS = ("127.0.0.1", 61613)
_URL = "amqp://guest:guest@{}:{}/%2F"


def why_not() -> str | None:
    """Why there is no RabbitMQ to test on, if there is none."""
    try:
        pika.BlockingConnection(_parameters()).close()
    except (pika.exceptions.AMQPError, OSError) as error:
        return f"no RabbitMQ answers at {ADDRESS[0]}:{ADDRESS[1]}: {error!r}"
    return None


def why_not_stomp() -> str | None:
    """Why there is no RabbitMQ that speaks STOMP to test on, if there is none."""
    try:
        client = stomp.Client(*STOMP_ADDRESS)
    except (EOFError, OSError) as error:
        return f"no RabbitMQ speaks STOMP at {STOMP_ADDRESS[0]}:{STOMP_ADDRESS[1]}: {error!r}"
    client.close()
    if client.answer.command != "CONNECTED":
        return f"the RabbitMQ refuses a STOMP client: {client.answer}"
    return why_not()


def _parameters() -> Any:
    parameters = pika.URLParameters(_URL.format(*ADDRESS))
    parameters.socket_timeout = parameters.blocked_connection_timeout = 5
    return parameters


class Broker:
    """An exchange and a queue of one's own, which `close` takes away, and files that name them.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = f"datanommer-test-{uuid.uuid4().hex}"
        self.dead = f"{self.name}.dead"
        with self._channel() as channel:
            channel.exchange_declare(self.name, "topic", durable=True)
            channel.queue_declare(self.dead, durable=True)

    def configuration(self, port: int = ADDRESS[1], **changes: Any) -> str:
        """A file for ``--conf`` of fedora-messaging, maybe with another port of the broker.

        Args:
            port: where to connect.
            changes: keys and values of the configuration.
        """
        queue = {"durable": True, "auto_delete": False, "exclusive": False}
        keys = {
            "amqp_url": _URL.format(ADDRESS[0], port),
            "publish_exchange": self.name,
            "topic_prefix": "org.fedoraproject.stg",
            "queues": {self.name: {**queue, "arguments": self._arguments}},
            "bindings": [{"queue": self.name, "exchange": self.name, "routing_keys": ["#"]}],
            "qos": {"prefetch_size": 0, "prefetch_count": 10},
            **changes,
        }
        file = self._folder / f"{uuid.uuid4().hex}.toml"
        # JSON is TOML, but for the colons of its objects.
        file.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in keys.items()))
        return str(file)

    @property
    def _arguments(self) -> dict[str, str]:
        return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.dead}

    def declare_queue(self) -> None:
        """Make the queue before a consumer does, so that it holds what is published."""
        with self._channel() as channel:
            channel.queue_declare(self.name, durable=True, arguments=self._arguments)
            channel.queue_bind(self.name, self.name, "#")

    @property
    def stomp_destination(self) -> str:
        """The queue as STOMP names one that exists: https://www.rabbitmq.com/docs/stomp#d.aqd."""
        return f"/amq/queue/{self.name}"

    def publish(
        self, topic: str, body: bytes, headers: dict[str, Any] | None, msg_id: str | None = None
    ) -> None:
        """Publish what fedora-messaging would not."""
        properties = pika.BasicProperties(
            headers=headers, message_id=msg_id, content_encoding="utf-8", delivery_mode=2
        )
        with self._channel() as channel:
            channel.basic_publish(self.name, topic, body, properties)

    def send(self, line: dict[str, Any], prefix: str = "org.fedoraproject.stg") -> None:
        """Publish a line as ``fedora-messaging publish`` does, without the second that it takes."""
        topic = f"{prefix}.{line['topic']}"
        self.publish(topic, json.dumps(line["body"]).encode(), line["headers"], line["id"])

    def waiting(self, queue: str | None = None) -> int:
        """How many messages are in the queue (or another) and not with a consumer."""
        with self._channel() as channel:
            answer = channel.queue_declare(queue or self.name, passive=True)
            return int(answer.method.message_count)

    def close(self) -> None:
        with self._channel() as channel:
            for queue in (self.name, self.dead):
                channel.queue_delete(queue)
            channel.exchange_delete(self.name)

    def open_channel(self) -> Any:
        """A channel on a connection of its own; what is published on it has then arrived."""
        channel = pika.BlockingConnection(_parameters()).channel()
        channel.confirm_delivery()
        return channel

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        channel = self.open_channel()
        try:
            yield channel
        finally:
            channel.connection.close()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        entries = ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{{entries}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
