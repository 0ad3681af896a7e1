"""The numbers of a summary are those of the archive, all of one moment."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import psycopg2.errors
import pytest
import sqlalchemy as sa

from classic import execute
from datanommer.models import add_all, tables, times
from datanommer.models.counting import summary
from datanommer.models.counting.summary import Day, Hour, Name, Reason, Silent, Summary, summarize
from datanommer.models.database.binding import bound_engine
from datanommer.models.errors import InvalidQuery
from datanommer.models.preparing.preparation import prepare
from datanommer.models.storing.batch import Batch, store
from envelopes import envelope

BODHI, BUILD, EDIT = (f"org.example.dev.{name}" for name in ("bodhi.a", "build.b", "wiki.edit"))
NOW = datetime(2026, 11, 29, 16, 2, 44)  # noqa: DTZ001  naive UTC, as in the API
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SECOND = timedelta(seconds=1)


def sent(
    topic: str, ago: timedelta, users: tuple[str, ...] = (), packages: tuple[str, ...] = ()
) -> None:
    """Store a message that was sent so long ago."""
    item: Any = prepare(envelope(topic, timestamp=times.to_epoch(NOW - ago)))
    item.users, item.packages = users, packages
    store(bound_engine(), Batch.of([item]))


def summed_up(since: datetime | None = None) -> Summary:
    return summarize(bound_engine(), since, NOW)


def start_of(day: int) -> datetime:
    """The start of that day of the month."""
    return NOW.replace(day=day, hour=0, minute=0, second=0)


def since_midnight(day: int) -> timedelta:
    """How long ago it was."""
    return NOW - start_of(day)


@pytest.mark.usefixtures("bound")
def test_an_empty_archive_has_no_numbers() -> None:
    found = summed_up()
    assert found.totals == (0, 0, 0, None, None)
    assert (found.first_day, found.last_day) == ((NOW - 365 * DAY).date(), NOW.date())
    lists = [found.days, found.hours, found.topics, found.users, found.packages]
    assert not any([*lists, found.silent, found.reasons, found.rejects, found.messages])


@pytest.mark.usefixtures("bound")
def test_messages_are_counted_by_day_and_category_in_utc() -> None:
    sent(BODHI, since_midnight(28))
    sent(BUILD, since_midnight(28) + SECOND)
    sent(BUILD, since_midnight(27))
    sent(EDIT, 0 * DAY)
    found = summed_up()
    assert found.days == [
        Day(start_of(27).date(), "build", 2),
        Day(start_of(28).date(), "bodhi", 1),
        Day(NOW.date(), "wiki", 1),
    ]
    assert found.messages == 4


@pytest.mark.usefixtures("bound")
def test_days_begin_with_the_first_that_has_a_message() -> None:
    sent(EDIT, 40 * DAY)
    sent(BODHI, 10 * DAY)
    assert summed_up().first_day == (NOW - 40 * DAY).date()
    assert summed_up(NOW - 20 * DAY).first_day == (NOW - 10 * DAY).date()


@pytest.mark.usefixtures("bound")
def test_all_of_the_first_day_counts_and_nothing_before_it_or_after_the_last() -> None:
    for ago in (since_midnight(20) + SECOND, since_midnight(20), since_midnight(30)):
        sent(EDIT, ago, ("ralph",), ("fedmsg",))
    sent(EDIT, since_midnight(30) + SECOND, ("ralph",), ("fedmsg",))
    found = summed_up(start_of(20) + 15 * HOUR)
    assert [day.day.day for day in found.days] == [20, 29]
    assert found.topics == [Name(EDIT, 2)]
    assert found.users == [Name("ralph", 2)]
    assert found.packages == [Name("fedmsg", 2)]
    assert found.totals.messages == 4
    assert found.totals.last_seen == start_of(30)


@pytest.mark.usefixtures("bound")
def test_a_year_counts_unless_somebody_says_since_when() -> None:
    sent(EDIT, 366 * DAY)
    sent(BODHI, 365 * DAY)
    assert summed_up().messages == 1
    assert summed_up(NOW - 400 * DAY).messages == 2


@pytest.mark.usefixtures("bound")
def test_days_that_have_not_begun_are_refused() -> None:
    with pytest.raises(InvalidQuery, match="in the future"):
        summed_up(NOW + SECOND)


@pytest.mark.usefixtures("bound")
def test_the_busiest_come_first_and_ties_by_name() -> None:
    names = [f"name{number:02}" for number in range(summary.BUSIEST + 2)]
    for name in names:
        sent(f"org.example.dev.wiki.{name}", DAY, (name, "all"), (f"{name}-doc", "all"))
    sent(f"org.example.dev.wiki.{names[-1]}", DAY)
    found = summed_up()
    first = summary.BUSIEST - 1
    assert found.users == [Name("all", len(names)), *(Name(name, 1) for name in names[:first])]
    assert found.packages[:2] == [Name("all", len(names)), Name("name00-doc", 1)]
    assert found.topics[0] == Name(f"org.example.dev.wiki.{names[-1]}", 2)
    assert [len(each) for each in (found.topics, found.users, found.packages)] == [10] * 3


@pytest.mark.usefixtures("bound")
def test_hours_are_those_of_today_and_the_six_days_before() -> None:
    for ago in (since_midnight(23) + SECOND, since_midnight(23), 2 * HOUR, 2 * HOUR + SECOND):
        sent(EDIT, ago)
    assert summed_up(NOW - DAY).hours == [
        Hour(start_of(23), 1),
        Hour(start_of(29) + 14 * HOUR, 2),
    ]


@pytest.mark.usefixtures("bound")
def test_a_category_has_fallen_silent_that_was_heard_but_not_for_a_week() -> None:
    sent(BODHI, 30 * DAY)
    sent(BODHI, 7 * DAY + SECOND)
    sent(BUILD, 7 * DAY - SECOND)
    sent(EDIT, 8 * DAY)
    # What is dated in the future does not make up for that.
    sent(EDIT, -8 * DAY)
    sent("org.example.dev.planet.post", 20 * DAY)
    assert summed_up(NOW - 10 * DAY).silent == [
        Silent("bodhi", 1, NOW - 7 * DAY - SECOND),
        Silent("wiki", 1, NOW - 8 * DAY),
    ]


@pytest.mark.usefixtures("bound")
def test_totals_are_of_all_days() -> None:
    sent(BODHI, 4000 * DAY)
    sent(BUILD, DAY)
    sent("org.example.dev.build.c", DAY)
    assert summed_up().totals == (3, 3, 2, NOW - 4000 * DAY, NOW - DAY)


def test_rejects_are_counted_by_reason(bound: str) -> None:
    refused = envelope(i=2**63)
    add_all([refused, refused, envelope(i=2**63), {"topic": BODHI, "body": "no message"}])
    [[reason, newest], [other, _]] = execute(
        bound,
        "SELECT reason, max(received_at) FROM rejected GROUP BY reason ORDER BY sum(seen) DESC",
    )
    found = summed_up()
    assert found.reasons[0] == Reason("invalid", reason, 2, 3, times.naive_utc(newest))
    assert found.reasons[1].reason == other
    assert found.rejects == 3


def test_only_the_most_frequent_reasons_are_told_apart(bound: str) -> None:
    execute(
        bound,
        "INSERT INTO rejected (kind, reason, raw, sha256, seen) "
        "SELECT 'invalid', n, 'x', n::text::bytea, n FROM generate_series(1, 30) n",
    )
    found = summed_up()
    assert [reason.seen for reason in found.reasons] == list(range(30, 10, -1))
    assert found.rejects == 30


def test_sizes_are_those_of_all_tables_the_largest_first(bound: str) -> None:
    execute(bound, "INSERT INTO users SELECT 'user' || n FROM generate_series(1, 20000) n")
    found = summed_up().sizes
    assert found[0].table == "users"
    assert {size.table for size in found} == set(tables.metadata.tables)
    for table, size in found:
        assert execute(bound, f"SELECT pg_total_relation_size('{table}')") == [(size,)]


def test_all_numbers_are_of_one_moment(bound: str) -> None:
    sent(EDIT, DAY, ("ralph",))
    statements: Counter[str] = Counter()

    def meanwhile(*_: object) -> None:
        statements["all"] += 1
        execute(
            bound,
            "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
            "VALUES (%s, 0, 't', 'other', '2026-11-29', '{}')",
            [f"2026-{statements['all']}"],
        )

    sa.event.listen(bound_engine(), "after_cursor_execute", meanwhile)
    try:
        found = summed_up()
    finally:
        sa.event.remove(bound_engine(), "after_cursor_execute", meanwhile)
    assert statements["all"] > 5
    assert len(found.hours) == 1
    assert (found.messages, found.totals.messages, found.topics) == (1, 1, [Name(EDIT, 1)])


@pytest.mark.usefixtures("bound")
def test_nothing_can_be_written_meanwhile() -> None:
    refused = []

    def write(_: sa.Connection, cursor: Any, *_more: object) -> None:
        cursor.execute("SAVEPOINT before")
        try:
            cursor.execute("INSERT INTO users VALUES ('mallory')")
        except psycopg2.errors.ReadOnlySqlTransaction as error:
            refused.append(error)
        cursor.execute("ROLLBACK TO before")

    sa.event.listen(bound_engine(), "before_cursor_execute", write)
    try:
        summed_up()
    finally:
        sa.event.remove(bound_engine(), "before_cursor_execute", write)
    assert refused
