"""How large an archive is, and how fast it grows."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from datanommer.models.database.inventory import OWN_TABLES

_SIZES = sa.text(
    """
    SELECT pg_database_size(current_database()),
        (SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0)::bigint
         FROM unnest(:names) AS name),
        (SELECT coalesce(sum(messages), 0)::bigint FROM topics)
    """
)
# The days are those of the senders' clocks.
_WEEK = sa.text(
    """
    SELECT coalesce(sum(messages), 0)::bigint FROM topic_days
    WHERE day > (clock_timestamp() AT TIME ZONE 'UTC')::date - 7
        AND day <= (clock_timestamp() AT TIME ZONE 'UTC')::date
    """
)


class Size(NamedTuple):
    """How large an archive is.

    Attributes:
        database: the bytes of the whole database.
        tables: the bytes of datanommer's tables, with their indexes.
        messages: how many messages there are.
        last_week: how many of them were sent today or on one of the six days before (UTC).
    """

    database: int
    tables: int
    messages: int
    last_week: int

    @property
    def bytes_a_message(self) -> int:
        """How many bytes a message takes, with all that belongs to it; 0 if there is none."""
        return self.tables // self.messages if self.messages else 0

    @property
    def growth(self) -> int:
        """By how many bytes a week it grows, if it goes on like this."""
        return self.last_week * self.bytes_a_message


def look(connection: sa.Connection) -> Size:
    """How large an archive is.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    database, tables, messages = connection.execute(_SIZES, {"names": sorted(OWN_TABLES)}).one()
    return Size(database, tables, messages, int(connection.scalar(_WEEK) or 0))
