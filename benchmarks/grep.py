"""Message.grep and its pages, beside the classic way."""

from __future__ import annotations

import contextlib
import random
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import sqlalchemy as sa

from benchmarks.generator import CATEGORIES, FIRST, LAST, robot_of
from benchmarks.measure import (
    Figure,
    alternate,
    leave_out_of_garbage_collection,
    percentile,
    seconds,
)
from benchmarks.setting import Setting, bound
from datanommer.models import Message, session

Filters = dict[str, Any]

_PAGE = 100
_REPEATED = 100
_FAR_PAGE = 1_000
_LIMIT = 50  # ms
# Filters that have a counter, or find few messages, must be counted within the limit.
_COUNTED = {"topics", "categories"}
_FEW = 300_000
_END = datetime.fromtimestamp(LAST, UTC).replace(tzinfo=None)
_TWO_MONTHS = {"start": _END - timedelta(days=90), "end": _END - timedelta(days=30)}
# What a program without objects would ask for.
_BARE_PAGES = {
    "a topic": "messages m WHERE m.topic = %s ORDER BY m.timestamp DESC, m.id DESC",
    "a category": "messages m WHERE m.category = %s ORDER BY m.timestamp DESC, m.id DESC",
    "a user": "user_messages u JOIN messages m ON m.id = u.msg WHERE u.name = %s "
    "ORDER BY u.timestamp DESC, u.msg DESC",
}
_BARE_PAGE = """
    SELECT m.*, c.body FROM (SELECT m.* FROM {found} LIMIT {size}) m
    LEFT JOIN certificates c ON c.id = m.certificate_id
"""
_BARE_NAMES = """
    SELECT msg, name, true FROM user_messages WHERE msg = ANY(%(ids)s)
    UNION ALL SELECT msg, name, false FROM package_messages WHERE msg = ANY(%(ids)s)
"""


def newest(setting: Setting) -> Iterator[Figure]:
    """The newest hundred messages that filters fit, and page 1000 by keyset: p99."""
    with bound(setting.filled) as connection:
        for what, make in questions(setting).items():
            choice = random.Random(what)
            first = _times(lambda: _page(make(choice)))  # noqa: B023  called in this turn
            bare = seconds(lambda: _classic_page(connection, make(choice)))  # noqa: B023
            yield Figure(
                f"page 1, {what}, p99",
                *(percentile(first, 99) * 1e3, "ms", "the classic way", bare * 1e3),
                limit=_LIMIT,
            )
            filters = make(random.Random(what))
            after = _at(connection, filters, (_FAR_PAGE - 1) * _PAGE)
            if after is None:
                continue
            far = _times(lambda: _page(filters, after))  # noqa: B023
            yield Figure(
                f"page {_FAR_PAGE:,}, {what}, p99", percentile(far, 99) * 1e3, "ms", limit=_LIMIT
            )


def pages(setting: Setting) -> Iterator[Figure]:
    """A page of messages with their users and packages, over a bare fetch of the same."""
    with (
        bound(setting.filled),
        contextlib.closing(psycopg2.connect(setting.filled)) as connection,
        connection.cursor() as cursor,
    ):
        for what, found in _BARE_PAGES.items():
            make = questions(setting)[what]
            times = alternate(
                setting.rounds,
                {
                    "ours": _median(
                        make, lambda filters: [_names(each) for each in _page(filters)]
                    ),
                    "bare": _median(make, lambda filters: _bare_page(cursor, found, filters)),  # noqa: B023
                },
            )
            peer = "psycopg2 without objects"
            yield Figure(
                f"page 1 with all names, {what}",
                *(times["ours"] * 1e3, "ms", peer, times["bare"] * 1e3),
                at_most=2,
            )


def totals(setting: Setting) -> Iterator[Figure]:
    """The exact total of filters, beside a bare count(*) of the same."""
    with bound(setting.filled) as connection:
        for what, make in {"all": lambda _: {}, **questions(setting)}.items():
            filters = make(random.Random(what))
            times = _times(lambda: Message.count(**filters))  # noqa: B023
            count = where(sa.select(sa.func.count(Message.id)), filters)
            bare = seconds(lambda: connection.execute(count).all())  # noqa: B023
            is_limited = filters.keys() <= _COUNTED or Message.count(**filters) < _FEW
            yield Figure(
                f"total, {what}, p99",
                *(percentile(times, 99) * 1e3, "ms", "count(*)", bare * 1e3),
                limit=_LIMIT if is_limited else None,
            )


def contains(setting: Setting) -> Iterator[Figure]:
    """A text that hardly any message has: of a day, and of everything."""
    needle = "no message says this"
    day = {"start": _END - timedelta(days=2), "end": _END - timedelta(days=1)}
    with bound(setting.filled):
        for what, filters in (("a day", day), ("everything", {})):
            took = seconds(lambda: Message.grep(contains=[needle], **filters))  # noqa: B023
            share = timedelta(days=1) / timedelta(seconds=LAST - FIRST) if filters else 1
            yield Figure(f"contains, {what}", setting.messages * share / took, "messages/s")


def questions(setting: Setting) -> dict[str, Callable[[random.Random], Filters]]:
    """What is asked, each with filters drawn by lot.

    Args:
        setting: with the filled database that is asked.
    """
    topics, busiest, rare = setting.bus.topics, CATEGORIES[:6], CATEGORIES[-20:]
    robots = [robot_of(category) for category in busiest]
    users = [f"user{number}" for number in range(200)]
    return {
        "all": lambda _: {},
        "a topic": lambda choice: {"topics": [choice.choice(topics)]},
        "a category": lambda choice: {"categories": [choice.choice(CATEGORIES)]},
        "a user": lambda choice: {"users": [choice.choice([*users, *robots])]},
        "a package": lambda choice: {"packages": [choice.choice(setting.bus.packages[:500])]},
        "user and category": lambda choice: {
            "users": [choice.choice(users)],
            "categories": [choice.choice(CATEGORIES)],
        },
        "common user and rare category": lambda choice: {
            "users": [choice.choice(users[:3])],
            "categories": [choice.choice(rare)],
        },
        # A robot is only ever in its own category.
        "common user and common category, never both": lambda _: {
            "users": [robots[0]],
            "categories": [busiest[1]],
        },
        "NOT a common user": lambda choice: {"not_users": [choice.choice(robots)]},
        "NOT a common user, in its category": lambda _: {
            "not_users": [robots[0]],
            "categories": [busiest[0]],
        },
        "a rare topic": lambda _: {"topics": [topics[-1]]},
        "an absent topic": lambda _: {"topics": ["org.fedoraproject.prod.none"]},
        "60 days": lambda _: {**_TWO_MONTHS},
        "60 days of user and category": lambda choice: {
            **_TWO_MONTHS,
            "users": [choice.choice(users)],
            "categories": [choice.choice(CATEGORIES)],
        },
    }


def _times(ask: Callable[[], object]) -> list[float]:
    leave_out_of_garbage_collection()
    times = []
    for _ in range(_REPEATED):
        times.append(seconds(ask))
        session.remove()  # or SQLAlchemy would remember the messages
    return times


def _median(
    make: Callable[[random.Random], Filters], ask: Callable[[Filters], object]
) -> Callable[[], float]:
    """A function that asks several times, and returns the median in seconds.

    What it asks for is drawn by lot, the same each time it is called.
    """

    def median() -> float:
        choice = random.Random(0)
        return statistics.median(_times(lambda: ask(make(choice))))

    return median


def _names(message: Message) -> tuple[list[str], list[str]]:
    users, packages = message.users, message.packages
    return [user.name for user in users], [package.name for package in packages]


def _bare_page(cursor: psycopg2.extensions.cursor, found: str, filters: Filters) -> None:
    [[name]] = filters.values()
    cursor.execute(_BARE_PAGE.format(found=found, size=_PAGE), [name])
    rows = cursor.fetchall()
    cursor.execute(_BARE_NAMES, {"ids": [row[0] for row in rows]})
    cursor.fetchall()
    cursor.connection.rollback()


def _page(filters: Filters, after: Message | None = None) -> list[Message]:
    found = Message.page(after=after, order="desc", rows_per_page=_PAGE, **filters)
    return list(found.messages)


def _at(connection: sa.Connection, filters: Filters, offset: int) -> Message | None:
    query = where(sa.select(Message.id), filters)
    query = query.order_by(Message.timestamp.desc(), Message.id.desc()).offset(offset).limit(1)
    found = connection.scalar(query)
    return None if found is None else session.get(Message, found)


def _classic_page(connection: sa.Connection, filters: Filters) -> None:
    """An exact count, and then a page, on today's indexes."""
    connection.execute(where(sa.select(sa.func.count(Message.id)), filters)).all()
    query = where(sa.select(Message.__table__), filters)
    connection.execute(query.order_by(Message.timestamp.desc()).limit(_PAGE)).all()


def where(query: Any, filters: Filters) -> Any:
    """The query with the classic conditions: EXISTS for users and packages.

    Args:
        query: of messages.
        filters: arguments of `datanommer.models.Message.grep`.
    """
    if "start" in filters:
        query = query.where(Message.timestamp.between(filters["start"], filters["end"]))
    for name, column in (("topics", Message.topic), ("categories", Message.category)):
        if name in filters:
            query = query.where(column.in_(filters[name]))
    for name, related in (("users", Message.users), ("packages", Message.packages)):
        if name in filters:
            query = query.where(related.any(name=filters[name][0]))
    if "not_users" in filters:
        query = query.where(~Message.users.any(name=filters["not_users"][0]))
    return query
