"""What a transaction that writes asks of the server."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from datanommer.models.database.engine import create_engine
from datanommer.models.storing.transaction import in_transaction


@pytest.mark.parametrize(
    ("configured", "used"),
    [("off", "on"), ("local", "local"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_it_waits_for_the_disk_and_for_no_less_than_was_configured(
    database: str, configured: str, used: str
) -> None:
    engine = create_engine(database, settings={"synchronous_commit": configured})

    def look(connection: sa.Connection) -> object:
        return connection.scalar(sa.text("SHOW synchronous_commit"))

    assert in_transaction(engine, look) == used
    engine.dispose()
