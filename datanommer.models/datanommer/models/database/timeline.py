"""The timeline of a server, by which one that has taken over is recognised."""

from __future__ import annotations

import sqlalchemy as sa

from datanommer.models.database.deadline import Deadline, within

# A promoted standby writes to the files of a new timeline at once; what pg_control_checkpoint()
# says of it is as old as its last checkpoint. (Source: PostgreSQL 15, "Timelines", and tried.)
_QUERY = sa.text(
    "SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) "
    "FROM pg_control_system()"
)


def current(engine: sa.Engine, deadline: Deadline) -> str:
    """The system identifier of the server and its timeline, as ``7321.../00000001``.

    Any role may ask for it.

    Args:
        engine: of a database on it.
        deadline: of the question.

    Raises:
        sqlalchemy.exc.DBAPIError: the server does not answer, or is a standby.
    """
    with engine.connect() as connection, within(deadline, connection):
        return str(connection.scalar(_QUERY))
