"""Pages by key: each message once, none missed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest

import many
from datanommer.models import Message, add, add_all, session
from datanommer.models.database.binding import bound_engine
from datanommer.models.errors import InvalidQuery, NotSettled
from datanommer.models.finding import arrival
from datanommer.models.finding.pages import Page
from datanommer.models.preparing.preparation import prepare
from datanommer.models.storing import inserts
from datanommer.models.storing.batch import Batch, store
from envelopes import envelope
from many import put_many

RARE = "org.example.dev.rare.one"
INSERT = (
    "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
    "VALUES (%s, 0, 't', 'c', '2013-02-18', '1')"
)


@pytest.fixture(autouse=True)
def _twelve(archive: str) -> None:  # noqa: ARG001  they are put into it
    """Twelve messages in three seconds, every fourth of a rare topic and of ralph."""
    for number in range(12):
        topic = RARE if number % 4 == 0 else "org.example.dev.demo.hello"
        item = prepare(envelope(topic, msg_id=f"{number:02}", timestamp=1000 + number // 4))
        item.users = ("ralph", "toshio") if number % 4 == 0 else ()  # type: ignore[union-attr]
        store(bound_engine(), Batch.of([item]))


def read(**asked: Any) -> list[list[str]]:
    """The pages, until one is empty."""
    found = []
    page = Message.page(rows_per_page=5, **asked)
    while page.messages:
        found.append([message.msg_id for message in page.messages])
        page = Message.page(rows_per_page=5, after=page.after, **asked)
    return found


@pytest.mark.parametrize("by", ["time", "id"])
def test_together_they_have_each_message_once(by: str) -> None:
    everything = [f"{number:02}" for number in range(12)]
    for order, expected in (("asc", everything), ("desc", everything[::-1])):
        found = read(by=by, order=order)
        assert [len(page) for page in found] == [5, 5, 2]
        assert [name for page in found for name in page] == expected


@pytest.mark.parametrize("by", ["time", "id"])
@pytest.mark.parametrize("are_many", [False, True])
def test_filters_hold_on_every_page(archive: str, by: str, are_many: bool) -> None:
    few: dict[str, Any] = {"by": by}
    if are_many:
        put_many(archive, RARE, datetime.fromtimestamp(1002, UTC), ("ralph", "toshio"))
        few["not_users"] = [many.USER]
    expected = [["00", "04", "08"]]
    assert read(**few, users=["ralph", "toshio"]) == expected
    assert read(**few, topics=[RARE], users=["ralph"]) == expected
    assert read(**few, topics=[RARE], order="desc") == [["08", "04", "00"]]
    assert read(**few, start=1001, categories=["rare"]) == [["04", "08"]]
    assert read(**few, topics=["none"]) == []


@pytest.mark.parametrize("by", ["time", "id"])
def test_a_message_says_where_to_go_on_as_well(by: str) -> None:
    first = Message.page(by=by, rows_per_page=5)
    assert Message.page(by=by, after=first.messages[-1]) == Message.page(by=by, after=first.after)


@pytest.mark.parametrize("by", ["time", "id"])
def test_users_and_packages_are_those_that_each_message_has_by_itself(by: str) -> None:
    items = [prepare(envelope(msg_id=f"many-{number:04}")) for number in range(1100)]
    for number, item in enumerate(items):
        item.users = tuple(f"user{n}" for n in range(number % 4))  # type: ignore[union-attr]
        item.packages = tuple(f"package{n}" for n in range(number % 3))  # type: ignore[union-attr]
    store(bound_engine(), Batch.of(items))
    session.expunge_all()
    page = Message.page(by=by, rows_per_page=2000)
    names = {
        message.msg_id: [[each.name for each in kind] for kind in (message.users, message.packages)]
        for message in page.messages
    }
    assert len(names) == 1112
    session.expunge_all()
    assert names == {
        message.msg_id: [[each.name for each in kind] for kind in (message.users, message.packages)]
        for message in Message.query
    }


@pytest.mark.parametrize("by", ["time", "id"])
def test_who_has_read_all_can_ask_again_later(by: str) -> None:
    last = Message.page(by=by)
    waiting = Message.page(by=by, after=last.after)
    assert waiting == Page([], last.after)
    add(envelope(msg_id="new", timestamp=2000))
    session.rollback()
    assert [message.msg_id for message in Message.page(by=by, after=waiting.after).messages] == [
        "new"
    ]


def test_what_arrives_late_is_missed_by_time_and_found_by_id() -> None:
    by_time, by_id = Message.page(), Message.page(by="id")
    add(envelope(msg_id="late", timestamp=1000))
    session.rollback()
    assert Message.page(after=by_time.after).messages == []
    (late,) = Message.page(by="id", after=by_id.after).messages
    assert late.msg_id == "late"


def test_nothing_at_all_is_an_empty_page_without_an_after() -> None:
    assert Message.page(topics=["none"]) == Page([], None)
    assert Message.page(topics=["none"], by="id") == Page([], None)


class TestWritersThatOvertake:
    """Ids are drawn in one order, and come to light in another."""

    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_by_id_waits_for_who_drew_a_lower_one(self, archive: str, order: str) -> None:
        slow = psycopg2.connect(archive)
        slow.cursor().execute(INSERT, ["slow"])
        add(envelope(msg_id="fast", timestamp=3000))
        ending = threading.Timer(0.5, slow.commit)
        ending.start()
        found = [message.msg_id for message in Message.page(by="id", order=order).messages]
        ending.join()
        slow.close()
        if order == "desc":
            found.reverse()
        assert found[-2:] == ["slow", "fast"]

    def test_a_batch_counts_from_before_it_draws_its_ids(self, archive: str) -> None:
        # What inserts.py does first, before a row of it can be seen.
        slow = psycopg2.connect(archive)
        inserts._draw_ids(slow.cursor(), [])
        try:
            assert arrival._writers(session())
        finally:
            slow.close()

    def test_it_does_not_wait_for_ever(self, archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(arrival, "_PATIENCE", 0.05)
        slow = psycopg2.connect(archive)
        slow.cursor().execute(INSERT, ["slow"])
        try:
            with pytest.raises(NotSettled, match="pg_stat_activity"):
                Message.page(by="id")
            assert len(Message.page(order="desc").messages) == 12
        finally:
            slow.close()

    def test_many_writers_and_a_reader_miss_nothing(self) -> None:
        seen: list[int] = []
        done = threading.Event()

        def follow() -> None:
            after = None
            while True:
                is_last = done.is_set()
                page = Message.page(by="id", after=after, rows_per_page=50)
                session.rollback()
                after = page.after
                seen.extend(message.id for message in page.messages)
                if is_last and not page.messages:
                    session.remove()
                    return

        def write(writer: int) -> None:
            for batch in range(10):
                add_all([envelope(msg_id=f"{writer}-{batch}-{n}") for n in range(1 + 20 * writer)])

        reader = threading.Thread(target=follow)
        writers = [threading.Thread(target=write, args=[writer]) for writer in range(3)]
        for thread in (reader, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        reader.join()
        assert len(seen) == len(set(seen)) == Message.count() == 12 + 10 * (1 + 21 + 41)


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"after": "yesterday"}, "of a page"),
        ({"after": "5"}, "in the same order"),
        ({"after": "999999999999999999-1"}, "in the same order"),
        ({"after": "1-2", "by": "id"}, "in the same order"),
        ({"by": "topic"}, "'id'"),
        ({"order": "up"}, "'desc'"),
        ({"rows_per_page": 0}, "how many"),
        ({"rows_per_page": None}, "is None"),
        ({"rows_per_page": 2**31}, "up to 2147483647"),
        ({"end": 5}, "without start"),
    ],
)
def test_what_makes_no_sense_is_told(wrong: dict[str, Any], advice: str) -> None:
    with pytest.raises(InvalidQuery, match=advice):
        Message.page(**wrong)
