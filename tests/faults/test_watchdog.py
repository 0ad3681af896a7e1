"""A hub that waits for its database is not stuck."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service_manager import ServiceManager

from . import fault
from .fault import Fault
from .scene import Database, Scene
from .server import Server

pytestmark = pytest.mark.faults

WATCHDOG = 4.0  # seconds
LONG = 12.0  # seconds that a fault lasts, longer than any try to store


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.mark.parametrize("what", [fault.stopped, fault.hanging, fault.silent, fault.locked])
def test_a_hub_says_that_it_moves_while_the_database_is_away_or_locked(
    postgres: Server, tmp_path: Path, what: Fault
) -> None:
    with (
        contextlib.closing(Database(postgres)) as database,
        contextlib.closing(Scene(database, tmp_path)) as scene,
        contextlib.closing(ServiceManager(scene.bus, WATCHDOG)) as systemd,
    ):
        scene.start_hub()
        systemd.wait_for("WATCHDOG=1")
        with what(database):
            scene.stream.start(50)
            time.sleep(LONG)
            scene.stream.stop()
            assert scene.count_spooled() > 0
        scene.wait_until_stored()
        assert systemd.longest_silence() < WATCHDOG
        assert "stuck" not in scene.hub.log
