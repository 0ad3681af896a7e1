"""A bus and its archive, read from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import Archive, Bus


@pytest.fixture
def quiet_bus(tmp_path: Path) -> Iterator[Bus]:
    """A bus whose configuration names no database."""
    bus = Bus(tmp_path)
    yield bus
    bus.close()


@pytest.fixture
def bus(quiet_bus: Bus, database: str) -> Bus:
    quiet_bus.config["datanommer.sqlalchemy.url"] = database
    return quiet_bus


@pytest.fixture
def archive(database: str) -> Iterator[Archive]:
    archive = Archive(database)
    yield archive
    archive.close()
