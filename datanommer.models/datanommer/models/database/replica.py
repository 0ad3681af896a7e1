"""A replica of the database, which commands that only read use as long as it works."""

from __future__ import annotations

import sqlalchemy as sa

from datanommer.models.database import engine as engines
from datanommer.models.database import migrations
from datanommer.models.database.deadline import Deadline
from datanommer.models.database.location import Location
from datanommer.models.errors import (
    BehindHead,
    DatabaseUnavailable,
    NotAtHead,
    ReplicaUnavailable,
    UnusableURL,
)

# For connecting, and again for checking the schema. It is short, because the primary can answer
# instead.
_SECONDS = 3


def create_engine(replica: Location) -> sa.Engine:
    """An engine for a replica, with the settings of a command.

    Args:
        replica: as `location.locate` returns it.

    Raises:
        UnusableURL: datanommer cannot use its URL; says where it is set.
    """
    try:
        return engines.create_engine(
            replica.url, settings=engines.COMMAND_TIMEOUTS, connect_timeout=_SECONDS
        )
    except UnusableURL as error:
        raise UnusableURL(f"{error} This is about {replica.source}.") from error


def require_head(engine: sa.Engine) -> None:
    """Make sure that a replica answers, and is at head.

    Args:
        engine: of the replica. It is of no use afterwards if this raises.

    Raises:
        ReplicaUnavailable: it does not answer, or is not at head; says why, on one line.
    """
    try:
        migrations.require_head(engine, Deadline(_SECONDS))
    except (DatabaseUnavailable, NotAtHead, sa.exc.DBAPIError) as error:
        engine.dispose()
        raise ReplicaUnavailable(engines.describe(engine), _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, BehindHead):
        return "It is behind this version of datanommer."
    # Only what the server said. The advice is for those who have no other database.
    refusal = error.__cause__ if type(error) is DatabaseUnavailable else None
    return engines.sentence(refusal or error)
