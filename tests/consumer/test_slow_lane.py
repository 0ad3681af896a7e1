"""A message that takes long is said to, goes in by itself, and holds up nobody behind it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import classic
from bus import Archive, Bus
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received
from shell import Run

_SLOW = {"slow": True}
# More than a batch out of the spool may take, and less than the slow lane gives.
_MAKE_SLOW = """
    CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(12); RETURN NEW; END $$;
    CREATE TRIGGER take_long BEFORE INSERT ON messages
    FOR EACH ROW WHEN ((NEW.msg->>'slow') IS NOT NULL) EXECUTE FUNCTION take_long();
"""


@pytest.fixture
def bus(bus: Bus, database: str) -> Bus:
    classic.execute(database, _MAKE_SLOW)
    return bus


@pytest.fixture
def slow(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", min_free_bytes=0).slow


def test_others_go_past_a_message_that_takes_long(bus: Bus, archive: Archive, slow: Spool) -> None:
    hub = bus.start_hub()
    sent = [envelope(msg=number) for number in range(20)]
    bus.publisher.publish(*sent[:10], first := envelope(msg=_SLOW), *sent[10:])
    for each in sent:
        archive.wait_for(each)
    assert slow.waiting().messages == 1
    bus.publisher.publish(late := envelope())
    archive.wait_for(late)
    assert slow.waiting().messages == 1
    hub.wait_until_it_says("A slow message is now stored")
    archive.wait_for(first)
    assert len(archive.messages()) == 22
    assert "it took longer than 5 seconds" in hub.log
    assert "could not be stored: it took longer than 10 seconds. It waits in " in hub.log
    assert "all that waited is stored, but for 1 that take long" in hub.log
    assert "closed the connection" not in hub.log
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    assert slow.waiting() == (0, 0)


def test_what_takes_long_goes_in_after_the_next_start(
    bus: Bus, archive: Archive, slow: Spool
) -> None:
    slow.put([received(first := envelope(msg=_SLOW))])
    bus.start_hub()
    bus.publisher.publish(second := envelope())
    archive.wait_for(second)
    archive.wait_for(first)


def test_the_command_stores_and_tells_what_takes_long_too(
    database: str, slow: Spool, run: Run
) -> None:
    slow.put([received(envelope())])
    folder = ["--spool-dir", str(slow.folder.parent)]
    assert run("datanommer-spool", "status", *folder).stdout.startswith("1 messages wait in ")
    assert run("datanommer-spool", "check", *folder).returncode == 0
    drained = run("datanommer-spool", "drain", "--url", database, *folder)
    assert drained.stdout == "stored 1, duplicates 0, rejected 0\n"
    assert run("datanommer-spool", "status", *folder).stdout.startswith("0 messages wait in ")
