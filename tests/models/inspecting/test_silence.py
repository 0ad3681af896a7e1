"""Categories that are silent for longer than three times their longest gap."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from datanommer.models import add_all
from datanommer.models.database.engine import create_engine
from datanommer.models.inspecting import silence
from datanommer.models.inspecting.silence import Silent
from envelopes import BODHI_TOPIC, envelope


def sent(hours: float, topic: str = BODHI_TOPIC) -> dict[str, Any]:
    """A message that was sent so many hours ago."""
    return envelope(topic, timestamp=int(time.time() - 3600 * hours))


def found(url: str) -> list[Silent]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return silence.look(connection)
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("hours", "is_silent"),
    [
        ([90, 80, 70, 60, 50, 40, 31], True),  # each ten hours, and now not for 31
        ([90, 80, 70, 60, 50, 40, 29], False),
        ([100, 60, 50, 40, 31], False),  # it was silent for forty hours before
        ([24 * 45, 24 * 20, 24 * 19], False),  # a gap that reaches into the 30 days
        ([24 * 45, 24 * 44], False),  # it has not been heard in the 30 days
        ([40, 39.9, 39.8], False),  # it was heard for no more than a moment
        ([*(30 + n / 4 for n in range(200)), 3.5], False),
        ([4 + n / 4 for n in range(200)], True),  # a gap of minutes counts as an hour
        ([2 + n / 4 for n in range(200)], False),
        ([60, 50, 40, 31, -5], True),  # the clock of a sender is ahead
    ],
)
def test_a_category_is_silent_after_three_times_its_longest_gap(
    bound: str, hours: Sequence[float], is_silent: bool
) -> None:
    add_all([*map(sent, hours), *(sent(n, "org.example.dev.other.b") for n in (1, 40))])
    assert [each.category for each in found(bound)] == (["bodhi"] if is_silent else [])


def test_the_silence_and_the_gap_are_told(bound: str) -> None:
    add_all([sent(hours) for hours in (90, 80, 68, 60, 50, 40)])
    (silent,) = found(bound)
    minute = timedelta(minutes=1)
    assert abs(silent.silence - timedelta(hours=40)) < minute
    assert abs(silent.longest_gap - timedelta(hours=12)) < minute
