"""Prometheus asks a real fedmsg-hub how it is."""

from __future__ import annotations

import json
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from bus import Archive, Bus, Daemon
from envelopes import envelope
from ports import free_port
from scrape import Scraped, complaints_of_promtool, scrape, scrape_until
from stomp import Broker

NOWHERE = "postgresql://somebody:s3cret@127.0.0.1:1/nowhere"
TOPIC = "/topic/VirtualTopic.eng.brew.build.complete"
STORED = "datanommer_messages_stored_total"
ROADS = ("zeromq", "spool")


@pytest.fixture
def address(quiet_bus: Bus) -> str:
    """Where the hub serves its metrics."""
    address = f"127.0.0.1:{free_port()}"
    quiet_bus.config["datanommer.metrics"] = address
    quiet_bus.config["datanommer.spool_min_free_bytes"] = 0
    return address


def counts(scraped: Scraped, road: str = "zeromq") -> dict[str, float]:
    """How many messages of a road had each fate."""
    fates = ("received", "stored", "duplicates", "rejected", "refused", "spooled", "lost")
    return {fate: scraped.of(f"datanommer_messages_{fate}_total", road=road) for fate in fates}


def nothing_but(**changes: float) -> dict[str, float]:
    fates = ("received", "stored", "duplicates", "rejected", "refused", "spooled", "lost")
    return {**dict.fromkeys(fates, 0.0), **changes}


def test_counters_and_histograms_are_equal_to_what_was_sent(bus: Bus, address: str) -> None:
    hub = bus.start_hub()
    before = scrape(address)
    assert {road: counts(before, road) for road in ROADS} == dict.fromkeys(ROADS, nothing_but())
    sent = [envelope() for _ in range(20)]
    bus.publisher.publish(*sent, sent[0], envelope(i=2**63), envelope(i=2**63))
    scraped = scrape_until(address, "datanommer_commit_delay_seconds_count", 23, road="zeromq")
    assert counts(scraped) == nothing_but(received=23, stored=20, duplicates=1, rejected=2)
    assert counts(scraped, "spool") == nothing_but()
    assert scraped.of("datanommer_batch_messages_sum", road="zeromq") == 23
    transactions = scraped.of("datanommer_batch_messages_count", road="zeromq")
    assert 1 <= transactions <= 23
    largest = scraped.of("datanommer_batch_messages_bucket", road="zeromq", le="10000.0")
    assert largest == transactions
    in_a_minute = scraped.of("datanommer_commit_delay_seconds_bucket", road="zeromq", le="60.0")
    assert in_a_minute == 23
    assert 0 < scraped.of("datanommer_commit_delay_seconds_sum", road="zeromq") < 23 * 60
    assert (scraped["datanommer_backlog_messages"], scraped["datanommer_waiting_messages"]) == (
        0,
        0,
    )
    assert "datanommer_waiting_oldest_timestamp_seconds" not in scraped.names()
    assert scraped["process_resident_memory_bytes"] > 10**7
    assert scraped.of("datanommer_build_info", version="2.0.0") == 1
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    assert "Traceback" not in hub.log


def test_what_waited_in_the_spool_counts_when_it_is_stored(
    bus: Bus, address: str, database: str
) -> None:
    bus.config["datanommer.sqlalchemy.url"] = NOWHERE
    first = bus.start_hub()
    bus.publisher.publish(envelope(), envelope())
    scraped = scrape_until(address, "datanommer_waiting_messages", 2)
    assert counts(scraped) == nothing_but(received=2, spooled=2)
    oldest = scraped["datanommer_waiting_oldest_timestamp_seconds"]
    assert scraped["process_start_time_seconds"] < oldest
    assert "s3cret" not in scraped.text
    first.send(signal.SIGTERM)
    assert first.exit_code() == 0
    bus.config["datanommer.sqlalchemy.url"] = database
    bus.start_hub()
    scraped = scrape_until(address, STORED, 2, road="spool")
    assert counts(scraped, "spool") == nothing_but(stored=2)
    assert counts(scraped) == nothing_but()
    delays = "datanommer_commit_delay_seconds"
    scraped = scrape_until(address, f"{delays}_count", 2, road="spool")
    # The first hub took so long to end, at least.
    assert scraped.of(f"{delays}_sum", road="spool") > 2 * 0.1
    assert scraped.of(f"{delays}_count", road="zeromq") == 0


def test_a_message_without_a_good_signature_is_refused(
    bus: Bus, address: str, tmp_path: Path
) -> None:
    from certificates import Authority

    (tmp_path / "pki").mkdir()
    bus.config |= {**Authority(tmp_path / "pki").config, "sign_messages": False}
    bus.start_hub()
    bus.publisher.publish(envelope())
    scraped = scrape_until(address, "datanommer_messages_refused_total", 1, road="zeromq")
    assert counts(scraped) == nothing_but(received=1, refused=1)
    assert scraped.of("datanommer_commit_delay_seconds_count", road="zeromq") == 0


def test_a_hub_on_two_roads_counts_each(
    bus: Bus, archive: Archive, address: str, stomp_broker: Broker
) -> None:
    stomp_broker.style = "activemq"
    bus.config |= {"stomp_uri": stomp_broker.address, "stomp_queue": "/queue/datanommer"}
    bus.config["datanommer.topic"] = ["org.*", TOPIC]
    hub = bus.start_hub()
    hub.wait_until_it_says("Listening to")
    sent = [envelope() for _ in range(30)]
    for each in sent:
        bus.publisher.publish(each)
        stomp_broker.send(TOPIC, json.dumps({"build": each["body"]["msg_id"]}).encode())
    bus.publisher.publish(sent[0])
    scrape_until(address, STORED, 30, road="zeromq")
    scraped = scrape_until(address, STORED, 30, road="stomp")
    scraped = scrape_until(address, "datanommer_messages_duplicates_total", 1, road="zeromq")
    assert counts(scraped) == nothing_but(received=31, stored=30, duplicates=1)
    assert counts(scraped, "stomp") == nothing_but(received=30, stored=30)
    assert archive.count() == 60


@pytest.mark.needs_program("promtool")
def test_promtool_has_nothing_to_complain_of(bus: Bus, address: str) -> None:
    bus.start_hub()
    bus.publisher.publish(envelope())
    assert complaints_of_promtool(scrape_until(address, STORED, 1, road="zeromq").text) == ""


def test_over_ipv6(bus: Bus) -> None:
    address = f"[::1]:{free_port()}"
    bus.config["datanommer.metrics"] = address
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    hub = bus.start_hub()
    hub.wait_until_it_says(f"Metrics are at http://{address}/metrics.")
    bus.publisher.publish(envelope())
    scrape_until(address, STORED, 1, road="zeromq")


class TestWithoutMetrics:
    def test_a_port_in_use_is_told_and_the_hub_stores(self, bus: Bus, archive: Archive) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            bus.config["datanommer.metrics"] = f"127.0.0.1:{taken.getsockname()[1]}"
            hub = bus.start_hub()
            self._stores(bus, archive)
        self._says_once(hub, "Address already in use. Everything else carries on.")

    def test_a_name_of_no_host_is_told_and_the_hub_stores(self, bus: Bus, archive: Archive) -> None:
        bus.config["datanommer.metrics"] = "nowhere.invalid:9109"
        hub = bus.start_hub()
        self._stores(bus, archive)
        self._says_once(hub, "cannot listen on nowhere.invalid:9109: ")

    def test_a_missing_library_is_told_and_the_hub_stores(
        self, bus: Bus, archive: Archive, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = bus.folder / "without"
        folder.mkdir()
        (folder / "prometheus_client.py").write_text(
            "raise ModuleNotFoundError(\"No module named 'prometheus_client'\")\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(folder))
        hub = bus.start_hub()
        self._stores(bus, archive)
        self._says_once(hub, "Install datanommer.consumer[metrics]. Everything else carries on.")
        with pytest.raises(OSError, match="refused"):
            scrape(address)

    @pytest.mark.parametrize(
        "value", ["9109", 9109, "127.0.0.1", ":9109", "::1:9109", "h:99999", "a@b:1", "h:1/m", ""]
    )
    def test_what_is_no_address_ends_the_hub_in_words(self, bus: Bus, value: Any) -> None:
        bus.config["datanommer.metrics"] = value
        hub: Daemon = bus.start("fedmsg-hub")
        assert hub.exit_code() == 1
        assert "datanommer.metrics in the fedmsg configuration must be an address" in hub.log
        assert "Traceback" not in hub.log

    def _stores(self, bus: Bus, archive: Archive) -> None:
        sent = envelope()
        bus.publisher.publish(sent)
        archive.wait_for(sent)

    def _says_once(self, hub: Daemon, text: str) -> None:
        assert hub.log.count(text) == 1
        assert "There are no metrics" in hub.log
        assert "Traceback" not in hub.log


def test_who_hangs_up_leaves_no_traceback_in_the_log(bus: Bus, address: str) -> None:
    hub = bus.start_hub()
    host, port = address.split(":")
    for sent in (b"", b"GET /metr"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(sent)
            # Closed with a reset, as a port scanner does it.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert scrape(address)["datanommer_backlog_messages"] == 0
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    assert "Traceback" not in hub.log
