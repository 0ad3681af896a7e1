"""What the fedmsg configuration says about the consumer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datanommer.models import configuration
from datanommer.models.errors import ConfigurationError
from datanommer.models.store import MAX_BATCH

TOPIC_KEY = "datanommer.topic"
BATCH_SIZE_KEY = "datanommer.batch_size"

#: The most messages of a batch, where the configuration says nothing.
BATCH_SIZE = 1000


def topics(config: Mapping[str, Any]) -> str | list[str]:
    """The topics to listen to: ``*`` stands for anything at the end of one.

    Raises:
        ConfigurationError: they are neither text nor a list of texts.
    """
    given = config.get(TOPIC_KEY, "*")
    if isinstance(given, str):
        return given
    if isinstance(given, list | tuple) and given and all(isinstance(t, str) for t in given):
        return list(given)
    raise ConfigurationError(
        f"{TOPIC_KEY} in the fedmsg configuration must be a topic or a list of topics, "
        'such as "*" (all of them) or ["org.fedoraproject.prod.bodhi.*"].'
    )


def batch_size(config: Mapping[str, Any]) -> int:
    """The most messages of a batch.

    Raises:
        ConfigurationError: it is no number from 1 to 10,000.
    """
    return configuration.number(config, BATCH_SIZE_KEY, BATCH_SIZE, range(1, MAX_BATCH + 1))
