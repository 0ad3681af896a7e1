"""The connection of a consumer to the database."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from datanommer.models.database import engine as engines
from datanommer.models.database import location, migrations
from datanommer.models.database.deadline import Deadline
from datanommer.models.errors import DatabaseUnavailable

# Less than a consumer may take to end, because nothing can interrupt a new connection.
_CONNECT_SECONDS = 3
# For the look at the schema when the consumer starts.
_LOOK_SECONDS = 10.0


def connect(config: Mapping[str, Any], log: logging.Logger) -> sa.Engine:
    """The engine of the configured database, even if that does not answer yet.

    Args:
        config: the fedmsg configuration.
        log: gets a line with the name of the database.

    Raises:
        ConfigurationError: its URL cannot be used.
        DatabaseUnavailable: none is named.
        NotAtHead: its schema is not that of this version.
    """
    database = location.locate(config=config)
    log.info(
        "datanommer writes to %s, named by %s.", location.describe(database.url), database.source
    )
    engine = engines.create_engine(
        database.url,
        settings=engines.CONSUMER_TIMEOUTS,
        connect_timeout=_CONNECT_SECONDS,
        # No deadline applies to a ping, and what fails is tried again in any case.
        pre_ping=False,
    )
    try:
        migrations.require_head(engine, Deadline(_LOOK_SECONDS))
    except (DatabaseUnavailable, sa.exc.DBAPIError) as error:
        # No reason to miss the messages that come meanwhile.
        log.warning(
            "The database does not answer: %s. Messages wait until it does.",
            engines.reason(error),
        )
    return engine
