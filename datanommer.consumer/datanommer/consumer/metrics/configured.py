"""The metrics that a configuration asks for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datanommer.consumer.metrics.address import Address

if TYPE_CHECKING:
    from datanommer.consumer.metrics.metrics import Metrics


def configured(
    config: Mapping[str, Any], key: str, roads: Sequence[str], log: logging.Logger
) -> Metrics | None:
    """The metrics of a consumer; None where nobody asks for them, or a library is missing.

    Args:
        config: the fedmsg configuration.
        key: names the address in it.
        roads: as `Metrics` takes them.
        log: gets a line where the library is missing.

    Raises:
        ConfigurationError: the value is no address.
    """
    address = Address.configured(config, key)
    if address is None:
        return None
    # Imported here: without metrics, nobody needs the library.
    try:
        from datanommer.consumer.metrics.metrics import Metrics
    except ImportError as error:
        log.warning(
            "There are no metrics, although %s asks for them: %s. "
            "Install datanommer.consumer[metrics]. Everything else carries on.",
            key,
            error,
        )
        return None
    return Metrics(address, roads, log)
