"""Filters as predicates of SQL: the one way from filters into a query.

To read or count all messages that match, PostgreSQL is left to choose how to look up what is not
in an index. To read the first few, each index entry on the way is looked up by itself (`fenced`).
Otherwise the planner turns that around where it misjudges how many will match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.envelopes import identity
from datanommer.models.filtering import content
from datanommer.models.filtering.content import FieldValue
from datanommer.models.filtering.filters import Filters
from datanommer.models.tables import NaiveUTC

Predicate = sa.ColumnElement[bool]

#: The filters that name users or packages, and the tables that tie those to messages.
ASSOCIATIONS = {"users": tables.user_messages, "packages": tables.package_messages}
_DIALECT = sa.URL.create("postgresql+psycopg2").get_dialect()()
# What may come before a match in JSON of json.dumps: whole characters and whole escapes.
_WHOLE_CHARACTERS = r"^([^\\]|\\u[0-9a-f]{4}|\\[^u])*"


class Entry(NamedTuple):
    """The columns of an index entry that leads to a message.

    Attributes:
        message: the table `messages`, or an alias of it; None where the entry is of an association.
    """

    id: Any
    timestamp: Any
    category: Any
    message: Any = None

    @classmethod
    def of_message(cls, message: sa.FromClause) -> Entry:
        """The entry of a message.

        Args:
            message: the table `messages`, or an alias of it.
        """
        return cls(message.c.id, message.c.timestamp, message.c.category, message)

    @classmethod
    def of_association(cls, association: sa.FromClause) -> Entry:
        """The entry of an association of messages with users or packages."""
        return cls(association.c.msg, association.c.timestamp, association.c.category)


def of(filters: Filters, entry: Entry, *, fenced: bool = False) -> list[Predicate]:
    """The predicates for an index entry, and for the message that it leads to."""
    predicates = _of_columns(filters, entry)
    if entry.message is not None:
        predicates += _of_message(filters, entry.message)
    else:
        m = tables.messages.alias()
        if of_message := _of_message(filters, m):
            is_message = sa.select(m.c.id).where(m.c.id == entry.id, *of_message)
            predicates.append(_exists(is_message, fenced=fenced))
    for name, table in ASSOCIATIONS.items():
        if names := getattr(filters, name):
            predicates.append(_exists(_named(table, names, entry), fenced=fenced))
        if not_names := getattr(filters, f"not_{name}"):
            predicates.append(~_exists(_named(table, not_names, entry), fenced=fenced))
    return predicates


def in_time(filters: Filters, column: sa.ColumnElement[Any]) -> list[Predicate]:
    """The predicates of `since` and `before` for a column of times."""
    predicates: list[Predicate] = []
    if filters.since is not None:
        predicates.append(column >= sa.literal(filters.since, NaiveUTC))
    if filters.before is not None:
        predicates.append(column <= sa.literal(filters.before, NaiveUTC))
    return predicates


def as_sql(filters: Filters, alias: str) -> tuple[str, dict[str, Any]]:
    """The predicates as text, for SQL that SQLAlchemy cannot write, such as COPY.

    Args:
        filters: which messages.
        alias: what the SQL calls the table `messages`.

    Returns:
        A boolean expression with the parameters of psycopg2, and their values.
    """
    entry = Entry.of_message(tables.messages.alias(alias))
    compiled = sa.and_(sa.true(), *of(filters, entry)).compile(
        dialect=_DIALECT,
        compile_kwargs={"render_postcompile": True},
    )
    return str(compiled), dict(compiled.params)


def _of_columns(filters: Filters, entry: Entry) -> list[Predicate]:
    predicates = in_time(filters, entry.timestamp)
    if filters.categories:
        predicates.append(entry.category.in_(filters.categories))
    if filters.not_categories:
        predicates.append(entry.category.not_in(filters.not_categories))
    return predicates


def _of_message(filters: Filters, message: sa.FromClause) -> list[Predicate]:
    predicates: list[Predicate] = []
    if filters.msg_id is not None:
        predicates.append(message.c.msg_id.in_(identity.known_as(filters.msg_id)))
    if filters.topics:
        predicates.append(message.c.topic.in_(filters.topics))
    if filters.not_topics:
        predicates.append(message.c.topic.not_in(filters.not_topics))
    if filters.agents:
        predicates.append(tables.agent_of(message).in_(filters.agents))
    if filters.not_agents:
        agent = tables.agent_of(message)
        predicates.append(sa.or_(agent.is_(None), agent.not_in(filters.not_agents)))
    if filters.contains:
        predicates.append(sa.or_(*(_contains(message, needle) for needle in filters.contains)))
    predicates += [~_contains(message, needle) for needle in filters.not_contains]
    predicates += [_may_match(message, same) for same in content.by_path(filters.field_values)]
    return predicates


def _contains(message: sa.FromClause, needle: str) -> Predicate:
    text = sa.cast(message.c.msg, sa.Text)
    # First the quick test, which the index of contains.sql can answer. Then, for the few that are
    # left, that the text does not begin within an escape: `\nothing` holds no "nothing".
    return sa.and_(
        text.contains(needle, autoescape=True),
        text.regexp_match(_WHOLE_CHARACTERS + re.escape(needle)),
    )


def _may_match(message: sa.FromClause, fields: Iterable[FieldValue]) -> Predicate:
    """Whether the JSON has the texts of one of the fields, which most that do not match lack."""
    text = sa.cast(message.c.msg, sa.Text)
    return sa.or_(
        *(
            sa.and_(sa.true(), *(text.contains(each, autoescape=True) for each in field.needles))
            for field in fields
        )
    )


def _named(table: sa.Table, names: tuple[str, ...], entry: Entry) -> sa.Select[Any]:
    a = table.alias()
    # The time is that of the message. With it, the primary key answers.
    return sa.select(a.c.msg).where(
        a.c.name.in_(names), a.c.timestamp == entry.timestamp, a.c.msg == entry.id
    )


def _exists(query: sa.Select[Any], *, fenced: bool) -> Predicate:
    # PostgreSQL makes no join of a subquery with an OFFSET: it asks it row by row.
    return (query.offset(0) if fenced else query).exists()
