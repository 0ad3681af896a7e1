"""The body of a stored message, byte for byte as its sender put it on the bus.

fedmsg and fedora-messaging each write JSON in one way only (source: fedmsg.encoding, fedmsg 1.1;
fedora_messaging.message.Message, fedora-messaging 3.9). Another sender may have written the same
values in another way (spaces, the order of keys, 1.10 for 1.1). That is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from datanommer.models.envelopes.extra import restore_body

#: The fields of `datanommer.models.exchange.found` that `body` takes.
FIELDS = (
    *("topic", "msg", "msg_id", "i", "timestamp", "username", "crypto", "certificate"),
    *("signature", "source_name", "source_version", "headers", "extra"),
)


def body(cells: Mapping[str, str]) -> bytes:
    """The body that was sent.

    Args:
        cells: the text of the JSON of each of `FIELDS`.
    """
    columns = {name: json.loads(cells[name]) for name in FIELDS}
    extra = columns.pop("extra")
    if _is_of_fedora_messaging(columns["headers"], extra):
        # What fedora-messaging sends as the body is `msg` here.
        return cells["msg"].encode()
    sent = restore_body(columns, extra)
    return json.dumps(sent, sort_keys=True, separators=(",", ":")).encode()


def _is_of_fedora_messaging(headers: Any, extra: Any) -> bool:
    """Whether it came over AMQP, and not from a bridge to fedmsg: a bridge sets `i`."""
    is_schema_named = isinstance(headers, dict) and "fedora_messaging_schema" in headers
    return is_schema_named and "i" in (extra or {}).get("unset", ())
