"""How many messages there are, of what, and of whom."""

from __future__ import annotations

from datetime import datetime

import pytest

from datanommer.models import counts
from datanommer.models.counting.counts import CategoryCount, TopicCount
from datanommer.models.database.binding import bound_engine
from datanommer.models.errors import InvalidQuery
from datanommer.models.preparing.preparation import prepare
from datanommer.models.storing.batch import Batch, store
from envelopes import envelope

BODHI, WIKI, EDIT = (
    "org.example.dev.bodhi.a",
    "org.example.dev.wiki.b",
    "org.example.dev.wiki.edit",
)


def at(second: int) -> datetime:
    return datetime(1970, 1, 1, 0, 0, second)  # noqa: DTZ001  naive UTC


@pytest.fixture(autouse=True)
def _five(archive: str) -> None:  # noqa: ARG001  they are put into it
    for second, (topic, users) in enumerate(
        [(BODHI, "ab"), (WIKI, "a"), (EDIT, "a"), (WIKI, ""), (WIKI, "a")]
    ):
        item = prepare(envelope(topic, timestamp=second))
        item.users = tuple(users)  # type: ignore[union-attr]
        store(bound_engine(), Batch.of([item]))


def test_topics_have_counts_and_times() -> None:
    assert counts.topics() == [
        TopicCount("bodhi", BODHI, 1, at(0), at(0)),
        TopicCount("wiki", WIKI, 3, at(1), at(4)),
        TopicCount("wiki", EDIT, 1, at(2), at(2)),
    ]
    assert [each.topic for each in counts.topics(category="bodhi")] == [BODHI]
    assert counts.topics(category="none") == []


def test_categories_have_counts_and_times() -> None:
    assert counts.categories() == [
        CategoryCount("bodhi", 1, at(0), at(0)),
        CategoryCount("wiki", 4, at(1), at(4)),
    ]


def test_messages_of_each_topic_are_counted() -> None:
    assert list(counts.by_topic().items()) == [(WIKI, 3), (BODHI, 1), (EDIT, 1)]
    assert counts.by_topic(users=["a"]) == {WIKI: 2, BODHI: 1, EDIT: 1}
    assert counts.by_topic(users=["a", "b"], categories=["bodhi"]) == {BODHI: 1}
    assert counts.by_topic(users=["nobody"]) == {}


def test_messages_of_each_user_are_counted() -> None:
    assert list(counts.by_user().items()) == [("a", 4), ("b", 1)]
    assert counts.by_user(limit=1) == {"a": 4}
    assert counts.by_user(topics=[BODHI]) == {"a": 1, "b": 1}
    assert counts.by_user(start=1, not_topics=[EDIT]) == {"a": 2}
    for wrong in (-1, True, "1", 2**63):
        with pytest.raises(InvalidQuery, match="how many to return"):
            counts.by_user(limit=wrong)  # type: ignore[arg-type]


def test_a_category_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="category is 5"):
        counts.topics(category=5)  # type: ignore[arg-type]
