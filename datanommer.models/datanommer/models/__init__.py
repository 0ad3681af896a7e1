"""The archive of a fedmsg bus: its schema, and the API that stores messages and finds them.

>>> import datanommer.models
>>> datanommer.models.init("postgresql://datanommer@db.example.com/datanommer")
>>> datanommer.models.add({"topic": "org.example.dev.demo.hello", "body": {...}})
Counts(stored=1, duplicates=0, rejected=0)
>>> datanommer.models.Message.from_msg_id("2013-...").msg
>>> total, pages, messages = datanommer.models.Message.grep(users=["ralph"], order="desc")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datanommer.models.database import init
    from datanommer.models.schema import (
        DeclarativeBase,
        Message,
        Package,
        User,
        models,
        pack_assoc_table,
        user_assoc_table,
    )
    from datanommer.models.sessions import maker, session
    from datanommer.models.store import Counts, add, add_all

__version__: str

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

_MODULES = {
    "init": "database",
    "maker": "sessions",
    "session": "sessions",
    "Counts": "store",
    "add": "store",
    "add_all": "store",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the ORM takes longer than all else that a command needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    module = import_module(f"{__name__}.{_MODULES.get(name, 'schema')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
