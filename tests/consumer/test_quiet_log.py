"""Lines of the log, in a flood."""

from __future__ import annotations

import logging
import threading

import pytest

from datanommer.consumer import quiet_log

log = logging.getLogger("test")


def test_a_flood_of_one_text_is_cut_short_and_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    told = quiet_log.QuietLog(log)
    for number in range(1000):
        told.warning("Refused: %s", number)
        if number % 100 == 0:
            told.critical("Lost %s", number)
    told.close()
    refused = [f"Refused: {number}" for number in range(10)]
    assert [line for line in caplog.messages if "Refused" in line] == [
        *refused,
        "... and 990 more of this kind, like the first: Refused: 0",
    ]
    assert len([line for line in caplog.messages if "Lost" in line]) == 10


def timers() -> list[threading.Timer]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_the_sum_comes_though_nothing_else_does(caplog: pytest.LogCaptureFixture) -> None:
    before = timers()
    told = quiet_log.QuietLog(log, per_minute=1, minute=0.5)
    told.warning("Refused: %s", 1)
    told.warning("Refused: %s", 2)
    assert caplog.messages == ["Refused: 1"]
    (minute,) = (timer for timer in timers() if timer not in before)
    assert minute.daemon  # a hub that ends does not wait for it
    minute.join(30)
    assert caplog.messages == [
        "Refused: 1",
        "... and 1 more of this kind, like the first: Refused: 1",
    ]
    told.warning("Refused: %s", 3)
    assert caplog.messages[-1] == "Refused: 3"


def test_the_sum_comes_after_a_minute() -> None:
    before = timers()
    quiet_log.QuietLog(log).warning("Refused")
    (minute,) = (timer for timer in timers() if timer not in before)
    assert minute.interval == 60
    minute.cancel()


def test_one_cause_does_not_hide_another(caplog: pytest.LogCaptureFixture) -> None:
    told = quiet_log.QuietLog(log, per_minute=1)
    for reason in ("away", "away", "damaged"):
        told.warning("Messages wait: %s", reason, kind=reason)
    assert caplog.messages == ["Messages wait: away", "Messages wait: damaged"]
