"""The connection of a consumer to the database."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

import datanommer.models
from datanommer.models import database, migrations
from datanommer.models.deadline import Deadline
from datanommer.models.errors import DatabaseUnavailable

#: Less than a consumer may take to end, because nothing can interrupt it.
_CONNECT_SECONDS = 3
#: For the first look at the database.
_FIRST_SECONDS = 10.0


def bind(config: Mapping[str, Any], log: logging.Logger) -> sa.Engine:
    """Bind the models to the database that is configured; one that does not answer yet will do.

    Args:
        config: the fedmsg configuration.
        log: where to say which database it is.

    Raises:
        ConfigurationError: its URL cannot be used.
        DatabaseUnavailable: none is named.
        NotAtHead: it has another schema.
    """
    location = database.locate(config=config)
    log.info(
        "datanommer writes to %s, named by %s.", database.describe(location.url), location.source
    )
    engine = database.create_engine(
        location.url,
        settings=database.CONSUMER_TIMEOUTS,
        connect_timeout=_CONNECT_SECONDS,
        # Deadlines do not reach a ping; what fails is tried again anyhow.
        pre_ping=False,
    )
    try:
        migrations.require_head(engine, Deadline(_FIRST_SECONDS))
    except (DatabaseUnavailable, sa.exc.DBAPIError) as error:
        # Not a reason to miss what comes meanwhile.
        log.warning(
            "The database does not answer: %s. Messages wait until it does.",
            database.reason(error),
        )
    datanommer.models.init(engine=engine)
    return engine
