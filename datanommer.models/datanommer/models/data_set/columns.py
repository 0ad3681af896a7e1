"""The columns of a data set."""

from __future__ import annotations

import pyarrow as pa

#: The columns. Others rely on their names and types.
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("msg_id", pa.string()),
        ("topic", pa.string()),
        ("category", pa.string()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("stored_at", pa.timestamp("us", "UTC")),
        ("i", pa.int64()),
        ("username", pa.string()),
        ("agent", pa.string()),
        ("users", pa.list_(pa.string())),
        ("packages", pa.list_(pa.string())),
        ("msg", pa.string()),
        ("headers", pa.string()),
        ("crypto", pa.string()),
        ("certificate", pa.dictionary(pa.int32(), pa.string())),
        ("signature", pa.binary()),
        ("source_name", pa.string()),
        ("source_version", pa.string()),
        ("extra", pa.string()),
    ]
)
#: The columns whose values come again and again: only they get a dictionary.
REPEATED = [
    *("topic", "category", "username", "agent", "users.list.element", "packages.list.element"),
    *("crypto", "certificate", "source_name", "source_version"),
]
#: The columns whose least and greatest values readers ask for. Of other columns, these values
#: would be copies of the largest messages.
ASKED = [
    *("id", "msg_id", "topic", "category", "timestamp", "stored_at", "i", "username", "agent"),
]
