"""The real brokers of the tests, with what is published to them over STOMP."""

from __future__ import annotations

import contextlib

from activemq import ActiveMQ
from bus import eventually
from rabbitmq import STOMP_ADDRESS
from rabbitmq import Broker as RabbitMQ
from stomp import Broker, Client

_MESSAGES = [(b"%d" % number, {"number": str(number)}) for number in range(1200)]


def test_many_messages_are_published_to_the_small_broker(stomp_broker: Broker) -> None:
    with contextlib.closing(Client("127.0.0.1", stomp_broker.port)) as client:
        client.publish("/queue/test", _MESSAGES)
    assert stomp_broker.waiting == len(_MESSAGES)


def test_many_messages_are_published_to_a_rabbitmq(rabbitmq_stomp: RabbitMQ) -> None:
    with contextlib.closing(Client(*STOMP_ADDRESS)) as client:
        client.publish(rabbitmq_stomp.stomp_destination, _MESSAGES)
        assert rabbitmq_stomp.waiting() == len(_MESSAGES)
        client.subscribe(rabbitmq_stomp.stomp_destination, {"prefetch-count": "1"})
        message = client.receive()
        assert (message.body, message.headers["number"]) == (b"0", "0")
        client.acknowledge(message)
        assert client.receive().body == b"1"
    # What was with a consumer counts when that has gone.
    eventually(lambda: rabbitmq_stomp.waiting() == len(_MESSAGES) - 1, "the messages")


def test_an_activemq_that_is_killed_keeps_its_messages(activemq: ActiveMQ) -> None:
    queue = "/queue/Consumer.test.VirtualTopic.>"
    with contextlib.closing(activemq.connect()) as client:
        client.subscribe(queue, {"activemq.prefetchSize": "1"})
        with contextlib.closing(activemq.connect()) as publisher:
            publisher.publish("/topic/VirtualTopic.a.b", _MESSAGES)
        message = client.receive()
        assert message.headers["number"] == "0"
        client.acknowledge(message)
        assert client.receive().headers["number"] == "1"
        assert activemq.waiting(queue) == len(_MESSAGES) - 1
    activemq.kill()
    activemq.start()
    assert activemq.waiting(queue) == len(_MESSAGES) - 1
