"""What waits on disk: in order, whole, and within its limits."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from datanommer.models.errors import ConfigurationError, SpoolFull
from datanommer.models.receiving.received import Received
from datanommer.models.spooling.folder import folder_of
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received
from spools import BATCH, ITEMS, LARGE, RECEIVER, drained, items_of, size_on_disk, take


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", min_free_bytes=0)


class TestSpool:
    def test_gives_back_what_it_was_given_in_order(self, spool: Spool) -> None:
        spool.put(BATCH[:2])
        spool.put(BATCH[2:])
        assert items_of(spool) == ITEMS

    def test_keeps_it_when_it_is_opened_again(self, spool: Spool) -> None:
        spool.put(BATCH)
        assert items_of(Spool(spool.folder)) == ITEMS

    def test_gives_up_what_is_stored(self, spool: Spool) -> None:
        spool.put(BATCH)
        take(spool, 2)
        assert spool.waiting().messages == len(ITEMS) - 2
        assert items_of(spool) == ITEMS[2:]

    def test_makes_nothing_before_something_is_put_in(self, spool: Spool) -> None:
        assert spool.waiting() == (0, 0)
        assert spool.first(1, 1) is None
        assert not spool.folder.exists()

    def test_gives_out_no_more_bytes_than_it_is_asked_for(self, spool: Spool) -> None:
        spool.put([LARGE] * 5)
        chunk = spool.first(1000, 2 * len(LARGE.body))
        assert chunk
        assert len(chunk.received) == 2
        chunk = spool.first(1000, 1)
        assert chunk
        assert len(chunk.received) == 1

    def test_gives_the_disk_back_as_it_is_emptied(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, max_bytes=4_000_000, min_free_bytes=0)
        for _ in range(20):
            spool.put([LARGE])
        assert size_on_disk(spool) > 2_000_000
        take(spool, 10)
        assert size_on_disk(spool) < 1_500_000
        take(spool, 10)
        assert size_on_disk(spool) < 1_000

    def test_what_somebody_else_took_out_is_not_taken_out_twice(self, spool: Spool) -> None:
        spool.put(BATCH[:2])
        chunk = spool.first(1, 10**6)
        take(Spool(spool.folder), 1)
        assert chunk
        spool.remove(chunk)
        assert items_of(spool) == ITEMS[1:2]

    def test_nothing_is_taken_out_of_another_file_than_it_was_read_from(self, spool: Spool) -> None:
        spool.put(BATCH)
        chunk = spool.first(len(BATCH), 10**9)
        shutil.rmtree(spool.folder)
        again = Spool(spool.folder, min_free_bytes=0)
        again.put(BATCH[:3])
        assert chunk
        for each in (spool, again):
            each.remove(chunk)
        assert drained(again) == (ITEMS[:3], 0)

    def test_counts_without_a_look_at_each_message(self, spool: Spool) -> None:
        for _ in range(3):
            spool.put(BATCH)
        for file in spool.folder.glob("*.spool"):
            file.write_bytes(b"")
        assert spool.waiting().messages == 3 * len(BATCH)

    def test_what_was_written_before_a_crash_but_not_told_is_there(self, spool: Spool) -> None:
        spool.put(BATCH[:2])
        state = (spool.folder / "state").read_bytes()
        spool.put(BATCH[2:])
        (spool.folder / "state").write_bytes(state)
        again = Spool(spool.folder, min_free_bytes=0)
        assert items_of(again) == ITEMS
        again.put(BATCH)
        assert drained(again) == (ITEMS * 2, 0)

    def test_what_a_crash_tore_is_not_there_and_counts_as_no_loss(self, spool: Spool) -> None:
        spool.put(BATCH)
        (file,) = spool.folder.glob("*.spool")
        with file.open("ab") as content:
            content.write(file.read_bytes()[50:150])
        again = Spool(spool.folder, min_free_bytes=0)
        assert again.waiting().messages == len(BATCH)
        again.put(BATCH)
        assert drained(again) == (ITEMS * 2, 0)
        assert list(spool.folder.glob("*.damaged")) == []

    def test_takes_no_more_than_its_cap(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, max_bytes=200_000, min_free_bytes=0)
        large = [received(envelope(msg="x" * 50_000))]
        spool.put(large)
        with pytest.raises(SpoolFull, match=r"datanommer\.spool_max_bytes"):
            spool.put(large * 5)
        assert items_of(spool) == list(RECEIVER.each(large))

    def test_counts_bytes_and_not_characters(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, max_bytes=200_000, min_free_bytes=0)
        with pytest.raises(SpoolFull):
            spool.put([Received("t", "\u20ac" * 100_000)])

    def test_takes_more_again_when_some_is_stored(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, max_bytes=400_000, min_free_bytes=0)
        large = [received(envelope(msg="x" * 50_000))]

        def fill() -> None:
            for _ in range(20):
                spool.put(large)

        with pytest.raises(SpoolFull):
            fill()
        take(spool, 4)
        spool.put(large * 2)

    def test_leaves_the_disk_its_floor(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, min_free_bytes=2**60)
        with pytest.raises(SpoolFull, match=r"datanommer\.spool_min_free_bytes"):
            spool.put(BATCH)
        assert spool.waiting().messages == 0

    def test_keeps_what_it_has_where_the_disk_is_full_in_the_midst(self, spool: Spool) -> None:
        spool.put(BATCH)
        (file,) = spool.folder.glob("*.spool")
        kept = file.stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kept + 50_000, before[1]))
        try:
            with pytest.raises(SpoolFull, match="cannot be used"):
                spool.put([LARGE])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert items_of(spool) == ITEMS
        spool.put(BATCH)
        assert drained(spool) == (ITEMS * 2, 0)

    def test_lies_where_it_can_be_written_when_no_folder_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        system = tmp_path / "system"
        monkeypatch.setenv("HOME", str(tmp_path))
        assert folder_of({}, system_folder=system) == tmp_path / ".local/state/datanommer/spool"
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        assert folder_of({}, system_folder=system) == tmp_path / "state/datanommer/spool"
        system.mkdir()
        assert folder_of({}, system_folder=system) == system

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SpoolFull, match=r"Not a directory\. datanommer\.spool_dir in the"):
            Spool(tmp_path / "file" / "spool").put(BATCH)

    def test_a_user_without_a_home_hears_of_the_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # whom nobody knows
        with pytest.raises(ConfigurationError, match=r"Name a folder with datanommer\.spool_dir"):
            folder_of({})

    def test_is_for_its_owner_alone(self, spool: Spool) -> None:
        spool.put(BATCH)
        assert spool.folder.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in spool.folder.iterdir()} == {0o600}

    def test_a_kill_in_the_middle_loses_only_what_was_not_accepted(self, tmp_path: Path) -> None:
        code = """if True:
            import sys
            from pathlib import Path
            from datanommer.models.receiving.received import Received
            from datanommer.models.spooling.spool import Spool
            spool = Spool(Path(sys.argv[1]), min_free_bytes=0)
            for number in range(10**9):
                body = '{"topic": "t", "i": %s, "msg": "%s", "timestamp": 1}' % (number, "x" * 5000)
                spool.put([Received("t", body)] * 10)
                print(number, flush=True)
        """
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(30):
            accepted = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        for line in process.stdout:
            accepted = int(line)
        process.wait()
        items, missing = drained(Spool(tmp_path))
        kept = [item.i for item in items]
        assert missing == 0
        # What was accepted is there, in order; of what was not, maybe some.
        assert kept == sorted(kept)
        assert set(range(accepted + 1)) <= set(kept)


class SpoolMachine(RuleBasedStateMachine):
    """Whatever happens: what was accepted is waiting or was taken out, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.spool = Spool(self.folder, min_free_bytes=0)
        self.accepted: list[Any] = []
        self.stored: list[Any] = []

    @rule(numbers=st.lists(st.integers(0, len(BATCH) - 1), min_size=1, max_size=5))
    def put(self, numbers: list[int]) -> None:
        self.spool.put([BATCH[number] for number in numbers])
        self.accepted += [ITEMS[number] for number in numbers]

    @rule(number=st.integers(1, 5))
    def drain(self, number: int) -> None:
        self.stored += take(self.spool, number)

    @rule(number=st.integers(1, 5))
    def fail_while_draining(self, number: int) -> None:
        self.spool.first(number, 10**9)  # the database is away: nothing is taken out

    @rule()
    def crash(self) -> None:
        self.spool = Spool(self.folder, min_free_bytes=0)

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        assert self.stored == self.accepted[: len(self.stored)]
        assert self.spool.waiting().messages == len(self.accepted) - len(self.stored)

    def teardown(self) -> None:
        assert self.spool.check() == []
        items, missing = drained(self.spool)
        assert (self.stored + items, missing) == (self.accepted, 0)
        assert self.spool.waiting().messages == 0


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
