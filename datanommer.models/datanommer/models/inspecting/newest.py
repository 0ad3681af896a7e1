"""When the archive last stored a message, by its own clock: of any category, and of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from datanommer.models import times

# Read through JSON, because the column last_stored does not exist before the last migration.
_CATEGORIES = sa.text(
    """
    SELECT category, sum(messages)::bigint, max(last_seen),
        max((to_jsonb(topics) ->> 'last_stored')::timestamptz)
    FROM topics GROUP BY category ORDER BY category
    """
)
_NEWEST = sa.text(
    "SELECT clock_timestamp(), (SELECT stored_at FROM messages ORDER BY id DESC LIMIT 1)"
)


class Category(NamedTuple):
    """A category.

    Attributes:
        name: its name.
        messages: how many messages it has.
        last_seen: the latest timestamp of its messages (naive, in UTC).
        last_stored: when one of them was stored last (naive, in UTC); None if nobody knows.
        age: how long ago that was.
    """

    name: str
    messages: int
    last_seen: datetime
    last_stored: datetime | None
    age: timedelta | None


class Newest(NamedTuple):
    """The newest messages.

    Attributes:
        stored_at: when the last one was stored (naive, in UTC); None if nobody knows.
        age: how long ago that was.
        categories: by name.
    """

    stored_at: datetime | None
    age: timedelta | None
    categories: Sequence[Category]

    def age_of(self, category: str | None) -> timedelta | None:
        """How long ago a message was stored: of a category, or in all; None if nobody knows."""
        if category is None:
            return self.age
        return next((each.age for each in self.categories if each.name == category), None)

    def has(self, category: str | None) -> bool:
        """Whether there is a message: of a category, or at all."""
        return any(category in {None, each.name} for each in self.categories)


def look(connection: sa.Connection) -> Newest:
    """The newest messages.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    now: datetime
    now, newest = connection.execute(_NEWEST).one()

    def age(moment: datetime | None) -> timedelta | None:
        return None if moment is None else now - moment

    def naive(moment: datetime | None) -> datetime | None:
        return moment and times.naive_utc(moment)

    categories = [
        Category(name, messages, times.naive_utc(seen), naive(stored), age(stored))
        for name, messages, seen, stored in connection.execute(_CATEGORIES)
    ]
    return Newest(naive(newest), age(newest), categories)
