"""The figures that a consumer gives to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Figures(NamedTuple):
    """What a consumer has counted.

    Attributes:
        counts: how many messages had each fate, by the fate and the road (`Reporter.counts`).
        gauges: what there is now, by the name of the metric; None where there is none.
    """

    counts: Mapping[tuple[str, str], int]
    gauges: Mapping[str, float | None]
