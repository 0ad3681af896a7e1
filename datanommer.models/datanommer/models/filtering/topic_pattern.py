"""Patterns of topics, as AMQP has them: ``*`` is one part of a topic, ``#`` any number of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.envelopes.category import without_prefix
from datanommer.models.filtering.filters import Filters


class TopicPattern:
    """A topic or a pattern of topics, with or without the prefix of the bus.

    Args:
        text: such as ``org.fedoraproject.*.bodhi.#`` or ``bodhi.update.comment``.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = text.split(".")

    def matches(self, topic: str) -> bool:
        """Whether a topic is meant."""
        names = (topic, without_prefix(topic))
        return any(self._fits(name.split(".")) for name in names if name)

    def _fits(self, words: Sequence[str]) -> bool:
        # The parts that may come next. So no pattern takes longer than its parts times the words.
        reached = self._past_hashes({0})
        for word in words:
            fitting = {index for index in reached if self._part_fits(index, word)}
            reached = self._past_hashes(
                {index if self._parts[index] == "#" else index + 1 for index in fitting}
            )
        return len(self._parts) in reached

    def _part_fits(self, index: int, word: str) -> bool:
        return index < len(self._parts) and self._parts[index] in {"#", "*", word}

    def _past_hashes(self, reached: set[int]) -> set[int]:
        """The same, and what comes after each ``#``, which may be nothing."""
        for index, part in enumerate(self._parts):
            if part == "#" and index in reached:
                reached.add(index + 1)
        return reached


def resolve(connection: sa.Connection, filters: Filters) -> Filters:
    """The filters with the topics of the archive in place of patterns.

    A pattern that matches no topic stays as it is, and matches no message.

    Args:
        connection: to the database.
        filters: `topics` and `not_topics` are in the form that `TopicPattern` takes.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    if not filters.topics and not filters.not_topics:
        return filters
    known = known_topics(connection)
    return replace(
        filters,
        topics=_meant(filters.topics, known),
        not_topics=_meant(filters.not_topics, known),
    )


def known_topics(connection: sa.Connection) -> Sequence[str]:
    """The topics that some message has, each once."""
    return connection.scalars(sa.select(tables.topics.c.topic).distinct()).all()


def _meant(patterns: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern in map(TopicPattern, patterns):
        meant = [topic for topic in known if pattern.matches(topic)]
        found.update(dict.fromkeys(meant or [pattern.text]))
    return tuple(found)
