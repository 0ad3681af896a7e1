"""The category of a topic."""

from __future__ import annotations

#: What stands where a topic has too few parts to have a category.
UNCLASSIFIED = "Unclassified"


def categorize(topic: str) -> str:
    """The category of a topic: its fourth part (third, for a VirtualTopic), as ever on the bus.

    Scripts send topics of ``logging.stats`` with any prefix or none: their category is ``logging``.
    """
    if "logging.stats." in topic and ".logging.stats." in f".{topic}":
        return "logging"
    parts = topic.split(".")
    index = 2 if "VirtualTopic" in topic else 3
    return (parts[index] if len(parts) > index else "") or UNCLASSIFIED
