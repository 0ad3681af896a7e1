"""The connection of a consumer to the database."""

from __future__ import annotations

import contextlib
import logging
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from datanommer.consumer.failure import explain
from datanommer.models.database import engine as engines
from datanommer.models.database import location, migrations
from datanommer.models.database.deadline import Deadline
from datanommer.models.errors import (
    BehindHead,
    DatabaseUnavailable,
    DatanommerError,
    OnStandby,
)

# Shorter than a consumer may take to end, because nothing can interrupt connecting.
_CONNECT_SECONDS = 3
# For the look at the schema when the consumer starts.
_LOOK_SECONDS = 10.0
# The folders of fedmsg's configuration that others may look into.
_SHARED_FOLDERS = (Path("/etc/fedmsg.d"), Path("fedmsg.d"))


def connect(
    config: Mapping[str, Any], log: logging.Logger
) -> tuple[sa.Engine, DatanommerError | sa.exc.DBAPIError | None]:
    """The engine of the configured database, even if that takes no messages yet.

    Args:
        config: the fedmsg configuration.
        log: gets a line with the name of the database, and one that says why it takes none.

    Returns:
        The engine, and why it takes no messages: it does not answer, is a standby, or has to be
        upgraded.

    Raises:
        UnusableURL: its URL cannot be used.
        DatabaseUnavailable: none is named.
        NotAtHead: its schema is not that of this version, and no upgrade changes that.
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
        create=True,
    )
    if engine.url.password:
        _warn_of_readers(database.url, log)
    try:
        migrations.require_head(engine, Deadline(_LOOK_SECONDS), for_writing=True)
    # Go on all the same, to receive the messages that come meanwhile.
    except BehindHead as error:
        log.warning("%s Messages wait until it is upgraded.", error)
        return engine, error
    except OnStandby as error:
        log.warning("%s Messages wait until it is promoted.", error)
        return engine, error
    except (DatabaseUnavailable, sa.exc.DBAPIError) as error:
        log.warning(
            "The database does not take messages: %s. They wait until it does.",
            explain(error, log),
        )
        return engine, error
    return engine, None


def _warn_of_readers(url: str, log: logging.Logger) -> None:
    """Warn if everybody on this host can read the password of the database."""
    for file in [path for folder in _SHARED_FOLDERS for path in sorted(folder.glob("*.py"))]:
        with contextlib.suppress(OSError):
            if file.stat().st_mode & stat.S_IROTH and url in file.read_text(errors="replace"):
                log.warning(
                    "Everybody on this host can read the database password in %s. Move it from "
                    "the URL into the file that PGPASSFILE names, or "
                    "into ~/.pgpass.",
                    file.absolute(),
                )
