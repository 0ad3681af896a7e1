"""The hub's password need not be where everybody reads its configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import Archive, Bus
from envelopes import envelope
from postgres import HOST, ROLE, Primary
from shell import Run

_PASSWORD = "s3cret"
_HINT = "Everybody on this host can read the database password in "


@pytest.fixture(scope="module")
def postgres() -> Iterator[Primary]:
    """A server that asks the hub's role for its password."""
    with contextlib.closing(Primary()) as server:
        server.require_password(_PASSWORD)
        yield server


@pytest.fixture
def name(postgres: Primary) -> str:
    return postgres.create_database()


@pytest.fixture
def archive(postgres: Primary, name: str) -> Iterator[Archive]:
    with contextlib.closing(Archive(postgres.own_url(name))) as archive:
        yield archive


@pytest.fixture
def password_file(postgres: Primary, tmp_path: Path) -> Path:
    file = tmp_path / "hub.pgpass"
    file.write_text(f"{HOST}:{postgres.port}:*:{ROLE}:{_PASSWORD}\n")
    file.chmod(0o600)
    return file


def test_a_hub_takes_its_password_from_the_file_that_its_unit_names(
    quiet_bus: Bus, archive: Archive, postgres: Primary, name: str, password_file: Path
) -> None:
    quiet_bus.config["datanommer.sqlalchemy.url"] = postgres.url(name)
    quiet_bus.environment["PGPASSFILE"] = str(password_file)
    hub = quiet_bus.start_hub()
    quiet_bus.publisher.publish(sent := envelope())
    archive.wait_for(sent)
    assert _HINT not in hub.log


def test_without_its_password_a_hub_keeps_what_comes_and_says_why(
    quiet_bus: Bus, postgres: Primary, name: str
) -> None:
    quiet_bus.config["datanommer.sqlalchemy.url"] = postgres.url(name)
    hub = quiet_bus.start_hub()
    hub.wait_until_it_says("The database does not take messages: ")
    assert "no password supplied" in hub.log


def test_a_command_without_its_password_says_where_it_belongs(
    run: Run, postgres: Primary, name: str, tmp_path: Path
) -> None:
    environment = {"PATH": "/usr/bin", "PGPASSFILE": str(tmp_path / "checks.pgpass")}
    refused = run("datanommer-stats", "--url", postgres.url(name), env=environment)
    assert refused.returncode == 69
    assert f"Give the password in {tmp_path}/checks.pgpass" in refused.stderr


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_password_that_everybody_may_read_is_told_and_not_printed(
    quiet_bus: Bus, postgres: Primary, name: str, mode: int
) -> None:
    url = postgres.url(name).replace(f"{ROLE}@", f"{ROLE}:{_PASSWORD}@")
    quiet_bus.config["datanommer.sqlalchemy.url"] = url
    quiet_bus.write_config().chmod(mode)
    hub = quiet_bus.start_hub()
    assert (_HINT in hub.log) == (mode == 0o644)
    assert _PASSWORD not in hub.log
