"""A hub says once a second how it is, and ``datanommer-status`` reads that."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bus import Archive, Bus, Daemon, eventually
from envelopes import envelope
from shell import Run

NOWHERE = "postgresql://somebody:s3cret@127.0.0.1:1/nowhere"


class Told:
    """What a hub has written."""

    def __init__(self, bus: Bus) -> None:
        self._folder = bus.folder
        self.file = bus.folder / "run" / "hub.json"
        bus.config["datanommer.status_file"] = str(self.file)
        bus.config["datanommer.spool_min_free_bytes"] = 0

    def now(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.file.read_text())
        return state

    def wait_for(self, **values: Any) -> None:
        def happened() -> bool:
            return self.file.exists() and values.items() <= self.now().items()

        eventually(happened, f"{values} in the state of the hub")

    def status(self, run: Run, *arguments: str) -> subprocess.CompletedProcess[str]:
        file = str(self._folder / "fedmsg.d" / "test.py")
        return run("datanommer-status", "--config-filename", file, *arguments)


@pytest.fixture
def told(quiet_bus: Bus) -> Told:
    return Told(quiet_bus)


def test_a_hub_tells_what_became_of_its_messages(
    bus: Bus, archive: Archive, told: Told, run: Run
) -> None:
    hub = bus.start_hub()
    sent = envelope()
    bus.publisher.publish(sent, sent, envelope(i=2**63))
    told.wait_for(alive=True, stored=1, duplicates=1, rejected=1, backlog=0, lost=0, waiting=0)
    assert archive.count() == 1
    assert stat.S_IMODE(told.file.stat().st_mode) == 0o644
    shown = told.status(run, "--hub")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"runs (process {told.now()['pid']}); backlog 0, stored 1, duplicates 1" in shown.stdout
    first = told.now()["time"]
    eventually(lambda: told.now()["time"] > first, "another line")
    assert os.listdir(told.file.parent) == [told.file.name]  # noqa: PTH208  names, no paths
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    assert told.now()["alive"] is False
    assert "has ended in order" in told.status(run).stdout


def test_what_waits_while_the_database_is_away_is_told_and_checked(
    quiet_bus: Bus, told: Told, run: Run
) -> None:
    quiet_bus.config["datanommer.sqlalchemy.url"] = NOWHERE
    quiet_bus.start_hub()
    quiet_bus.publisher.publish(envelope(), envelope())
    told.wait_for(spooled=2, waiting=2, stored=0)
    assert told.now()["oldest"] <= told.now()["time"]
    assert told.now()["spool"] == str(quiet_bus.folder / "spool")
    shown = told.status(run)
    assert shown.returncode == 69
    assert "2 messages wait in" in shown.stdout
    checked = told.status(run, "--check", "--max-waiting", "1")
    assert checked.returncode == 2
    assert "2 messages waiting on disk" in checked.stdout
    assert "s3cret" not in shown.stdout + checked.stdout + told.file.read_text()


def test_a_hub_that_was_killed_is_missed(bus: Bus, told: Told, run: Run) -> None:
    hub = bus.start_hub()
    told.wait_for(alive=True)
    hub.kill()
    checked = told.status(run, "--check")
    assert checked.returncode == 2
    assert "the hub is dead: it has been gone since" in checked.stdout


def test_a_message_without_a_good_signature_is_told(bus: Bus, told: Told, tmp_path: Path) -> None:
    from certificates import Authority

    (tmp_path / "pki").mkdir()
    bus.config |= {**Authority(tmp_path / "pki").config, "sign_messages": False}
    bus.start_hub()
    bus.publisher.publish(envelope())
    told.wait_for(refused=1, stored=0)


@pytest.mark.parametrize("is_default", [True, False])
def test_a_hub_runs_as_well_where_it_cannot_tell(
    bus: Bus, archive: Archive, is_default: bool
) -> None:
    (bus.folder / "file").touch()
    bus.config["datanommer.status_file"] = str(bus.folder / "file" / "hub.json")
    if is_default:
        del bus.config["datanommer.status_file"]  # below the home of the tests, or in /run
    hub = bus.start_hub()
    sent = envelope()
    bus.publisher.publish(sent)
    archive.wait_for(sent)
    if not is_default:
        hub.wait_until_it_says("The state of the hub cannot be written to")
        assert "Traceback" not in hub.log


def test_a_path_that_is_none_ends_the_hub_in_words(bus: Bus) -> None:
    bus.config["datanommer.status_file"] = ["hub.json"]
    hub: Daemon = bus.start("fedmsg-hub")
    assert hub.exit_code() == 1
    assert "datanommer.status_file in the fedmsg configuration must be the path" in hub.log
