"""Filters as conditions of SQL, for the entries of an index.

To read or count all that match, PostgreSQL is left to choose how to look at what is not in the
index. To read the first few, each entry on the way is looked at by itself (`fenced`): the planner
must not turn that around, as it does where it misjudges how many will match.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models.filters import Filters
from datanommer.models.schema import Message, NaiveUTC, pack_assoc_table, user_assoc_table

Condition = sa.ColumnElement[bool]

#: The filters that name users or packages, and where those are.
ASSOCIATIONS = {"users": user_assoc_table, "packages": pack_assoc_table}
# All before some character of JSON, as json.dumps writes it: whole characters and whole escapes.
_WHOLE_CHARACTERS = r"^([^\\]|\\u[0-9a-f]{4}|\\[^u])*"


class Entry(NamedTuple):
    """The columns of an index that every way through the messages has.

    Attributes:
        message: what else there is to a message; None where the entry is of an association.
    """

    id: Any
    timestamp: Any
    category: Any
    message: Any = None

    @classmethod
    def of_message(cls, message: Any) -> Entry:
        """The entry of a message, or of an alias of it."""
        return cls(message.id, message.timestamp, message.category, message)

    @classmethod
    def of_association(cls, association: Any) -> Entry:
        """The entry of an association of messages with users or packages."""
        return cls(association.c.msg, association.c.timestamp, association.c.category)


def of(filters: Filters, entry: Entry, *, fenced: bool = False) -> list[Condition]:
    """What an entry, and what belongs to it, must fulfil."""
    asked = _of_columns(filters, entry)
    if entry.message is not None:
        asked += _of_message(filters, entry.message)
    else:
        m = orm.aliased(Message)
        if of_message := _of_message(filters, m):
            is_message = sa.select(m.id).where(m.id == entry.id, *of_message)
            asked.append(_exists(is_message, fenced=fenced))
    for naming, table in ASSOCIATIONS.items():
        if names := getattr(filters, naming):
            asked.append(_exists(_named(table, names, entry), fenced=fenced))
        if not_names := getattr(filters, f"not_{naming}"):
            asked.append(~_exists(_named(table, not_names, entry), fenced=fenced))
    return asked


def _of_columns(filters: Filters, entry: Entry) -> list[Condition]:
    asked: list[Condition] = []
    if filters.start is not None:
        asked.append(entry.timestamp >= sa.literal(filters.start, NaiveUTC))
    if filters.end is not None:
        asked.append(entry.timestamp <= sa.literal(filters.end, NaiveUTC))
    if filters.categories:
        asked.append(entry.category.in_(filters.categories))
    if filters.not_categories:
        asked.append(entry.category.not_in(filters.not_categories))
    return asked


def _of_message(filters: Filters, message: Any) -> list[Condition]:
    asked: list[Condition] = []
    if filters.msg_id is not None:
        asked.append(message.msg_id == filters.msg_id)
    if filters.topics:
        asked.append(message.topic.in_(filters.topics))
    if filters.not_topics:
        asked.append(message.topic.not_in(filters.not_topics))
    if filters.agents:
        asked.append(message.username.in_(filters.agents))
    if filters.not_agents:
        is_another = message.username.not_in(filters.not_agents)
        asked.append(sa.or_(message.username.is_(None), is_another))
    if filters.contains:
        asked.append(sa.or_(*(_contains(message, needle) for needle in filters.contains)))
    return asked


def _contains(message: Any, needle: str) -> Condition:
    text = sa.cast(message.msg, sa.Text)
    # First what is quick, and what the index for it knows. Then, for the few that are left, that
    # it does not begin within an escape: `\nothing` holds no "nothing".
    return sa.and_(
        text.contains(needle, autoescape=True),
        text.regexp_match(_WHOLE_CHARACTERS + re.escape(needle)),
    )


def _named(table: sa.Table, names: tuple[str, ...], entry: Entry) -> sa.Select[Any]:
    a = table.alias()
    # The time is that of the message: with it, the primary key answers.
    return sa.select(a.c.msg).where(
        a.c.name.in_(names), a.c.timestamp == entry.timestamp, a.c.msg == entry.id
    )


def _exists(query: sa.Select[Any], *, fenced: bool) -> Condition:
    # PostgreSQL makes no join of a subquery with an OFFSET: it asks it row by row.
    return (query.offset(0) if fenced else query).exists()
