"""The metrics of a consumer. Their names and meanings: docs/watching.rst.

Only the sizes and delays of batches are counted for this alone. All else is read at each scrape.
No name is one of ``datanommer-status``, because the same Prometheus may read both.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from datanommer.consumer import __version__
from datanommer.consumer.failure import explain
from datanommer.consumer.metrics.address import Address
from datanommer.consumer.metrics.figures import Figures
from datanommer.consumer.metrics.histogram import Histogram
from datanommer.consumer.metrics.server import Server

_COUNTERS = {
    "received": "Messages that were taken up to be kept.",
    "stored": "Messages that were stored.",
    "duplicates": "Messages that were stored already.",
    "rejected": "Messages that went into the table rejected.",
    "refused": "Messages without a good signature.",
    "spooled": "Messages that went into the spool.",
    "lost": "Messages that are lost.",
}
_GAUGES = {
    "backlog_messages": "Messages in memory that were not taken up yet.",
    "waiting_messages": "Messages that wait in the spool.",
    "waiting_oldest_timestamp_seconds": "When the oldest of them was put there.",
}
# From the quiet bus, where a message is stored at once, to what has waited in the spool for a day.
_DELAYS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    *(60, 300, 900, 3600, 4 * 3600, 24 * 3600),
)
_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)


class Metrics:
    """The metrics of a consumer, and the server that hands them out.

    Args:
        address: where to serve them.
        roads: how messages may come. Each is shown even before a message has come.
        log: gets a line where they cannot be served.
    """

    def __init__(self, address: Address, roads: Sequence[str], log: logging.Logger) -> None:
        self._address = address
        self._roads = roads
        self._log = log
        self._delays = Histogram(
            "datanommer_commit_delay_seconds",
            "From when a message was received until it was in the database.",
            _DELAYS,
            roads,
        )
        self._sizes = Histogram(
            "datanommer_batch_messages", "Messages of a transaction.", _SIZES, roads
        )

    def committed(self, road: str, moments: Iterable[float]) -> None:
        """Count a batch that is in the database.

        Args:
            road: how its messages came.
            moments: when each was received, in epoch seconds.
        """
        now = time.time()
        delays = [now - moment for moment in moments]
        if min(delays) < 0:  # somebody has set the clock back
            delays = [max(0.0, delay) for delay in delays]
        self._delays.add(road, delays)
        self._sizes.add(road, [len(delays)])

    def serve(self, figures: Callable[[], Figures]) -> None:
        """Begin to serve them, in threads that end with the process; nothing is raised.

        Args:
            figures: what the consumer has counted; any thread may call it.
        """
        self._figures = figures
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        for each in (self, self._delays, self._sizes):
            registry.register(each)
        try:
            Server(self._address, registry)
        except OSError as error:
            self._log.warning(
                "There are no metrics: cannot listen on %s: %s. Everything else carries on.",
                self._address,
                error.strerror or error,
            )
        else:
            self._log.info("Metrics are at http://%s/metrics.", self._address)

    def collect(self) -> Iterator[Metric]:
        """The metrics, as a registry of prometheus_client asks for them."""
        try:
            figures = self._figures()
        except Exception as error:  # noqa: BLE001  Prometheus then sees what there is
            self._log.warning("Some metrics are missing: %s.", explain(error, self._log))
            return
        yield from self._families(figures)

    def _families(self, figures: Figures) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "datanommer_build", "The version of datanommer.", {"version": __version__}
        )
        for fate, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"datanommer_messages_{fate}", text, labels=["road"])
            for road in self._roads:
                counter.add_metric([road], figures.counts.get((fate, road), 0))
            yield counter
        for name, text in _GAUGES.items():
            value = figures.gauges.get(name)
            if value is not None:
                yield GaugeMetricFamily(f"datanommer_{name}", text, value)
