"""The timeline of a database, which shows whether another one has taken its place."""

from __future__ import annotations

import sqlalchemy as sa

from datanommer.models.database.deadline import Deadline, within

# A promoted standby writes to the files of a new timeline at once; what pg_control_checkpoint()
# says of it is as old as its last checkpoint. (Source: PostgreSQL 15, "Timelines", and tried.)
#
# A dump that is restored on the same server makes new tables, and no server gives out an OID twice
# before four billion others. VACUUM FULL and pg_repack keep it.
_QUERY = sa.text(
    "SELECT concat_ws('/', system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8), "
    "coalesce(to_regclass('messages')::oid, 0)) FROM pg_control_system()"
)


def current(engine: sa.Engine, deadline: Deadline) -> str:
    """What changes with a failover or a restore, such as ``7321.../00000001/16412``.

    The system identifier of the server, its timeline, and the OID of the table ``messages`` (0
    where there is none). Any role may ask for it.

    Args:
        engine: of the database.
        deadline: for the query.

    Raises:
        sqlalchemy.exc.DBAPIError: the server does not answer, or is a standby.
    """
    with engine.connect() as connection, within(deadline, connection):
        return str(connection.scalar(_QUERY))
