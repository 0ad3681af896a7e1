"""What the fedmsg configuration says about the consumer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datanommer.models import configuration
from datanommer.models.configuration import (
    BATCH_SIZE_KEY,
    DATAGREPPER_URL_KEY,
    STATUS_DIRECTORY_KEY,
    TOPIC_KEY,
)
from datanommer.models.errors import ConfigurationError
from datanommer.models.receiving.received import DATAGREPPER, SPOOL, STOMP, ZEROMQ
from datanommer.models.storing.batch import MAX_BATCH

#: The most messages of a batch, unless the configuration says otherwise.
BATCH_SIZE = 1000


def topics(config: Mapping[str, Any]) -> list[str]:
    """The topics to listen to. A ``*`` at the end of a topic stands for anything.

    Raises:
        ConfigurationError: the value is neither a topic nor a list of topics.
    """
    value = config.get(TOPIC_KEY, "*")
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(topic, str) for topic in value):
        return list(value)
    raise ConfigurationError(
        f"{TOPIC_KEY} in the fedmsg configuration must be a topic or a list of topics, "
        'such as "*" (all of them) or ["org.fedoraproject.prod.bodhi.*"].'
    )


def batch_size(config: Mapping[str, Any]) -> int:
    """The most messages of a batch.

    Raises:
        ConfigurationError: the value is not a whole number from 1 to 10,000.
    """
    return configuration.whole_number(config, BATCH_SIZE_KEY, BATCH_SIZE, range(1, MAX_BATCH + 1))


def uses_stomp(config: Mapping[str, Any]) -> bool:
    """Whether moksha connects to a broker with STOMP."""
    return bool(config.get("stomp_uri") or config.get("stomp_broker"))


def roads(config: Mapping[str, Any]) -> list[str]:
    """How messages may come to the hub, by the names that `Received.road` has."""
    is_open = {
        ZEROMQ: config.get("zmq_enabled"),
        STOMP: uses_stomp(config),
        DATAGREPPER: config.get(STATUS_DIRECTORY_KEY) and config.get(DATAGREPPER_URL_KEY),
        SPOOL: True,
    }
    return [road for road in is_open if is_open[road]]
