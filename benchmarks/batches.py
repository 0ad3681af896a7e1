"""How many messages a second go into the archive, by the size of a batch: COPY against INSERT."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.generator import Bus
from benchmarks.measure import Figure, alternate, seconds
from benchmarks.setting import Setting
from datanommer.models.database.binding import bound_engine
from datanommer.models.preparing.preparation import prepare
from datanommer.models.storing import copy_format
from datanommer.models.storing.batch import Batch, store

_SIZES = (1, 10, 50, 100, 200, 1_000, 5_000)
_ALWAYS, _NEVER = 0, max(_SIZES) + 1


def batches(setting: Setting) -> Iterator[Figure]:
    """COPY over INSERT; `copy_format.COPY_FROM` is chosen by this."""
    chosen = copy_format.COPY_FROM
    seeds = itertools.count()
    try:
        with setting.empty():
            for size in _SIZES:
                rates = alternate(
                    setting.rounds,
                    {
                        "COPY": lambda: _measure(next(seeds), size, _ALWAYS),  # noqa: B023
                        "INSERT": lambda: _measure(next(seeds), size, _NEVER),  # noqa: B023
                    },
                )
                what = f"COPY, batches of {size:,}"
                yield Figure(what, rates["COPY"], "messages/s", "INSERT", rates["INSERT"])
    finally:
        copy_format.COPY_FROM = chosen


def _measure(seed: int, size: int, copy_from: int) -> float:
    """Messages a second, in batches of that size, with COPY from so many rows on."""
    copy_format.COPY_FROM = copy_from
    number = max(1, min(100, 4_000 // size))
    items = [prepare(each) for each in Bus(number * size, seed=seed).envelopes()]
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    return len(items) / seconds(lambda: [store(bound_engine(), Batch.of(part)) for part in parts])
