"""Whatever a real RabbitMQ delivers, one consumer gets all of it and goes on."""

from __future__ import annotations

import json
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import Archive, Daemon, end
from databases import Databases
from datanommer.consumer.amqp.batch_consumer import Properties, delivery
from datanommer.models.configuration import URL_VARIABLE
from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.preparing.delivery import prepare
from envelopes import line
from rabbitmq import CALLBACK, Broker, header, nested_table
from services import leave_out

HEADERS = line()["headers"]
DEEP = 100_000


@dataclass(frozen=True)
class Sent:
    """A message that is not as fedora-messaging sends it."""

    body: bytes = b'{"n": 1}'
    topic: str | bytes = "org.example.dev.odd"
    headers: dict[Any, Any] | None = field(default_factory=lambda: dict(HEADERS))
    msg_id: str | bytes | None = "odd"
    encoding: str | None = "utf-8"
    encoded: bytes | None = None  # all properties, as they are on the wire

    def to(self, broker: Broker) -> None:
        if self.encoded is not None:
            broker.publish_encoded(str(self.topic), self.body, self.encoded)
        else:
            broker.publish(self.topic, self.body, self.headers, self.msg_id, self.encoding)


POISON = {
    "an unknown encoding": Sent(encoding="nonsense"),
    "an encoding that is none of text: hex": Sent(b"7b7d", encoding="hex"),
    "an encoding that is none of text: base64": Sent(b"e30=", encoding="base64"),
    "an encoding that is none of text: rot13": Sent(encoding="rot13"),
    "an encoding that is none of text: zlib": Sent(zlib.compress(b"{}"), encoding="zlib"),
    "an encoding that takes hours": Sent(encoding="punycode"),
    "an encoding that decodes nothing": Sent(encoding="undefined"),
    "an encoding with a NUL": Sent(encoding="utf\0-8"),
    "a body that is not in its encoding": Sent(b'{"n": "\xff"}'),
    "no body": Sent(b""),
    "a body that is no JSON": Sent(b"{'n': 1}"),
    "a deep body": Sent(b"[" * DEEP + b"]" * DEEP),
    "a body too deep for a row": Sent(b"[" * 600 + b"]" * 600),
    "a deep body that is none": Sent(b'{"n":' * DEEP),
    "a long integer": Sent(b'{"n": ' + b"1" * 5000 + b"}"),
    "an id that is no UTF-8": Sent(msg_id=b"\xff\xfe"),
    "a topic that is no UTF-8": Sent(topic=b"org.example.dev.\xff"),
    "a time after the end of time": Sent(encoded=header(b"T", struct.pack(">Q", 2**63))),
    "deep headers": Sent(encoded=header(b"F", nested_table(3000))),
}

#: What fedora-messaging ends on or refuses, and a row can hold.
ODD = {
    "a severity that is text": Sent(headers={**HEADERS, "fedora_messaging_severity": "high"}),
    "a severity that is a list": Sent(headers={**HEADERS, "fedora_messaging_severity": [1]}),
    "a severity that is none": Sent(headers={**HEADERS, "fedora_messaging_severity": 99}),
    "a schema that is a list": Sent(headers={**HEADERS, "fedora_messaging_schema": ["a"]}),
    "a schema that is a table": Sent(headers={**HEADERS, "fedora_messaging_schema": {"a": 1}}),
    "tables in the headers": Sent(headers={**HEADERS, "a": {"b": [{"c": None}]}}),
    "bytes in the headers": Sent(headers={**HEADERS, b"\xff": b"\xff"}),
    "a time that is rubbish": Sent(headers={**HEADERS, "sent-at": "yesterday"}),
    "a time that is a number": Sent(headers={**HEADERS, "sent-at": 1}),
    "no headers": Sent(headers=None),
    "no encoding": Sent(encoding=None),
    "another encoding": Sent('{"n": "w\u00f6rld"}'.encode("utf-16"), encoding="utf-16"),
    "no id": Sent(msg_id=None),
    "half of a surrogate pair": Sent(rb'{"n": "\ud800"}'),
    "a list": Sent(b'["no object"]'),
    "null": Sent(b"null"),
}


#: Properties on the wire, most of them with a header of one of the types of AMQP.
ENCODED = st.binary(max_size=60) | st.builds(
    lambda kind, value: header(bytes([kind]), value),
    st.sampled_from(b"tbBuUsIilLfdDSAxTFV"),
    st.binary(max_size=30),
)


@pytest.fixture(scope="module")
def broker(_rabbitmq: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if _rabbitmq:
        leave_out(_rabbitmq)
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def url(databases_of_server: Databases, _head_template: str) -> Iterator[str]:
    name = databases_of_server.create(template=_head_template)
    yield databases_of_server.url(name)
    databases_of_server.drop(name)


@pytest.fixture(scope="module")
def archive(url: str) -> Iterator[Archive]:
    archive = Archive(url)
    yield archive
    archive.close()


@pytest.fixture(scope="module")
def consumer(
    broker: Broker, url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    conf, folder = broker.configuration(), tmp_path_factory.mktemp("consumer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_VARIABLE, url)
        consumer = Daemon("fedora-messaging", "--conf", conf, "consume", CALLBACK, folder=folder)
    consumer.wait_until_it_says("Successfully registered AMQP consumer")
    yield consumer
    end([consumer])


def wait_for_the_next(broker: Broker, archive: Archive) -> None:
    """Send a good message, and wait until it is stored."""
    last = line()
    broker.send(last)
    archive.wait_for({"body": {"msg_id": f"2021-{last['id']}"}})


@pytest.mark.parametrize("sent", POISON.values(), ids=POISON)
def test_poison_is_rejected_with_its_bytes(
    broker: Broker, consumer: Daemon, archive: Archive, sent: Sent
) -> None:
    before = len(archive.rejected())
    sent.to(broker)
    wait_for_the_next(broker, archive)
    (rejected,) = archive.rejected()[before:]
    told, _, body = bytes(rejected.raw).partition(b"\n")
    if rejected.reason.startswith("msg nests"):
        assert sent.body in told  # it could be read, so it is kept as an envelope
    else:
        assert body == sent.body
        assert json.loads(told).keys() == {"topic", "properties"}
    assert rejected.topic is not None
    assert rejected.topic.startswith("org.example.dev.")
    assert consumer.log.count("Successfully registered") == 1


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
def test_what_is_odd_is_stored_as_it_was_sent(
    broker: Broker, consumer: Daemon, archive: Archive, sent: Sent
) -> None:
    before = len(archive.messages())
    odd = replace(sent, msg_id=sent.msg_id and str(uuid.uuid4()))
    odd.to(broker)
    wait_for_the_next(broker, archive)
    stored, _ = archive.messages()[before:]
    assert stored.msg == json.loads(sent.body.decode(sent.encoding or "utf-8"))
    assert stored.topic == sent.topic
    assert consumer.log.count("Successfully registered") == 1


def test_a_flood_of_poison_writes_few_lines(
    broker: Broker, consumer: Daemon, archive: Archive
) -> None:
    before = len(archive.rejected())
    for number in range(100):
        broker.publish("org.example.dev.flood", f"secret {number}".encode(), None)
    wait_for_the_next(broker, archive)
    assert len(archive.rejected()) == before + 100
    consumer.wait_until_it_says("Rejected")
    assert consumer.log.count("Rejected") <= 10
    assert "secret" not in consumer.log
    assert "ERROR" not in consumer.log
    assert broker.waiting(broker.dead) == 0


@given(ENCODED)
@settings(max_examples=500, deadline=None)
def test_properties_of_any_bytes_become_a_row_or_a_reject(encoded: bytes) -> None:
    item = prepare(delivery("org.example.dev.odd", Properties().decode(encoded), b"{}"))
    assert isinstance(item, Row | Reject)
    assert "datanommer failed" not in getattr(item, "reason", "")
