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
        uri: the URL of the database; without it, it is looked for (see
            `datanommer.models.database.location`).
        alembic_ini: the alembic.ini of the migrations that `create` runs, instead of the
            ones that come with this package.
        engine: an engine of one's own, instead of a URL.
        create: bring the database to head first, by way of the migrations, and make the embedded
            server if there is none.

    Raises:
        ConfigurationError: the URL or the fedmsg configuration cannot be used.
        DatabaseUnavailable: no database is named; with `create`, it does not answer; without it,
            there is no embedded server where one is named.
    """
    if engine is None:
        engine = create_engine(locate(uri).url, create=create)
    if create:
        migrations.upgrade(engine, alembic_ini=alembic_ini)
    # Not above: the ORM takes 0.06 s of CPU to import, and who only adds messages needs none.
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
