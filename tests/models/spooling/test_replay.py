"""Copies of what was stored lately stay as long as they may be of use, and come back."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from datanommer.models.errors import ConfigurationError
from datanommer.models.spooling.replay import Replay
from envelopes import envelope, received
from spools import BATCH, ITEMS, RECEIVER

MESSAGES = [received(envelope(msg=f"{number} " + "x" * 1000)) for number in range(100)]


def items_of(replay: Replay) -> list[object]:
    return list(RECEIVER.each(replay.messages()))


def age(folder: Path, seconds: float) -> None:
    """Let what is there be older."""
    for file in folder.glob("*.spool"):
        then = time.time() - seconds
        os.utime(file, (then, then))


@pytest.mark.parametrize("is_reopened", [False, True])
def test_what_is_kept_comes_back_as_it_was_and_in_order(tmp_path: Path, is_reopened: bool) -> None:
    replay = Replay(tmp_path, 60)
    replay.keep(BATCH[:2])
    if is_reopened:
        replay = Replay(tmp_path, 60)
    replay.keep(BATCH[2:])
    assert items_of(replay) == ITEMS


def test_what_was_kept_for_long_enough_expires_and_nothing_else(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 60)
    replay.keep(BATCH[:2])
    age(tmp_path, 59)
    replay.expire()
    assert items_of(replay) == ITEMS[:2]
    age(tmp_path, 61)
    replay.expire()
    assert items_of(replay) == []
    replay.keep(BATCH[2:])
    replay.expire()
    assert items_of(replay) == ITEMS[2:]


def test_the_oldest_go_where_there_are_too_many(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 60, max_bytes=100_000)
    for message in MESSAGES:
        replay.keep([message])
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 100_000
    left = items_of(replay)
    assert len(left) > 50
    assert left == list(RECEIVER.each(MESSAGES[-len(left) :]))


def test_damage_costs_what_is_on_the_page(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 60)
    replay.keep(MESSAGES)
    (file,) = tmp_path.glob("*.spool")
    whole = file.read_bytes()
    file.write_bytes(whole[:20_000] + os.urandom(4096) + whole[24_096:])
    items = items_of(replay)
    assert len(MESSAGES) - 6 <= len(items) < len(MESSAGES)
    assert items == [item for item in RECEIVER.each(MESSAGES) if item in items]


def test_a_folder_that_goes_costs_what_was_in_it(tmp_path: Path) -> None:
    replay = Replay(tmp_path / "replay", 60)
    replay.keep(BATCH[:2])
    replay.note("1/00000001")
    shutil.rmtree(tmp_path / "replay")
    assert (items_of(replay), replay.timeline()) == ([], None)
    replay.expire()
    replay.keep(BATCH[2:])
    assert items_of(replay) == ITEMS[2:]


def test_the_timeline_stays(tmp_path: Path) -> None:
    Replay(tmp_path / "replay", 60).note("1/00000001")
    assert Replay(tmp_path / "replay", 60).timeline() == "1/00000001"


def test_there_is_none_unless_the_configuration_asks_for_it(tmp_path: Path) -> None:
    config = {"datanommer.spool_dir": str(tmp_path)}
    assert Replay.configured(config) is None
    asked = Replay.configured({**config, "datanommer.replay_seconds": 1})
    assert asked is not None
    asked.keep(BATCH)
    assert len(list((tmp_path / "replay").iterdir())) == 1


@pytest.mark.parametrize(
    "wrong", [{"datanommer.replay_seconds": 10**6}, {"datanommer.replay_max_bytes": "much"}]
)
def test_what_is_no_number_of_seconds_or_bytes_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="must be a whole number"):
        Replay.configured(wrong)
