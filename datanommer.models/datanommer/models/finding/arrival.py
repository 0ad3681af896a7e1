"""The order of arrival, which is that of the ids: read so that no message is missed.

That takes some care. PostgreSQL gives out ids one after the other, but the transactions that
use them commit in any order. A reader could see message 12, remember 12, and never see message 11,
whose transaction commits a moment later. So each writer takes a lock on `messages` *before* it
draws an id. A reader first notes the highest id that it can see, then looks who holds that lock,
and waits until those writers have ended. Every id up to the noted one is then visible or will never
be: whoever comes later draws a higher one. The page ends there, and a batch takes milliseconds.

A standby shows no locks of its primary, so there is no telling on it who is still writing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.errors import NotSettled, OnStandby

if TYPE_CHECKING:
    # The commands have a connection, and do without the ORM, which starts slowly.
    from datanommer.models.database.session import Session

_PATIENCE = 10.0  # seconds; a batch is written in far less
_PAUSE = 0.01  # seconds


def settled(session: Session | sa.Connection) -> int:
    """The id up to which no further message can appear; see this module's docstring.

    Raises:
        NotSettled: a writer does not end.
        OnStandby: the database is a standby.
    """
    highest_id = sa.func.coalesce(sa.func.max(tables.messages.c.id), 0)
    last, is_standby = session.execute(sa.select(highest_id, sa.func.pg_is_in_recovery())).one()
    if is_standby:
        raise OnStandby(
            "On a standby, messages cannot be read in the order of their ids without missing some: "
            "it does not show who is writing on the primary. Ask the primary, or read them in the "
            "order of time."
        )
    writers = _writers(session)
    until = time.monotonic() + _PATIENCE
    while writers:
        if time.monotonic() > until:
            raise NotSettled(
                f"A transaction has been writing messages for over {_PATIENCE:.0f} seconds, and "
                "until it ends, their order is open. Try again; if it stays, look for it in "
                "pg_stat_activity (state `idle in transaction`)."
            )
        time.sleep(_PAUSE)
        writers &= _writers(session)
    return int(last)


def _writers(session: Session | sa.Connection) -> set[str]:
    transactions = session.scalars(
        sa.text(
            "SELECT virtualtransaction FROM pg_locks WHERE mode = 'RowExclusiveLock' AND granted "
            "AND relation = 'messages'::regclass AND pid <> pg_backend_pid() "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    )
    return set(transactions)
