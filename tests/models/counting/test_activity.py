"""Messages counted by what they have in common, by counters or one by one: the same numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from classic import execute
from databases import Databases
from datanommer.models import Message, counts, init, session
from datanommer.models.counting import activity, spans
from datanommer.models.counting.activity import KEYS, SPANS, Count, count_by
from datanommer.models.database.binding import bound_engine
from datanommer.models.filtering.content import FieldValue
from datanommer.models.filtering.filters import Filters

START = datetime(2012, 12, 30, 23, 59, 59, 999999, UTC)
STEP = timedelta(seconds=731)
#: More than are ever looked up one by one.
NUMBER = 12_000
EDIT, UPLOAD, COMMENT = (
    "org.example.dev.wiki.article.edit",
    "org.example.dev.wiki.upload.complete",
    "org.example.dev.bodhi.update.comment",
)
TOPICS = (EDIT, UPLOAD, COMMENT)
#: Every 5th message concerns two users, and tells who did it; every 1,000th concerns a package.
FILL = """
    INSERT INTO messages (msg_id, i, username, agent, topic, category, timestamp, msg)
    SELECT n::text, 0, CASE WHEN n %% 7 > 0 THEN 'apache' END, CASE WHEN n %% 5 = 0 THEN 'u0' END,
        (%(topics)s)[n %% 3 + 1], (ARRAY['wiki', 'wiki', 'bodhi'])[n %% 3 + 1],
        %(start)s + n * %(step)s, json_build_object('n', n, 'text', 'the number ' || n %% 10)
    FROM generate_series(0, %(number)s - 1) AS n;
    INSERT INTO users VALUES ('u0'), ('u1'), ('both');
    INSERT INTO packages VALUES ('nethack');
    INSERT INTO user_messages (name, timestamp, category, msg)
    SELECT 'u' || msg_id::int %% 2, timestamp, category, id FROM messages
    UNION ALL SELECT 'both', timestamp, category, id FROM messages WHERE msg_id::int %% 5 = 0;
    INSERT INTO package_messages (name, timestamp, category, msg)
    SELECT 'nethack', timestamp, category, id FROM messages WHERE msg_id::int %% 1000 = 0;
    ANALYZE;
"""


class Sent(NamedTuple):
    """A message, as this module knows it.

    Attributes:
        keys: what counts it, by what is counted: its one topic, its users, its day and so on.
    """

    n: int
    sent: datetime
    keys: dict[str, list[Any]]


def nth(n: int) -> Sent:
    """A message that `FILL` makes."""
    topic, moment = TOPICS[n % 3], START + n * STEP
    keys: dict[str, list[Any]] = {
        "topic": [topic],
        "category": [topic.split(".")[3]],
        "user": [f"u{n % 2}", *(["both"] if n % 5 == 0 else [])],
        "package": ["nethack"] if n % 1000 == 0 else [],
        "agent": ["u0"] if n % 5 == 0 else ["apache"] if n % 7 else [],
    }
    times = {key: [spans.start_of(key, moment.replace(tzinfo=None))] for key in SPANS}
    return Sent(n, moment, keys | times)


ALL = [nth(n) for n in range(NUMBER)]


@pytest.fixture(scope="module")
def _stored(databases_of_server: Databases, _head_template: str) -> Iterator[str]:
    name = databases_of_server.create(template=_head_template)
    url = databases_of_server.url(name)
    values = {"topics": list(TOPICS), "start": START, "step": STEP, "number": NUMBER}
    execute(url, FILL, values)
    yield url
    databases_of_server.drop(name)


@pytest.fixture
def engine(_stored: str) -> Iterator[sa.Engine]:
    """An archive with all of them, for tests that only read."""
    init(_stored)
    yield bound_engine()
    session.remove()
    bound_engine().dispose()


def is_asked_for(message: Sent, filters: Filters) -> bool:
    """Whether a message passes the filters, so far as this module has some."""
    of = {
        "topics": message.keys["topic"],
        "categories": message.keys["category"],
        "users": message.keys["user"],
        "packages": message.keys["package"],
        "agents": message.keys["agent"],
    }
    return (
        (filters.since is None or message.sent >= filters.since)
        and (filters.before is None or message.sent <= filters.before)
        and all(not (names := getattr(filters, f)) or set(names) & set(of[f]) for f in of)
        and not any(set(getattr(filters, f"not_{f}")) & set(of[f]) for f in of)
        and all(needle in f"the number {message.n % 10}" for needle in filters.contains)
        and all(str(message.n) == field.value for field in filters.field_values)
    )


def expected(key: str, filters: Filters) -> dict[Any, Count]:
    """What `count_by` is to return, by key."""
    numbers: Counter[Any] = Counter()
    seen: dict[Any, list[datetime]] = {}
    for message in ALL:
        if is_asked_for(message, filters):
            for each in message.keys[key]:
                numbers[each] += 1
                seen.setdefault(each, []).append(message.sent.replace(tzinfo=None))
    return {key: Count(key, numbers[key], min(seen[key]), max(seen[key])) for key in numbers}


def day(number: int, **more: int) -> datetime:
    return datetime(2013, 1, 1, tzinfo=UTC) + timedelta(days=number, **more)


LAST_MOMENT = -1  # microsecond
FILTERS: list[dict[str, Any]] = [
    {},
    {"categories": ["wiki"]},
    {"not_categories": ["wiki"]},
    {"topics": [EDIT, COMMENT], "categories": ["wiki"]},
    {"not_topics": [EDIT]},
    {"categories": ["none"]},
    {"since": day(0)},
    {"since": day(3), "before": day(5, microseconds=LAST_MOMENT)},
    {"since": day(3, hours=7), "before": day(60, minutes=1)},
    {"since": day(3, microseconds=1), "before": day(4), "topics": [EDIT]},
    {"since": day(3, hours=1), "before": day(3, hours=9)},
    {"before": day(2, hours=5), "not_topics": [UPLOAD]},
    {"since": datetime(1, 1, 1, tzinfo=UTC), "before": datetime.max.replace(tzinfo=UTC)},
    {"users": ["both"]},
    {"users": ["u0", "both"]},
    {"users": ["u1"], "since": day(7, hours=3), "categories": ["bodhi"]},
    {"not_users": ["both"]},
    {"packages": ["nethack"]},
    {"agents": ["u0"]},
    {"agents": ["apache", "nobody"], "since": day(40)},
    {"not_agents": ["apache"]},
    {"packages": ["nethack"], "users": ["u0"]},
    {"contains": ["number 7"]},
    {"contains": ["number 7"], "topics": [EDIT], "since": day(20)},
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("filters", FILTERS)
def test_each_message_is_counted_once_where_it_belongs(
    engine: sa.Engine, key: str, filters: dict[str, Any]
) -> None:
    wanted = Filters.of_options(**filters)
    right = expected(key, wanted)
    found = count_by(engine, key, wanted, seen=True)
    assert {count.key: count for count in found} == right
    numbers = {count.key: count.messages for count in count_by(engine, key, wanted)}
    assert numbers == {key: count.messages for key, count in right.items()}
    assert list(numbers) == [count.key for count in found]


@pytest.mark.parametrize("key", KEYS)
def test_a_value_inside_the_messages_is_looked_for_in_each(engine: sa.Engine, key: str) -> None:
    wanted = Filters.of_options(field_values=[FieldValue.parse("n=5000")])
    found = count_by(engine, key, wanted, seen=True)
    assert {count.key: count for count in found} == expected(key, wanted)


def test_values_inside_the_messages_are_added_up_over_all_that_have_them(engine: sa.Engine) -> None:
    texts = [FieldValue.parse(f"text=the number {n}") for n in range(10)]
    wanted = Filters.of_options(field_values=texts)
    found = count_by(engine, "topic", wanted, seen=True)
    assert {count.key: count for count in found} == expected("topic", Filters())


@pytest.mark.parametrize("filters", [each for each in FILTERS if each])
def test_totals_are_the_same_as_all_that_is_counted(
    engine: sa.Engine, filters: dict[str, Any]
) -> None:
    by_day = sum(count.messages for count in count_by(engine, "day", Filters.of_options(**filters)))
    asked = {"start": filters.pop("since", day(-9000)), "end": filters.pop("before", None)}
    assert Message.count(**asked, **filters) == by_day


def test_names_come_by_number_and_times_in_their_order(engine: sa.Engine) -> None:
    filters = Filters()
    assert [count.key for count in count_by(engine, "user", filters)] == ["u0", "u1", "both"]
    assert [count.key for count in count_by(engine, "user", filters, limit=1)] == ["u0"]
    days = [count.key for count in count_by(engine, "day", filters)]
    assert days == sorted(days)
    busiest = count_by(engine, "day", filters, limit=5)
    assert [count.messages for count in busiest] == [119, 119, 119, 119, 119]
    assert [count.key for count in busiest] == sorted(count.key for count in busiest)
    months = count_by(engine, "month", filters, limit=3)
    numbers = [count.messages for count in months]
    assert numbers == sorted(numbers, reverse=True)
    assert months != sorted(months, key=lambda count: count.key)


def test_the_categories_of_topics(engine: sa.Engine) -> None:
    assert activity.categories_of_topics(engine) == {
        EDIT: "wiki",
        UPLOAD: "wiki",
        COMMENT: "bodhi",
    }


@pytest.mark.usefixtures("engine")
def test_programs_count_by_a_key_as_well() -> None:
    assert counts.by("category") == {"wiki": 8000, "bodhi": 4000}
    first = datetime(2013, 1, 1)  # noqa: DTZ001  naive UTC
    assert counts.by("month", users=["both"], start=first, limit=1) == {first: 733}


def naive(number: int, hour: int = 0) -> datetime:
    return datetime(2013, 2, number, hour)  # noqa: DTZ001  naive UTC


NOW = datetime(2013, 2, 7, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filters", "days"),
    [
        ({}, range(3, 6)),
        ({"since": datetime(2013, 2, 2, 9, tzinfo=UTC)}, range(2, 8)),
        ({"before": datetime(2013, 2, 6, 9, tzinfo=UTC)}, range(3, 7)),
        ({"before": datetime(9999, 1, 1, tzinfo=UTC)}, range(3, 8)),
    ],
)
def test_days_without_a_message_have_a_nought(filters: dict[str, Any], days: range) -> None:
    found = [Count(naive(3), 5), Count(naive(5), 7)]
    complete = spans.without_gaps("day", found, Filters(**filters), NOW)
    assert [count.key for count in complete] == [naive(number) for number in days]
    assert sum(count.messages for count in complete) == 12


@pytest.mark.parametrize(
    ("span", "starts"),
    [
        ("hour", [(2012, 12, 31, 23), (2013, 1, 1, 0), (2013, 1, 1, 1)]),
        ("week", [(2012, 12, 24), (2012, 12, 31), (2013, 1, 7)]),
        ("month", [(2012, 12, 1), (2013, 1, 1), (2013, 2, 1)]),
        ("month", [(9999, 10, 1), (9999, 11, 1), (9999, 12, 1)]),
    ],
)
def test_spans_follow_each_other(span: str, starts: list[tuple[int, ...]]) -> None:
    moments = [datetime(*start) for start in starts]  # type: ignore[arg-type]  # noqa: DTZ001
    found = [Count(moments[0], 1), Count(moments[-1], 1)]
    complete = spans.without_gaps(span, found, Filters(), NOW)
    assert [count.key for count in complete] == moments


def test_nothing_has_no_gaps() -> None:
    assert spans.without_gaps("day", [], Filters(since=NOW), NOW) == []
