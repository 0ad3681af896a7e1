"""All that can be seen of a database, and of a hub on this host."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

from datanommer.models import configuration
from datanommer.models.database import engine as engines
from datanommer.models.database import location
from datanommer.models.inspecting import archive
from datanommer.models.inspecting.archive import Archive
from datanommer.models.inspecting.unseen import Unseen, see
from datanommer.models.signing.documents import Ending, endings
from datanommer.models.watching import hub, spool
from datanommer.models.watching.hub import Hub
from datanommer.models.watching.spool import SpoolView


class Database(NamedTuple):
    """Where the database is.

    Attributes:
        name: its URL, without a password.
        source: who named it.
    """

    name: str
    source: str


class Status(NamedTuple):
    """The state of a database, and of a hub on this host.

    Attributes:
        moment: when this was seen (naive, in UTC).
        version: of datanommer here.
        database: which database, and who named it.
        archive: what is in it.
        hub: the hub of this host.
        spool: what waits on its disk.
        endings: when the files expire that signatures are checked with.
    """

    moment: datetime
    version: str
    database: Database | Unseen
    archive: Archive | Unseen
    hub: Hub | Unseen
    spool: SpoolView | Unseen
    endings: list[Ending] | Unseen


def look(url: str | None, config_filename: str | None) -> Status:
    """The current state.

    Args:
        url: the database; None for the one that the configuration or the environment names.
        config_filename: the one file of the configuration; None for the usual ones.

    Raises:
        UnusableURL: a URL cannot be used.
    """
    config = see(lambda: configuration.load(config_filename))
    found = see(lambda: location.locate(url, config_filename=config_filename))
    database: Database | Unseen
    seen: Archive | Unseen
    if isinstance(found, Unseen):
        database = seen = found
    else:
        database = Database(location.describe(found.url), found.source)
        seen = see(lambda: _archive(found.url))
    return Status(
        datetime.now(UTC).replace(tzinfo=None),
        version("datanommer.models"),
        database,
        seen,
        *_on_this_host(config),
    )


def _archive(url: str) -> Archive:
    engine = engines.create_engine(url, settings=archive.TIMEOUTS, pre_ping=False)
    try:
        return archive.look(engine)
    finally:
        engine.dispose()


def _on_this_host(
    config: Mapping[str, Any] | Unseen,
) -> tuple[Hub | Unseen, SpoolView | Unseen, list[Ending] | Unseen]:
    if isinstance(config, Unseen):
        return config, config, config
    found = see(lambda: hub.look(config))
    return found, see(lambda: spool.look(config, found)), see(lambda: endings(config))
