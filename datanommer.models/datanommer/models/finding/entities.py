"""Messages as objects of the API, with their users and packages.

SQLAlchemy would ask for users, then for packages, and join the messages again each time. That was
half the time of a page. Here, one query asks for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm.attributes import set_committed_value

from datanommer.models import tables
from datanommer.models.database.session import Session

_Entity = TypeVar("_Entity")

# How many messages one query asks for, as SQLAlchemy does it.
_AT_ONCE = 500
_NAMES = sa.text("""
    SELECT msg, name AS "user", NULL AS package FROM user_messages WHERE msg = ANY(:ids)
    UNION ALL SELECT msg, NULL, name FROM package_messages WHERE msg = ANY(:ids)
    ORDER BY "user", package
""").columns(tables.user_messages.c.msg, tables.users.c.name, tables.packages.c.name)


def load(session: Session, query: orm.Query[_Entity], entity: type[_Entity]) -> list[_Entity]:
    """All messages of a query.

    Args:
        session: what to ask the database with.
        query: of messages.
        entity: their class.
    """
    kinds = [getattr(entity, name) for name in ("users", "packages")]
    messages = query.options(*map(orm.lazyload, kinds)).all()
    for start in range(0, len(messages), _AT_ONCE):
        _load_names(session, messages[start : start + _AT_ONCE], kinds)
    return messages


def _load_names(session: Session, messages: Sequence[Any], kinds: Sequence[Any]) -> None:
    of_message: dict[int, tuple[list[Any], ...]] = {
        message.id: tuple([] for _ in kinds) for message in messages
    }
    query = sa.select(tables.user_messages.c.msg, *(kind.entity for kind in kinds))
    for msg, *named in session.execute(query.from_statement(_NAMES), {"ids": list(of_message)}):
        for name, names in zip(named, of_message[msg], strict=True):
            if name is not None:
                names.append(name)
    for message in messages:
        for kind, names in zip(kinds, of_message[message.id], strict=True):
            set_committed_value(message, kind.key, names)
