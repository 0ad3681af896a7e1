"""From a STOMP broker to the database, through a real fedmsg-hub."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import activemq
from activemq import ActiveMQ
from benchmarks.generator import UNKNOWN
from benchmarks.hub import BODY_BYTES, counter, hub_environment, small_bus
from benchmarks.measure import Figure, alternate
from benchmarks.setting import Setting
from bus import Bus as LocalBus
from bus import eventually

_BACKLOG = 20_000
_SMALL_BACKLOG = 1_000  # for the slow way
_QUEUE = "/queue/benchmark"


def throughput(setting: Setting) -> Iterator[Figure]:
    """Messages a second of a backlog, over those of moksha's own protocol in its blocking mode.

    Without an ActiveMQ as Debian has it, there are no figures.
    """
    if activemq.why_not():
        return
    with setting.empty() as url, counter(url) as stored, _broker() as broker:
        own = {"datanommer.sqlalchemy.url": url}
        blocking = {
            "datanommer.sqlalchemy.url": url,
            "datanommer.enabled": False,
            "benchmarks.stores": True,
            "moksha.blocking_mode": True,
            "stomp_ack_mode": "client-individual",
        }
        consumer = ("--with-consumers", "benchmarks.consumers:Blocking")
        seeds = iter(range(1000))
        rates = alternate(
            setting.rounds,
            {
                "ours": lambda: _drain(broker, stored, _BACKLOG, next(seeds), own),
                "blocking": lambda: _drain(
                    broker, stored, _SMALL_BACKLOG, next(seeds), blocking, *consumer
                ),
            },
        )
    yield Figure(
        f"STOMP to database, {BODY_BYTES} B",
        *(rates["ours"], "messages/s", "moksha's protocol in blocking mode", rates["blocking"]),
        at_least=10,
    )


def _drain(
    broker: ActiveMQ,
    stored: Callable[[], int],
    number: int,
    seed: int,
    config: dict[str, Any],
    *arguments: str,
) -> float:
    """Messages a second, from the first that a new hub has stored to the last."""
    with contextlib.closing(broker.connect()) as client:
        bus = small_bus(number, UNKNOWN, seed=seed)
        client.publish(
            _QUEUE, [(json.dumps(each["body"]).encode(), {}) for each in bus.envelopes()]
        )
    before = stored()
    with tempfile.TemporaryDirectory(prefix="datanommer-benchmarks-") as folder:
        hub = LocalBus(Path(folder))
        hub.config.update(
            {
                "zmq_enabled": False,
                "stomp_uri": broker.address,
                "stomp_queue": _QUEUE,
                "datanommer.spool_min_free_bytes": 0,
                **config,
            }
        )
        try:
            with hub_environment():
                hub.start("fedmsg-hub", *arguments)
            eventually(lambda: stored() > before, "the first message")
            start, began_with = time.perf_counter(), stored()
            eventually(lambda: stored() >= before + number, "the last message")
            return (before + number - began_with) / (time.perf_counter() - start)
        finally:
            hub.close()


@contextlib.contextmanager
def _broker() -> Iterator[ActiveMQ]:
    with tempfile.TemporaryDirectory(prefix="datanommer-benchmarks-") as folder:
        broker = ActiveMQ(Path(folder))
        try:
            yield broker
        finally:
            broker.close()
