"""The roads on which messages come to the hub: ZeroMQ and STOMP."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from datanommer.consumer import settings, shutdown
from datanommer.models.errors import ConfigurationError
from datanommer.models.receiving.received import Received


class Road(Protocol):
    """What brings messages. Only the thread of the reactor may call these.

    Attributes:
        is_up: fires once it listens, or has tried to and will go on trying.
    """

    is_up: Deferred[None]

    def stop_listening(self) -> None:
        """Take nothing more from the bus."""

    def say_goodbye(self) -> Deferred[None]:
        """Leave the bus once all is kept; fires when the broker knows of it."""


def of_stomp(consumer: Any, config: Mapping[str, Any], batch_size: int) -> list[Road]:
    """The road of STOMP, in the place of moksha's own; none where STOMP is not configured.

    Args:
        consumer: of the hub, which takes the messages.
        config: the fedmsg configuration.
        batch_size: of the consumer.

    Raises:
        ConfigurationError: STOMP cannot be used with that configuration, or what is installed.
    """
    if not settings.uses_stomp(config):
        return []
    # Imported here: moksha's STOMP code needs distutils, which newer Pythons leave to setuptools.
    try:
        from datanommer.consumer.stomp.extension import Extension
        from datanommer.consumer.stomp.settings import Settings
    except ImportError as error:
        raise ConfigurationError(
            "STOMP is configured, and moksha.hub cannot import what it needs for it: "
            f"{error}. Install setuptools 81."
        ) from error

    end = functools.partial(shutdown.end, consumer)
    return [Extension.take_over(consumer, Settings.of(config, batch_size), end)]


def by_road(messages: Sequence[Received]) -> Iterator[list[Received]]:
    """The messages of each road, in their order: what becomes of a batch is counted by road."""
    for road in dict.fromkeys(each.road for each in messages):
        yield [each for each in messages if each.road == road]
