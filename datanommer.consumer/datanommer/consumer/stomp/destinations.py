"""Which destinations a topic of the configuration means, with the wildcards of ActiveMQ.

``*`` stands for one name, and ``>`` at the end for all that follow, if any
(source: https://activemq.apache.org/components/classic/documentation/wildcards).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

_KINDS = re.compile("/(?:topic|queue)/")


def matches(destination: str, topics: Iterable[str]) -> bool:
    """Whether a destination is one of those that are meant.

    Args:
        destination: such as ``/topic/VirtualTopic.eng.brew.build.complete``.
        topics: such as ``VirtualTopic.eng.>``, with ``/topic/`` in front or without; ``*`` alone
            means all.
    """
    return any(_pattern(topic).fullmatch(destination) for topic in topics)


@functools.cache
def _pattern(topic: str) -> re.Pattern[str]:
    if topic == "*":
        return re.compile(".*", re.DOTALL)
    kind = _KINDS.match(topic)
    *names, last = topic[kind.end() if kind else 0 :].split(".")
    parts = [r"[^.]*" if name == "*" else re.escape(name) for name in names]
    if last == ">":
        named = r"\.".join(parts) + r"(?:\..*)?" if parts else ".*"
    else:
        named = r"\.".join([*parts, r"[^.]*" if last == "*" else re.escape(last)])
    return re.compile((re.escape(kind[0]) if kind else f"(?:{_KINDS.pattern})?") + named, re.DOTALL)
