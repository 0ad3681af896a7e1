"""What is stored is stored again by a real fedmsg-hub where another server has taken over."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import classic
from bus import Archive, Bus, eventually
from envelopes import envelope


@pytest.fixture
def bus(bus: Bus) -> Bus:
    bus.config["datanommer.replay_seconds"] = 60
    return bus


def take_over(database: str, tmp_path: Path, statement: str) -> None:
    """Let the server be one that lacks what the statement takes away."""
    classic.execute(database, statement)
    noted = tmp_path / "spool" / "replay" / "timeline"
    before, _, _ = noted.read_text().partition("/")
    noted.write_text(f"{before}/000000FF")


def test_what_another_server_lacks_is_stored_again(
    bus: Bus, archive: Archive, database: str, tmp_path: Path
) -> None:
    hub = bus.start_hub()
    sent = [envelope(msg=number) for number in range(20)]
    bus.publisher.publish(*sent, bad := envelope(i=2**63), envelope(topic="x" * 2000), bad)
    eventually(lambda: len(archive.messages()) == 20, "the messages")
    eventually(lambda: len(archive.rejected()) == 2, "the rejects")
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    seen = [(each.id, each.seen) for each in archive.rejected()]
    take_over(database, tmp_path, "DELETE FROM messages WHERE (msg #>> '{}')::int >= 15")
    hub = bus.start_hub()
    hub.wait_until_it_says("were missing there")
    assert "Another server has taken over the database" in hub.log
    assert "5 of the 23 messages stored last were missing there" in hub.log
    assert sorted(each.msg for each in archive.messages()) == list(range(20))
    assert [(each.id, each.seen) for each in archive.rejected()] == seen
    noted = (tmp_path / "spool" / "replay" / "timeline").read_text()
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    assert noted.split("/")[1] != "000000FF"


def test_what_was_in_the_spool_is_kept_too(bus: Bus, database: str, tmp_path: Path) -> None:
    bus.config["datanommer.sqlalchemy.url"] = "postgresql://somebody@127.0.0.1:1/nowhere"
    hub = bus.start_hub()
    bus.publisher.publish(*(envelope(msg=number) for number in range(5)))
    eventually(lambda: list((tmp_path / "spool").glob("*.spool")), "messages in the spool")
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    bus.config["datanommer.sqlalchemy.url"] = database
    hub = bus.start_hub()
    hub.wait_until_it_says("all that waited is stored")
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    take_over(database, tmp_path, "DELETE FROM messages")
    bus.start_hub().wait_until_it_says("5 of the 5 messages stored last were missing there")


def test_a_disk_that_takes_no_copies_is_told_and_costs_no_message(
    bus: Bus, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "replay").touch()
    hub = bus.start_hub()
    bus.publisher.publish(message := envelope())
    archive.wait_for(message)
    hub.wait_until_it_says("Copies cannot be kept for a replay: ")
    assert "CRITICAL" in hub.log
