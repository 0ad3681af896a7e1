"""A processor of ``fedmsg.meta``: every tool of fedmsg shows messages of scripts in words.

fedmsg finds it by the entry point of the group ``fedmsg.meta``. It knows no users and no packages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fedmsg.meta.base import BaseProcessor

from datanommer.models import message_types


class LoggingStatsProcessor(BaseProcessor):  # type: ignore[misc]  # fedmsg has no types
    """Knows the messages of ``logging.stats``, with any prefix of the topic."""

    __name__ = "logging.stats"
    __description__ = "the scripts that sync, merge and count logs"
    __link__ = "https://github.com/fedora-infra/datanommer/"
    __docs__ = "https://github.com/fedora-infra/datanommer/blob/master/docs/logging-stats.rst"
    __obj__ = "Log Processing"
    topic_prefix_re = "any"

    def __init__(self, internationalization_callable: Callable[[str], str], **config: Any) -> None:
        super().__init__(internationalization_callable, **config)
        # Instead of the one prefix that is configured. `handle_msg` is that of fedmsg: it looks at
        # the topic alone, so that whoever asks for each message may remember the answer.
        self.__prefix__ = re.compile(r"^(?:.*?\.)?(logging\.stats)(\.(.*))?$", re.DOTALL)

    def title(self, msg: Mapping[str, Any], **config: Any) -> str:
        """The topic without the prefix of the bus."""
        return message_types.name_of(msg["topic"]) or msg["topic"]

    def subtitle(self, msg: Mapping[str, Any], **config: Any) -> str:
        """The message in words, such as "log01 started to sync logs from proxy01"."""
        return message_types.sentence(self.title(msg), msg.get("msg"))

    def objects(self, msg: Mapping[str, Any], **config: Any) -> set[str]:
        """What was worked on: a host, a date of one, a file."""
        fields = msg.get("msg")
        if not isinstance(fields, dict):
            return set()
        parts = [fields.get("synced_host"), fields.get("log_date")]
        path = "/".join(part for part in parts if isinstance(part, str))
        found = [path, *(fields.get(key) for key in ("file", "logfile", "workfile"))]
        return {each for each in found if isinstance(each, str) and each}
