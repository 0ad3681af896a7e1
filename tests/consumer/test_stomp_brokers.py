"""What real brokers bring over STOMP is stored once, by a real fedmsg-hub that may be killed."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import pytest

import rabbitmq
from activemq import ActiveMQ
from bus import Archive, Bus, Daemon, eventually
from stomp import Client

#: More than a hub stores before it is killed.
MANY = 3000
TOPIC = "/topic/VirtualTopic.eng.brew.build.complete"
QUEUE = "/queue/Consumer.datanommer.VirtualTopic.eng.>"


@pytest.fixture
def bus(bus: Bus) -> Bus:
    bus.config["zmq_enabled"] = False
    return bus


def start(bus: Bus, **config: Any) -> Daemon:
    bus.config.update(config)
    hub = bus.start("fedmsg-hub")
    hub.wait_until_it_says("Listening to")
    return hub


def publish(client: Client, destination: str, number: int) -> None:
    bodies = [json.dumps({"n": each, "text": "w\u00f6rld \u65e5\u672c"}) for each in range(number)]
    with contextlib.closing(client):
        client.publish(destination, [(body.encode(), {"own": "a:b\\c"}) for body in bodies])


def stored(archive: Archive, number: int) -> list[Any]:
    """What the messages say, once there are so many; a slow machine may take its time for all."""
    while (count := archive.count()) < number:
        wait_for_more(archive, count)
    return [message.msg["n"] for message in archive.messages()]


def wait_for_more(archive: Archive, than: int) -> None:
    eventually(lambda: archive.count() > than, f"more than {than} messages")


def kill_in_the_middle(
    bus: Bus, hub: Daemon, archive: Archive, client: Client, destination: str
) -> None:
    publisher = threading.Thread(target=publish, args=(client, destination, MANY))
    publisher.start()
    eventually(archive.messages, "the first messages")
    hub.kill()
    assert 0 < len(archive.messages()) < MANY
    start(bus)
    publisher.join()


@pytest.mark.parametrize("is_blocking", [False, True])
def test_a_hub_that_is_killed_in_a_burst_of_rabbitmq_loses_nothing(
    rabbitmq_stomp: rabbitmq.Broker, bus: Bus, archive: Archive, is_blocking: bool
) -> None:
    queue = rabbitmq_stomp.stomp_destination
    hub = start(
        bus,
        **{
            "stomp_uri": "{}:{}".format(*rabbitmq.STOMP_ADDRESS),
            "stomp_queue": queue,
            "datanommer.stomp_vhost": "/",
            "datanommer.batch_size": 20,
            "moksha.blocking_mode": is_blocking,
        },
    )
    kill_in_the_middle(bus, hub, archive, Client(*rabbitmq.STOMP_ADDRESS), queue)
    assert sorted(stored(archive, MANY)) == list(range(MANY))
    assert archive.rejected() == []
    assert archive.messages()[0].headers["own"] == "a:b\\c"
    bus.close()
    assert rabbitmq_stomp.waiting() == 0


def test_a_hub_that_is_killed_in_a_burst_of_activemq_loses_nothing(
    activemq: ActiveMQ, bus: Bus, archive: Archive
) -> None:
    config = {"stomp_uri": activemq.address, "stomp_queue": QUEUE, "datanommer.batch_size": 20}
    hub = start(bus, **config)
    kill_in_the_middle(bus, hub, archive, activemq.connect(), TOPIC)
    assert sorted(stored(archive, MANY)) == list(range(MANY))
    assert archive.rejected() == []
    first = archive.messages()[0]
    assert (first.topic, first.category) == (TOPIC, "brew")
    assert first.msg_id == first.headers["message-id"]
    assert int(first.headers["timestamp"]) / 1000 == pytest.approx(first.__json__()["timestamp"])
    bus.close()
    assert activemq.waiting(QUEUE) == 0


def test_an_activemq_that_is_killed_is_found_again(
    activemq: ActiveMQ, bus: Bus, archive: Archive
) -> None:
    start(bus, stomp_uri=activemq.address, stomp_queue=QUEUE)
    publish(activemq.connect(), TOPIC, 10)
    stored(archive, 10)
    activemq.kill()
    activemq.start()
    publish(activemq.connect(), TOPIC, 20)
    stored(archive, 30)


@pytest.mark.parametrize("topic", ["VirtualTopic.eng.>", "VirtualTopic.eng.*.build.*", TOPIC])
def test_a_topic_means_what_it_means_to_activemq(
    activemq: ActiveMQ, bus: Bus, archive: Archive, topic: str
) -> None:
    """As ActiveMQ's own subscription to it, and as a filter of a queue."""
    destination = topic if topic.startswith("/") else f"/topic/{topic}"
    start(bus, **{"stomp_uri": activemq.address, "datanommer.topic": destination})
    for sent in (TOPIC, "/topic/VirtualTopic.qe.x", TOPIC):
        publish(activemq.connect(), sent, 1)
    stored(archive, 2)
    bus.close()
    assert {message.topic for message in archive.messages()} == {TOPIC}


def test_what_a_rabbitmq_says_to_a_wrong_virtual_host_is_told(
    rabbitmq_stomp: rabbitmq.Broker, bus: Bus
) -> None:
    bus.config["stomp_uri"] = "{}:{}".format(*rabbitmq.STOMP_ADDRESS)
    bus.config["stomp_queue"] = rabbitmq_stomp.stomp_destination
    hub = bus.start("fedmsg-hub")
    hub.wait_until_it_says("answers: Bad CONNECT: Virtual host '127.0.0.1' access denied")
