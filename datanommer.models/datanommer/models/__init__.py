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
    from datanommer.models.archive import add, add_all, init
    from datanommer.models.classes import DeclarativeBase, Package, User
    from datanommer.models.counting import counts
    from datanommer.models.database.session import maker, session
    from datanommer.models.message import (
        Message,
        models,
        pack_assoc_table,
        user_assoc_table,
    )
    from datanommer.models.storing.batch import Counts

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
    "counts",
    "init",
    "maker",
    "models",
    "pack_assoc_table",
    "session",
    "user_assoc_table",
]

_MODULES = {
    "Counts": "storing.batch",
    "DeclarativeBase": "classes",
    "Package": "classes",
    "User": "classes",
    "add": "archive",
    "add_all": "archive",
    "counts": "counting.counts",
    "init": "archive",
    "maker": "database.session",
    "session": "database.session",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: the ORM takes longer than all else that a command imports."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    module = import_module(f"{__name__}.{_MODULES.get(name, 'message')}")
    value = globals()[name] = module if name == "counts" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
