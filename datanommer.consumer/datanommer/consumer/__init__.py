"""Stores the messages of the bus: as a plug-in of fedmsg-hub, or a callback of fedora-messaging.

fedmsg-hub finds `Nommer` by itself. The fedmsg configuration switches it on::

    config = {
        "datanommer.enabled": True,
        "datanommer.sqlalchemy.url": "postgresql://datanommer@db.example.com/datanommer",
    }

``fedora-messaging consume --callback=datanommer.consumer:Callback`` stores the messages that
come over AMQP. It needs the extra ``datanommer.consumer[amqp]``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datanommer.consumer.amqp.callback import Callback
    from datanommer.consumer.hub_consumer import Nommer

__version__: str

__all__ = ["Callback", "Nommer", "__version__"]

_MODULES = {"Callback": "amqp.callback", "Nommer": "hub_consumer"}


def __getattr__(name: str) -> Any:
    """`Callback` or `Nommer`, imported when it is first used.

    One of their libraries may be missing, and each chooses a reactor of Twisted on import.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
