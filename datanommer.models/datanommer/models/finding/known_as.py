"""Messages by their id, in any form in which people know it."""

from __future__ import annotations

import re
import uuid
from urllib.parse import parse_qs, urlsplit

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.envelopes import identity
from datanommer.models.filtering.filters import text

_ROW_ID = re.compile("[0-9]{1,18}")
_WITH_YEAR = re.compile(r"([0-9]{4})-(.+)", re.DOTALL)
#: A search of the index for each, whatever the planner thinks of so many.
_FIND = sa.text(
    "SELECT m.id FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS name (msg_id, position) "
    "CROSS JOIN LATERAL (SELECT id FROM messages WHERE msg_id = name.msg_id LIMIT 1) m "
    "ORDER BY name.position"
)


def find(connection: sa.Connection, name: str) -> list[int]:
    """The row ids of the messages that somebody may mean; nearly always one or none.

    Args:
        connection: to the database.
        name: the id, with or without a year in front. It may also be the address of a page of
            datagrepper that shows the message, or the id of its row.

    Raises:
        InvalidQuery: it is no text that the archive can hold.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    wanted = text("id", _without_address(name.strip()))
    if found := _find(connection, [wanted]):
        return found
    if _ROW_ID.fullmatch(wanted):
        m = tables.messages
        return list(connection.scalars(sa.select(m.c.id).where(m.c.id == int(wanted))))
    if match := _WITH_YEAR.fullmatch(wanted):
        # Whoever put the year in front may have had a clock that was a little off.
        year, bare = int(match[1]), _canonical(match[2])
        near = [f"{each:04}-{bare}" for each in range(year - 1, year + 2)]
        return _find(connection, [bare, *near])
    return _find(connection, identity.known_as(_canonical(wanted)))


def _find(connection: sa.Connection, names: list[str]) -> list[int]:
    return list(connection.scalars(_FIND, {"names": names}))


def _without_address(name: str) -> str:
    """The id in the address of a page; anything else as it is."""
    if not name.startswith(("https://", "http://")):
        return name
    try:
        address = urlsplit(name)
    except ValueError:
        return name
    return parse_qs(address.query).get("id", [address.path.rstrip("/").rpartition("/")[2]])[0]


def _canonical(name: str) -> str:
    """A UUID as the archive has it: in lower case, with its hyphens."""
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return name
