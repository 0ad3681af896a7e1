"""The alerts of contrib/prometheus: Prometheus takes them, and they ask for metrics that exist."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bus import Bus, eventually
from certificates import Authority
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received
from ports import free_port
from postgres import Primary
from scrape import Scraped, complaints_of_promtool, metrics_in, scrape_until
from shell import ROOT, script
from standby import Standby

RULES = ROOT / "contrib" / "prometheus" / "datanommer.rules.yml"
TESTS = Path(__file__).with_name("datanommer.rules.test.yml")
NOWHERE = "postgresql://somebody@127.0.0.1:1/nowhere"
#: Those of Prometheus itself, and of node_exporter.
OF_OTHERS = {"up", "node_textfile_mtime_seconds"}


def promtool(*arguments: str | Path) -> None:
    """Run promtool, which has nothing to complain of."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False, cwd=TESTS.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr


def expressions(rules: str) -> list[str]:
    """What the rules ask for, each on one line."""
    found = re.findall(r"^ {8}expr: (?:>-)?(.*(?:\n {10}.*)*)", rules, re.MULTILINE)
    return [" ".join(each.split()) for each in found]


class Seen:
    """What a hub and datanommer-status have given out, of all that they can."""

    def __init__(self, hub: Scraped, status: Scraped) -> None:
        self.hub = hub
        self.status = status


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with (
        contextlib.closing(Primary()) as primary,
        contextlib.closing(Standby(primary)) as standby,
    ):
        hub = _seen_of_hub(tmp_path_factory.mktemp("away"))
        name = primary.create_database()
        config = _fill(tmp_path_factory.mktemp("there"), primary, name)
        standby.wait_for_replay()
        yield Seen(hub, _seen_by_status(config, primary.own_url(name)))


def _seen_of_hub(folder: Path) -> Scraped:
    with contextlib.closing(Bus(folder)) as bus:
        address = f"127.0.0.1:{free_port()}"
        bus.config |= {
            "datanommer.sqlalchemy.url": NOWHERE,
            "datanommer.spool_min_free_bytes": 0,
            "datanommer.metrics": address,
        }
        bus.start_hub()
        bus.publisher.publish(envelope())
        return scrape_until(address, "datanommer_waiting_messages", 1)


def _fill(folder: Path, primary: Primary, name: str) -> dict[str, Any]:
    """Let a hub store messages, of a category that has fallen silent; its configuration."""
    with contextlib.closing(Bus(folder)) as bus:
        bus.config |= {
            "datanommer.sqlalchemy.url": primary.url(name),
            "datanommer.status_file": str(folder / "hub.json"),
        }
        bus.start_hub()
        hours = (90, 80, 70, 60, 50, 40, 31)
        bus.publisher.publish(*(envelope(timestamp=int(time.time()) - 3600 * n) for n in hours))
        count = "SELECT count(*) FROM messages"
        eventually(lambda: primary.execute(count, name) == [(len(hours),)], "all messages")
        return bus.config


def _seen_by_status(config: dict[str, Any], url: str) -> Scraped:
    spool = Path(config["datanommer.spool_dir"])
    Spool(spool, min_free_bytes=0).put([received(envelope())])
    now = datetime.now(UTC)
    authority = Authority(spool.parent, (now, now + timedelta(days=90)))
    file = spool.parent / "status.py"
    file.write_text(f"config = {config | authority.config!r}\n")
    words = [script("datanommer-status"), "--config-filename", str(file), "--url", url]
    texts: list[str] = []

    def has_lag() -> bool:  # not while the standby replays what PostgreSQL does by itself
        done = subprocess.run(
            [*words, "--format", "prometheus"], capture_output=True, text=True, check=True
        )
        texts.append(done.stdout)
        return "datanommer_replication_lag_seconds" in done.stdout

    eventually(has_lag, "the lag of a standby")
    return Scraped(texts[-1])


@pytest.mark.needs_program("promtool")
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", RULES)


@pytest.mark.needs_program("promtool")
def test_each_alert_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", TESTS)
    calm, *trouble = TESTS.read_text().split("  - name: ")[1:]
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert set(re.findall(r"alertname: (\w+)", calm)) == alerts
    firing = re.findall(r"alertname: (\w+)\n *exp_alerts:", "".join(trouble))
    assert set(firing) == alerts


def test_each_metric_of_a_rule_is_given_out(seen: Seen) -> None:
    hub, status = RULES.read_text().split("- name: datanommer-")[1:]
    for rules, scraped in ((hub, seen.hub), (status, seen.status)):
        wanted = set().union(*map(metrics_in, expressions(rules)))
        assert wanted - OF_OTHERS
        assert wanted - OF_OTHERS <= scraped.names()


def test_no_name_means_two_things(seen: Seen) -> None:
    assert seen.hub.names() & seen.status.names() == set()
    assert {name for name in seen.status.names() if not name.startswith("datanommer_")} == set()


def test_each_metric_is_in_the_documentation(seen: Seen) -> None:
    page = (ROOT / "docs" / "watching.rst").read_text()
    described = set(re.findall(r"``(datanommer_\w+)", page))
    families = [*seen.hub.families.values(), *seen.status.families.values()]
    shown = {
        f"{each.name}_total" if each.type == "counter" else each.name
        for each in families
        if each.name.startswith("datanommer_")
    }
    assert shown == described


@pytest.mark.needs_program("promtool")
def test_promtool_has_nothing_to_complain_of(seen: Seen) -> None:
    assert complaints_of_promtool(seen.hub.text) == ""
    assert complaints_of_promtool(seen.status.text) == ""
