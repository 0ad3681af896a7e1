"""The archive that a process is bound to: `init` names it, `add` and `add_all` store into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from datanommer.models.database import binding, migrations
from datanommer.models.database.engine import create_engine
from datanommer.models.database.location import locate
from datanommer.models.preparing.preparation import prepare
from datanommer.models.storing.batch import Batch, Counts, store


def init(
    uri: str | None = None,
    alembic_ini: str | None = None,
    engine: sa.Engine | None = None,
    create: bool = False,
) -> None:
    """Bind the session, and with it the models, to a database.

    Args:
        uri: the URL of the database; if it is missing, `datanommer.models.database.location` says
            where datanommer looks for it.
        alembic_ini: the alembic.ini of the migrations that `create` runs, instead of the
            ones that come with this package.
        engine: your own engine, instead of a URL.
        create: run the migrations up to head first, and make the embedded server if there is
            none.

    Raises:
        ConfigurationError: the URL or the fedmsg configuration cannot be used.
        DatabaseUnavailable: no database is named; it does not answer (only with `create`); or there
            is no embedded server where one is named (only without).
    """
    if engine is None:
        engine = create_engine(locate(uri).url, create=create)
    if create:
        migrations.upgrade(engine, alembic_ini=alembic_ini)
    # Not at the top: the ORM takes 0.06 s of CPU to import, and adding messages does without it.
    from datanommer.models.database.session import session

    session.remove()
    binding.bind(engine)


def add(envelope: Any) -> Counts:
    """Store one message of the bus, in a transaction of its own.

    Args:
        envelope: ``{"topic": str, "body": {...}[, "headers": {...}]}``. What cannot be stored as
            a message goes to `rejected`, with the reason; nothing is raised for it.

    Returns:
        What became of it; one of the counts is 1.

    Raises:
        ConfigurationError: `init` was not called.
        sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; nothing was stored.
    """
    return add_all([envelope])


def add_all(envelopes: Iterable[Any]) -> Counts:
    """Store a batch of messages of the bus in one transaction; see `add`.

    Args:
        envelopes: at most `datanommer.models.storing.batch.MAX_BATCH` (10,000) of them.

    Raises:
        ValueError: the batch is too large; nothing was stored.
        ConfigurationError, sqlalchemy.exc.DBAPIError, psycopg2.Error: as `add` does.
    """
    return store(binding.bound_engine(), Batch.of(map(prepare, envelopes)))
