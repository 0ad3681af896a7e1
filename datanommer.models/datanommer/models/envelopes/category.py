"""The category of a topic."""

from __future__ import annotations

from functools import lru_cache

#: The category of a topic that has too few parts for one.
UNCLASSIFIED = "Unclassified"


@lru_cache(maxsize=10_000)  # a bus has some hundreds of topics
def categorize(topic: str) -> str:
    """The category of a topic: its fourth part (third, for a VirtualTopic), as always on the bus.

    Scripts send topics of ``logging.stats`` with any prefix or none: their category is ``logging``.
    """
    return without_prefix(topic).partition(".")[0] or UNCLASSIFIED


def without_prefix(topic: str) -> str:
    """The topic from its category on, without the prefix of the bus: ``bodhi.update.comment``.

    It is empty where the topic has no category.
    """
    if "logging.stats." in topic:
        _, found, after = f".{topic}".partition(".logging.stats.")
        if found:
            return f"logging.stats.{after}"
    return ".".join(topic.split(".")[2 if "VirtualTopic" in topic else 3 :])
