"""The archive of a fedmsg bus: its schema, and the API that stores messages and finds them.

>>> import datanommer.models
>>> datanommer.models.init("postgresql://datanommer@db.example.com/datanommer")
>>> datanommer.models.add({"topic": "org.example.dev.demo.hello", "body": {...}})
Counts(stored=1, duplicates=0, rejected=0)
>>> datanommer.models.Message.from_msg_id("2013-...").msg
"""

from datanommer.models.database import init, maker, session
from datanommer.models.schema import (
    DeclarativeBase,
    Message,
    Package,
    User,
    models,
    pack_assoc_table,
    user_assoc_table,
)
from datanommer.models.store import Counts, add, add_all

__version__ = "2.0.0"

__all__ = [
    "Counts",
    "DeclarativeBase",
    "Message",
    "Package",
    "User",
    "__version__",
    "add",
    "add_all",
    "init",
    "maker",
    "models",
    "pack_assoc_table",
    "session",
    "user_assoc_table",
]
