"""A processor for ``fedmsg.meta``, so that every tool of fedmsg shows script messages as sentences.

fedmsg finds it by the entry point in the group ``fedmsg.meta``. It extracts no users and no
packages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fedmsg.meta.base import BaseProcessor

from datanommer.models.logging_stats import message_types


class LoggingStatsProcessor(BaseProcessor):  # type: ignore[misc]  # fedmsg has no types
    """Handles the messages of ``logging.stats``, whatever prefix their topic has."""

    __name__ = "logging.stats"
    __description__ = "the scripts that sync, merge and count logs"
    __link__ = "https://github.com/fedora-infra/datanommer/"
    __docs__ = "https://github.com/fedora-infra/datanommer/blob/master/docs/logging-stats.rst"
    __obj__ = "Log Processing"
    topic_prefix_re = "any"

    def __init__(self, internationalization_callable: Callable[[str], str], **config: Any) -> None:
        super().__init__(internationalization_callable, **config)
        # This replaces fedmsg's expression, which matches only the configured prefix. `handle_msg`
        # stays fedmsg's own: it depends on the topic alone, so callers may cache its result.
        self.__prefix__ = re.compile(r"^(?:.*?\.)?(logging\.stats)(\.(.*))?$", re.DOTALL)

    def title(self, msg: Mapping[str, Any], **config: Any) -> str:
        """The topic without the prefix of the bus."""
        return message_types.name_of(msg["topic"]) or msg["topic"]

    def subtitle(self, msg: Mapping[str, Any], **config: Any) -> str:
        """The message as a sentence, such as "log01 started to sync logs from proxy01"."""
        return message_types.sentence(self.title(msg), msg.get("msg"))

    def objects(self, msg: Mapping[str, Any], **config: Any) -> set[str]:
        """The paths of what the script worked on: a host, a date of a host, a file."""
        fields = msg.get("msg")
        if not isinstance(fields, dict):
            return set()
        parts = [fields.get("synced_host"), fields.get("log_date")]
        path = "/".join(part for part in parts if isinstance(part, str))
        candidates = [path, *(fields.get(key) for key in ("file", "logfile", "workfile"))]
        return {each for each in candidates if isinstance(each, str) and each}
