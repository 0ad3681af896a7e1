"""Callbacks that datanommer's is compared with, called by the consumer of fedora-messaging."""

from __future__ import annotations

import os
from pathlib import Path

from fedora_messaging.message import Message

from benchmarks.amqp import COUNT_VARIABLE
from datanommer.consumer import Callback


class OneByOne:
    """Stores each message in a transaction of its own, before the next one is looked at."""

    def __init__(self) -> None:
        self._callback = Callback()

    def __call__(self, message: Message) -> None:
        self._callback(message)


class Acknowledge:
    """Counts messages, and does nothing with them: what fedora-messaging alone can do."""

    def __init__(self) -> None:
        self._file = Path(os.environ[COUNT_VARIABLE])
        self._count = 0

    def __call__(self, message: Message) -> None:
        self._count += 1
        if self._count % 100 == 0:
            self._file.write_text(str(self._count))
