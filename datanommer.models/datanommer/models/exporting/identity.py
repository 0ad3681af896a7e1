"""Which archive a database holds, and whether its ids continue where they were."""

from __future__ import annotations

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.data_set.manifest import Identity, Last
from datanommer.models.database import engine as engines
from datanommer.models.database import timeline
from datanommer.models.database.deadline import Deadline
from datanommer.models.errors import DatanommerError, OnStandby

_SECONDS = 60.0


def identify(engine: sa.Engine) -> Identity:
    """The identity of an archive.

    Raises:
        OnStandby: its server is a standby.
        DatanommerError: it has lost its id; says what to do.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    with engine.connect() as connection:
        archive = connection.scalar(sa.select(tables.archive.c.id))
        is_standby = connection.scalar(sa.select(sa.func.pg_is_in_recovery()))
    if is_standby:
        raise OnStandby(
            f"The database {engines.describe(engine)} is a standby, which does not show who is "
            "writing on its primary: an export could miss messages. Name the primary, or write an "
            "extract from the standby with datanommer-dump."
        )
    if archive is None:
        raise DatanommerError(
            f"The database {engines.describe(engine)} has lost its id: its table archive is empty. "
            "Put the row back from a backup or a manifest: INSERT INTO archive VALUES ('...'). For "
            "a new id, type INSERT INTO archive DEFAULT VALUES."
        )
    return Identity(str(archive), timeline.current(engine, Deadline(_SECONDS)))


def message_at(connection: sa.Connection, row_id: int) -> Last | None:
    """The message with an id, for the manifest; None if there is none."""
    m = tables.messages.c
    msg_id = connection.scalar(sa.select(m.msg_id).where(m.id == row_id))
    return None if msg_id is None else Last(row_id, msg_id)
