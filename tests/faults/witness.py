"""The consumer as it is, with a list of what fedmsg-hub handed to it."""

from __future__ import annotations

import json
import os
from typing import Any

from datanommer.consumer import Nommer

#: The key of the configuration that names the file of the list.
FILE_KEY = "faults.witness"


class Witness(Nommer):
    """Writes down the ids of the messages it is given, before anything else happens to them.

    Args:
        hub: the hub of moksha.
    """

    def __init__(self, hub: Any) -> None:
        # What the kernel was given outlives a kill -9 of the process.
        self._list = os.open(hub.config[FILE_KEY], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        super().__init__(hub)

    def _consume(self, message: Any) -> None:
        os.write(self._list, f"{json.loads(message.body)['msg_id']}\n".encode())
        super()._consume(message)
