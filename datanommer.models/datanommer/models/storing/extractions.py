"""What applications take out of messages, into tables of their own.

An application on the archive names its extraction by an entry point of the group `GROUP`. Storing
calls each in the transaction of the batch, and reindexing calls each for messages of the past.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from datanommer.models.envelopes.row import Row

#: The group of entry points.
GROUP = "datanommer.models.extractions"

#: Stored rows, each with the id that it has in `messages`.
Stored = Sequence[tuple[int, Row]]


class Extraction(Protocol):
    """What an entry point names: a module with these two functions will do.

    Both run in the transaction that stores the messages, so an error of theirs fails the batch.
    """

    def insert(self, cursor: Any, stored: Stored, /) -> None:
        """Extract what there is from new messages, of any topic.

        Args:
            cursor: of psycopg2.
            stored: the messages.
        """

    def renew(self, cursor: Any, stored: Stored, /) -> set[int]:
        """Bring up to date what was extracted from stored messages.

        Returns:
            The ids of the messages for which something changed.
        """


@functools.cache
def installed() -> tuple[Extraction, ...]:
    """The extractions of all installed applications."""
    return tuple(each.load() for each in sorted(entry_points(group=GROUP)))
