"""Names that the archive has, for somebody who types one: in part, or with a typo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.envelopes.category import without_prefix
from datanommer.models.filtering.filters import Filters
from datanommer.models.filtering.topic_pattern import TopicPattern, known_topics

_MOST = 3
#: How many names of users or packages with the same first letter are compared.
_MOST_LOOKED_AT = 20_000
#: How many names of users or packages are offered as completions.
_MOST_OFFERED = 200
#: How alike two names must be, as `difflib` measures it: "ralph" and "raplh" are.
_CUTOFF = 0.7


class Unknown(NamedTuple):
    """A name that no message has.

    Attributes:
        kind: ``category``, ``topic``, ``user`` or ``package``.
        name: what was asked for.
        similar: names that there are, the most similar first.
    """

    kind: str
    name: str
    similar: Sequence[str]


def unknown(connection: sa.Connection, filters: Filters) -> Iterator[Unknown]:
    """The names in filters that the archive does not have.

    Args:
        connection: to the database.
        filters: as they were typed: topics may be patterns.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    topics = known_topics(connection)
    categories = connection.scalars(sa.select(tables.topics.c.category).distinct()).all()
    for name in filters.categories:
        if name not in categories:
            yield Unknown("category", name, _similar(name, categories))
    for name in filters.topics:
        if not any(map(TopicPattern(name).matches, topics)):
            yield Unknown("topic", name, _similar_topics(name, topics))
    for kind, names, table in (
        ("user", filters.users, tables.users),
        ("package", filters.packages, tables.packages),
    ):
        for name in names:
            known = _similar_names(connection, table, name)
            if name not in known:
                yield Unknown(kind, name, known)


def starting_with(connection: sa.Connection, kind: str, start: str) -> list[str]:
    """The names in the archive that begin so, in order; quick, however many messages there are.

    If no topic begins so, topics without the prefix of the bus are tried. If there are too many
    users or packages, none are returned: a part of them would pass for all.

    Args:
        connection: to the database.
        kind: ``topics``, ``categories``, ``users`` or ``packages``.
        start: what is typed of a name; it may be empty.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    if kind in {"users", "packages"}:
        name = tables.metadata.tables[kind].c.name
        query = sa.select(name).where(name.startswith(start, autoescape=True))
        found = list(connection.scalars(query.order_by(name).limit(_MOST_OFFERED + 1)))
        return found if len(found) <= _MOST_OFFERED else []
    if kind == "categories":
        return _starting(connection.scalars(sa.select(tables.topics.c.category).distinct()), start)
    topics = known_topics(connection)
    return _starting(topics, start) or _starting(map(without_prefix, topics), start)


def _starting(names: Iterable[str], start: str) -> list[str]:
    return sorted({name for name in names if name.startswith(start)})


def _similar_topics(name: str, known: Iterable[str]) -> list[str]:
    """Topics that are like the name without the prefix of the bus, which all of them have."""
    short = {without_prefix(topic): topic for topic in known}
    similar = [each for typed in (without_prefix(name), name) for each in _similar(typed, [*short])]
    return [short[each] for each in dict.fromkeys(similar)][:_MOST]


def _similar(name: str, known: Sequence[str]) -> list[str]:
    import difflib  # nearly nothing needs it

    by_case: dict[str, list[str]] = {}
    for each in known:
        by_case.setdefault(each.lower(), []).append(each)
    close = difflib.get_close_matches(name.lower(), by_case, _MOST, _CUTOFF)
    return [each for key in close for each in by_case[key]][:_MOST]


def _similar_names(connection: sa.Connection, table: sa.Table, name: str) -> list[str]:
    """The name itself, or those that are like it."""
    column = table.c.name
    query = (
        sa.select(column)
        .where(sa.func.lower(column).startswith(name[:1].lower(), autoescape=True))
        .order_by(column != name, column)
        .limit(_MOST_LOOKED_AT)
    )
    known = list(connection.scalars(query))
    if name in known[:1]:
        return [name]
    longer = [each for each in known if each.lower().startswith(name.lower())]
    return list(dict.fromkeys([*_similar(name, known), *longer]))[:_MOST]
