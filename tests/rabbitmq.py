"""A part of a real RabbitMQ for a test, and the configuration of fedora-messaging for it."""

from __future__ import annotations

import json
import re
import struct
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pika.exceptions

import stomp
from shell import ROOT

ADDRESS = ("127.0.0.1", 5672)
#: Of the plugin rabbitmq_stomp.
STOMP_ADDRESS = ("127.0.0.1", 61613)
#: The argument of ``fedora-messaging consume`` that names what stores.
CALLBACK = "--callback=datanommer.consumer:Callback"
_SAMPLE = ROOT / "packaging" / "fedora-messaging" / "datanommer.toml"
_URL = "amqp://guest:guest@{}:{}/%2F"
_LOG = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"level": "INFO", "handlers": ["console"]},
    # How many messages are taken and acknowledged.
    "loggers": {"datanommer": {"level": "DEBUG"}},
}


def why_not(address: tuple[str, int] = ADDRESS) -> str | None:
    """Why there is no RabbitMQ to test on, if there is none."""
    try:
        pika.BlockingConnection(_parameters(address)).close()
    except (pika.exceptions.AMQPError, OSError) as error:
        return f"no RabbitMQ answers at {address[0]}:{address[1]}: {error!r}"
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


def _parameters(address: tuple[str, int]) -> Any:
    parameters = pika.URLParameters(_URL.format(*address))
    parameters.socket_timeout = parameters.blocked_connection_timeout = 5
    return parameters


class Broker:
    """An exchange and a queue of one's own, which `close` takes away, and files that name them.

    Args:
        folder: where the files go.
        address: host and port of the RabbitMQ.
    """

    def __init__(self, folder: Path, address: tuple[str, int] = ADDRESS) -> None:
        self._folder = folder
        self._address = address
        self.name = f"datanommer-test-{uuid.uuid4().hex}"
        self.dead = f"{self.name}.dead"
        with self._channel() as channel:
            channel.exchange_declare(self.name, "topic", durable=True)
            channel.queue_declare(self.dead, durable=True)

    def configuration(
        self,
        port: int | None = None,
        prefetch_count: int = 10,
        monitoring_port: int | None = None,
    ) -> str:
        """A file for ``--conf`` of fedora-messaging.

        Args:
            port: where to connect, if not to the RabbitMQ itself.
            prefetch_count: how many messages a consumer may hold.
            monitoring_port: where a consumer tells its statistics over HTTP, if anywhere.
        """
        monitoring = {"address": "127.0.0.1", "port": monitoring_port} if monitoring_port else {}
        queue = {"durable": True, "auto_delete": False, "exclusive": False}
        keys = {
            "amqp_url": _URL.format(self._address[0], port or self._address[1]),
            "publish_exchange": self.name,
            "topic_prefix": "org.fedoraproject.stg",
            "queues": {self.name: {**queue, "arguments": self._arguments}},
            "bindings": [{"queue": self.name, "exchange": self.name, "routing_keys": ["#"]}],
            "qos": {"prefetch_size": 0, "prefetch_count": prefetch_count},
            "monitoring": monitoring,
            "log_config": _LOG,
        }
        file = self._folder / f"{uuid.uuid4().hex}.toml"
        # JSON is TOML, but for the colons of its objects.
        file.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in keys.items()))
        return str(file)

    def sample(self, prefetch_count: int | None = None) -> str:
        """The configuration that is shipped, but for its names.

        Args:
            prefetch_count: another one, if given.
        """
        text = _SAMPLE.read_text(encoding="utf-8")
        for theirs, ours in {
            "amqp://datanommer:password@rabbitmq.example.com/%2F": _URL.format(*self._address),
            "queues.datanommer": f"queues.{self.name}",
            'queue = "datanommer"': f'queue = "{self.name}"',
            "amq.topic": self.name,
        }.items():
            assert theirs in text
            text = text.replace(theirs, ours)
        assert tomllib.loads(text)["callback"] == CALLBACK.partition("=")[2]
        if prefetch_count is not None:
            text = re.sub("prefetch_count = .*", f"prefetch_count = {prefetch_count}", text)
        file = self._folder / f"{uuid.uuid4().hex}.toml"
        file.write_text(text)
        return str(file)

    @property
    def _arguments(self) -> dict[str, str]:
        return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.dead}

    def declare_queue(self, *, as_in_sample: bool = False) -> None:
        """Make the queue before a consumer does, so that it holds what is published.

        Args:
            as_in_sample: for a consumer with the configuration that is shipped.
        """
        arguments = None if as_in_sample else self._arguments
        with self._channel() as channel:
            channel.queue_declare(self.name, durable=True, arguments=arguments)
            channel.queue_bind(self.name, self.name, "#")

    @property
    def stomp_destination(self) -> str:
        """The queue as STOMP names one that exists: https://www.rabbitmq.com/docs/stomp#d.aqd."""
        return f"/amq/queue/{self.name}"

    def publish(
        self,
        topic: str | bytes,
        body: bytes,
        headers: dict[Any, Any] | None,
        msg_id: str | bytes | None = None,
        encoding: str | None = "utf-8",
    ) -> None:
        """Publish what fedora-messaging would not."""
        properties = pika.BasicProperties(
            headers=headers, message_id=msg_id, content_encoding=encoding, delivery_mode=2
        )
        with self._channel() as channel:
            channel.basic_publish(self.name, topic, body, properties)

    def publish_encoded(self, topic: str, body: bytes, properties: bytes) -> None:
        """Publish with properties as they are on the wire."""
        with self._channel() as channel:
            channel.basic_publish(self.name, topic, body, _Encoded(properties))

    def send(self, *lines: dict[str, Any], prefix: str = "org.fedoraproject.stg") -> None:
        """Publish lines as ``fedora-messaging publish`` does, without the second that it takes."""
        with self._channel() as channel:
            for each in lines:
                properties = pika.BasicProperties(
                    headers=each["headers"],
                    message_id=each["id"],
                    content_encoding="utf-8",
                    delivery_mode=2,
                )
                body = json.dumps(each["body"]).encode()
                channel.basic_publish(self.name, f"{prefix}.{each['topic']}", body, properties)

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
        channel = pika.BlockingConnection(_parameters(self._address)).channel()
        channel.confirm_delivery()
        return channel

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        connection = pika.BlockingConnection(_parameters(self._address))
        try:
            channel = connection.channel()
            # One answer for all that is published, when the broker has it on its disk.
            channel.tx_select()
            yield channel
            channel.tx_commit()
        finally:
            connection.close()


class _Encoded(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Properties that are encoded already."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self._encoded = encoded

    def encode(self) -> list[bytes]:
        return [self._encoded]


def header(kind: bytes, value: bytes) -> bytes:
    """The properties of a message with one header, of a type and a value as AMQP encodes them."""
    entry = b"\x01h" + kind + value
    flags = struct.pack(">H", pika.BasicProperties.FLAG_HEADERS)
    return flags + struct.pack(">I", len(entry)) + entry


def nested_table(depth: int) -> bytes:
    """A table of AMQP in tables, for `header`."""
    table = b""
    for _ in range(depth):
        table = b"\x01h" + b"F" + struct.pack(">I", len(table)) + table
    return struct.pack(">I", len(table)) + table


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        entries = ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{{entries}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
