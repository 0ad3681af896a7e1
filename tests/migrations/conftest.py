"""An empty database, and alembic for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from datanommer import models
from datanommer.models.database.engine import create_engine

INI = Path(models.__file__).with_name("alembic.ini")


@pytest.fixture
def engine(empty_database):
    engine = create_engine(empty_database)
    yield engine
    engine.dispose()


@pytest.fixture
def alembic(run, empty_database):
    """Run alembic on the empty database, as from a shell."""

    def alembic(*arguments, url=empty_database, **options):
        where = ["-x", f"url={url}"] if url else []
        return run("alembic", "-c", str(INI), *where, *arguments, **options)

    return alembic
