"""systemd is told when a hub listens, that it moves, and that it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import Archive, Bus, eventually
from datanommer.models import embedded
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received
from service_manager import ServiceManager
from stomp import Broker

#: Within which a hub of these tests is to say that it moves, in seconds.
WATCHDOG = 2.0
_STUCK_TOPIC = "org.fedoraproject.dev.stuck.thing"
# A processor of fedmsg.meta, as other people write them: it asks somebody who does not answer.
_STUCK_PROCESSOR = """
from fedmsg.meta.base import BaseProcessor

class StuckProcessor(BaseProcessor):
    __name__ = "stuck"
    __description__ = __link__ = __docs__ = __obj__ = "stuck"

    def usernames(self, msg, **config):
        with open({pipe!r}) as pipe:
            pipe.read()
        return set()
"""


@pytest.fixture
def systemd(quiet_bus: Bus) -> Iterator[ServiceManager]:
    with contextlib.closing(ServiceManager(quiet_bus, WATCHDOG)) as manager:
        yield manager


@pytest.fixture
def pipe(quiet_bus: Bus, tmp_path: Path) -> Path:
    """A pipe that a processor reads from; until somebody has written into it, that is stuck."""
    folder = tmp_path / "processors"
    info = folder / "stuck-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stuck\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fedmsg.meta]\nstuck=stuck_processor:StuckProcessor\n")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (folder / "stuck_processor.py").write_text(_STUCK_PROCESSOR.format(pipe=str(pipe)))
    quiet_bus.environment["PYTHONPATH"] = str(folder)
    return pipe


@pytest.mark.parametrize("is_abstract", [False, True])
def test_it_is_told_when_the_hub_listens_and_when_it_ends(
    bus: Bus, archive: Archive, is_abstract: bool
) -> None:
    with contextlib.closing(ServiceManager(bus, WATCHDOG, is_abstract=is_abstract)) as systemd:
        hub = bus.start("fedmsg-hub")
        systemd.wait_for("READY=1")
        bus.publisher.wait_for_subscriber()
        bus.publisher.publish(sent := envelope())
        archive.wait_for(sent)
        systemd.wait_for("WATCHDOG=1", times=3)
        assert "STOPPING=1" not in systemd.lines()
        hub.send(signal.SIGTERM)
        assert hub.exit_code() == 0
        assert "STATUS=Listens to the bus." in systemd.lines()
        # And it has more time, where much is in memory.
        systemd.wait_for("STOPPING=1")
        assert "EXTEND_TIMEOUT_USEC=2000000" in systemd.lines()


def test_a_hub_in_which_datanommer_is_disabled_is_ready_and_moves(
    quiet_bus: Bus, systemd: ServiceManager
) -> None:
    quiet_bus.config["datanommer.enabled"] = False
    quiet_bus.start("fedmsg-hub")
    systemd.wait_for("READY=1")
    systemd.wait_for("WATCHDOG=1", times=3)


def test_a_hub_over_stomp_is_ready_once_the_broker_has_taken_its_subscription(
    bus: Bus, stomp_broker: Broker, systemd: ServiceManager
) -> None:
    bus.config |= {
        "zmq_enabled": False,
        "stomp_uri": stomp_broker.address,
        "stomp_queue": "/queue/a",
    }
    hub = bus.start("fedmsg-hub")
    systemd.wait_for("READY=1")
    assert "Listening to" in hub.log


def test_a_hub_is_ready_where_its_broker_is_away(bus: Bus, systemd: ServiceManager) -> None:
    bus.config |= {"zmq_enabled": False, "stomp_uri": "127.0.0.1:1", "stomp_queue": "/queue/a"}
    hub = bus.start("fedmsg-hub")
    systemd.wait_for("READY=1")
    assert "cannot be reached" in hub.log


def test_a_hub_that_another_process_is_asked_to_speak_for_says_nothing_of_moving(
    bus: Bus, systemd: ServiceManager
) -> None:
    bus.environment["WATCHDOG_PID"] = "1"
    bus.start_hub()
    systemd.wait_for("READY=1")
    time.sleep(WATCHDOG)
    assert "WATCHDOG=1" not in systemd.lines()


@pytest.mark.usefixtures("systemd")
def test_an_embedded_server_does_not_speak_for_the_hub(quiet_bus: Bus, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    quiet_bus.config["datanommer.sqlalchemy.url"] = f"embedded://{folder}"
    hub = quiet_bus.start("fedmsg-hub")
    try:
        assert hub.exit_code() == 1, "it has no tables"
        (server,) = folder.rglob("postmaster.pid")
        variables = Path(f"/proc/{server.read_text().split()[0]}/environ").read_bytes()
        assert b"PATH=" in variables
        assert b"NOTIFY_SOCKET" not in variables
        assert b"WATCHDOG" not in variables
    finally:
        embedded.stop(folder)


def test_a_worker_that_is_stuck_is_told_by_silence_and_in_the_log(
    bus: Bus, archive: Archive, systemd: ServiceManager, pipe: Path
) -> None:
    hub = bus.start_hub()
    systemd.wait_for("WATCHDOG=1")
    bus.publisher.publish(sent := envelope(_STUCK_TOPIC))
    hub.wait_until_it_says("A thread of the hub is stuck. It has not moved for 2 seconds: ")
    assert f"in usernames, {pipe.parent}/processors/stuck_processor.py line" in hub.log
    eventually(lambda: systemd.silence() > 2 * WATCHDOG, "silence")
    # Its question is answered after all.
    heard = systemd.lines().count("WATCHDOG=1")
    pipe.write_text("")
    archive.wait_for(sent)
    systemd.wait_for("WATCHDOG=1", times=heard + 1)


@pytest.mark.usefixtures("pipe")
def test_a_drainer_of_the_spool_that_is_stuck_is_told_as_well(
    bus: Bus, systemd: ServiceManager, tmp_path: Path
) -> None:
    Spool(tmp_path / "spool", min_free_bytes=0).put([received(envelope(_STUCK_TOPIC))])
    hub = bus.start_hub()
    hub.wait_until_it_says("seconds: datanommer-drain (in usernames, ")
    eventually(lambda: systemd.silence() > 2 * WATCHDOG, "silence")
    # It keeps nothing from being kept.
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0


@pytest.mark.usefixtures("systemd", "pipe")
def test_what_a_worker_has_that_is_stuck_is_kept_when_systemd_ends_the_hub(
    bus: Bus, tmp_path: Path
) -> None:
    state = tmp_path / "hub.json"
    bus.config |= {"datanommer.spool_min_free_bytes": 0, "datanommer.status_file": str(state)}
    hub = bus.start_hub()
    bus.publisher.publish(envelope(_STUCK_TOPIC))
    hub.wait_until_it_says("A thread of the hub is stuck")
    bus.publisher.publish(*(envelope() for _ in range(5)))
    eventually(lambda: json.loads(state.read_text())["backlog"] == 5, "the hub to have all")
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 1
    assert "A thread is stuck. Its messages are kept, and the hub ends without it." in hub.log
    assert Spool(tmp_path / "spool", min_free_bytes=0).waiting().messages == 6
