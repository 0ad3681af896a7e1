"""A consumer that a hub of the tests runs in the place of datanommer's."""

from __future__ import annotations

from typing import Any

from datanommer.consumer import Nommer as _Nommer
from datanommer.consumer.backlog import datagrepper


class Nommer(_Nommer):
    """datanommer's consumer, which waits less long for a datagrepper."""

    def __init__(self, hub: Any) -> None:
        datagrepper.TIMEOUT_SECONDS = 1.0
        super().__init__(hub)
