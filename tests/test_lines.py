"""Lines of the log, in a flood."""

from __future__ import annotations

import logging
import time

import pytest

from datanommer.consumer import lines

log = logging.getLogger("test")


def test_a_flood_of_one_text_is_cut_short_and_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    told = lines.Lines(log)
    for number in range(1000):
        told.warning("Refused: %s", number)
        if number % 100 == 0:
            told.critical("Lost %s", number)
    told.close()
    refused = [f"Refused: {number}" for number in range(10)]
    assert [line for line in caplog.messages if "Refused" in line] == [
        *refused,
        "... and 990 more lines like 'Refused: %s'",
    ]
    assert len([line for line in caplog.messages if "Lost" in line]) == 10


def test_the_sum_comes_though_nothing_else_does(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_MINUTE", 0.05)
    told = lines.Lines(log, a_minute=1)
    told.warning("Refused: %s", 1)
    told.warning("Refused: %s", 2)
    until = time.monotonic() + 10
    while len(caplog.messages) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert caplog.messages == ["Refused: 1", "... and 1 more lines like 'Refused: %s'"]
    told.warning("Refused: %s", 3)
    assert caplog.messages[-1] == "Refused: 3"
