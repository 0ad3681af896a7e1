"""What comes over AMQP is one message, whichever way it comes, and whatever year is in its id."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from bus import eventually, happens
from datanommer.models import Message, add, session
from datanommer.models.database.binding import bound_engine
from datanommer.models.envelopes.category import categorize
from datanommer.models.envelopes.row import Row
from datanommer.models.preparing import preparation
from datanommer.models.preparing.fedora_messaging import prepare, to_envelope
from datanommer.models.preparing.preparation import Item
from datanommer.models.storing import batch, rows
from datanommer.models.storing.batch import Batch, Counts
from envelopes import bridged, envelope, line

pytestmark = pytest.mark.usefixtures("archive")

NEW_YEARS_EVE = "2020-12-31T23:59:59+00:00"
#: When a bridge puts the year in front, and the year that it puts there.
BRIDGED = [(1609459199, 2020), (1609459200, 2021), (1610000000, 2021)]
OTHER_CONTENT: list[dict[str, Any]] = [{"msg": {"other": 1}}, {"topic": "org.example.other"}]


def ids() -> list[str]:
    session.rollback()
    return [message.msg_id for message in session.query(Message).order_by(Message.id)]


class TestOneMessage:
    def test_has_the_year_of_sent_at_its_time_and_its_headers(self) -> None:
        sent = line("org.fedoraproject.stg.test", sent_at="2021-01-01T00:30:00+01:00")
        store([prepare(sent)])
        stored = Message.from_msg_id(f"2020-{sent['id']}")
        assert stored is not None
        assert stored.timestamp == datetime(2020, 12, 31, 23, 30)  # noqa: DTZ001  naive UTC
        assert stored.headers == sent["headers"]
        assert (stored.topic, stored.category) == ("org.fedoraproject.stg.test", "test")
        assert stored.msg == sent["body"]

    def test_keeps_an_id_that_has_a_year(self) -> None:
        store([prepare(line(id="2019-x"))])
        assert ids() == ["2019-x"]

    @pytest.mark.parametrize(("at", "year"), BRIDGED)
    @pytest.mark.parametrize("is_one_batch", [True, False])
    def test_that_is_bridged_after_it_came_is_a_duplicate(
        self, at: int, year: int, is_one_batch: bool
    ) -> None:
        sent = line(sent_at=NEW_YEARS_EVE)
        items = [prepare(sent), preparation.prepare(bridged(sent, at))]
        assert items[1].msg_id == f"{year}-{sent['id']}"
        assert store_all(items, is_one_batch) == Counts(stored=1, duplicates=1)
        assert ids() == [f"2020-{sent['id']}"]

    @pytest.mark.parametrize(("at", "year"), BRIDGED)
    @pytest.mark.parametrize("is_one_batch", [True, False])
    def test_that_was_bridged_before_it_comes_is_a_duplicate(
        self, at: int, year: int, is_one_batch: bool
    ) -> None:
        sent = line(sent_at=NEW_YEARS_EVE)
        items = [preparation.prepare(bridged(sent, at)), prepare(sent)]
        assert store_all(items, is_one_batch) == Counts(stored=1, duplicates=1)
        assert ids() == [f"{year}-{sent['id']}"]

    def test_is_one_without_headers_too(self) -> None:
        sent = {"topic": "org.example.dev.demo", "body": {"n": 1}, "id": str(uuid.uuid4())}
        this_year = datetime.now().astimezone().year
        store([prepare(sent)])
        late = bridged(sent, int(datetime(this_year + 1, 1, 15).timestamp()))  # noqa: DTZ001
        assert add(late).duplicates == 1

    def test_comes_out_of_a_dump_as_one_that_may_be_bridged(self) -> None:
        sent = line(sent_at=NEW_YEARS_EVE)
        body = to_envelope(sent)["body"]
        assert add(bridged(sent, 1609459200)).stored == 1
        assert add({"topic": body["topic"], "body": body}).duplicates == 1

    @pytest.mark.parametrize("other", OTHER_CONTENT)
    def test_of_other_content_is_another(self, other: dict[str, Any]) -> None:
        sent = line(sent_at=NEW_YEARS_EVE)
        another = bridged(sent, 1609459200)
        another["body"].update(other)
        another["topic"] = another["body"]["topic"]
        store([prepare(sent)])
        assert add(another).stored == 1
        assert ids() == [f"2020-{sent['id']}", f"2021-{sent['id']}"]

    def test_that_fedmsg_sent_is_looked_for_under_its_own_id_alone(self) -> None:
        sent = envelope(msg_id="2020-x")
        again = envelope(sent["topic"], msg=sent["body"]["msg"], msg_id="2021-x")
        assert [add(sent).stored, add(again).stored] == [1, 1]

    def test_that_a_bridge_brings_from_fedmsg_to_amqp_is_what_fedmsg_sent(self) -> None:
        sent = envelope()
        over_amqp = line(sent["topic"], id=sent["body"]["msg_id"], body=sent["body"])
        store([prepare(over_amqp)])
        assert add(sent).duplicates == 1
        (stored,) = session.query(Message)
        assert stored.body == sent["body"]
        assert stored.headers == over_amqp["headers"]


def store(items: list[Item]) -> Counts:
    return batch.store(bound_engine(), Batch.of(items))


def store_all(items: list[Item], is_one_batch: bool) -> Counts:
    if is_one_batch:
        return store(items)
    return Counts().plus(store(items[:1])).plus(store(items[1:]))


class TestTwoWriters:
    @pytest.mark.parametrize("bridge_is_first", [True, False])
    def test_of_one_message_under_two_years_wait_for_each_other(
        self, bridge_is_first: bool
    ) -> None:
        sent = line(sent_at=NEW_YEARS_EVE)
        first, second = prepare(sent), preparation.prepare(bridged(sent, 1609459200))
        if bridge_is_first:
            first, second = second, first
        counts: list[Counts] = []
        writer = threading.Thread(target=lambda: counts.append(store([second])))
        with bound_engine().begin() as connection:
            assert isinstance(first, Row)
            rows.insert(connection, [first])
            writer.start()
            eventually(one_waits_for_a_lock, "the second writer to wait")
            assert not happens(lambda: counts, 0.1)
        writer.join()
        assert counts == [Counts(duplicates=1)]
        assert ids() == [first.msg_id]

    def test_of_batches_in_any_order_neither_deadlock_nor_store_twice(self) -> None:
        sent = [line(sent_at=NEW_YEARS_EVE) for _ in range(300)]
        over_amqp = [prepare(each) for each in sent]
        over_fedmsg = [preparation.prepare(bridged(each, 1609459200)) for each in reversed(sent)]
        counts: list[Counts] = []
        barrier = threading.Barrier(2)
        writers = [
            threading.Thread(target=write_batches, args=(items, barrier, counts.append))
            for items in (over_amqp, over_fedmsg)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sum(each.stored for each in counts) == len(sent)
        assert sum(each.duplicates for each in counts) == len(sent)
        assert {msg_id[5:] for msg_id in ids()} == {each["id"] for each in sent}


def write_batches(
    items: list[Item], barrier: threading.Barrier, note: Callable[[Counts], None]
) -> None:
    barrier.wait()
    for start in range(0, len(items), 30):
        note(store(items[start : start + 30]))


def one_waits_for_a_lock() -> bool:
    with bound_engine().connect() as connection:
        return bool(
            connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).scalar()
        )


@pytest.mark.parametrize(
    ("topic", "category"),
    [
        ("org.fedoraproject.stg.logging.stats.sync.start", "logging"),
        ("org.fedoraproject.stg.test", "test"),
        ("logging.stats.sync.start", "logging"),
        ("logging.stats.debug", "logging"),
        ("org.example.logging.stats.sync.host.start", "logging"),
        ("org.example.dev.catalogging.stats.sync", "catalogging"),
        ("org.example.dev.demo.logging", "demo"),
        ("logging.statistics.x.y", "y"),
    ],
)
def test_the_category_of_logging_stats_is_logging_with_any_prefix(
    topic: str, category: str
) -> None:
    assert categorize(topic) == category
