"""The plug-in for fedmsg-hub that stores the messages of the bus.

fedmsg-hub finds `Nommer` by itself. It is switched on in the fedmsg configuration::

    config = {
        "datanommer.enabled": True,
        "datanommer.sqlalchemy.url": "postgresql://datanommer@db.example.com/datanommer",
    }
"""

from datanommer.consumer.nommer import Nommer

__version__ = "2.0.0"

__all__ = ["Nommer", "__version__"]
