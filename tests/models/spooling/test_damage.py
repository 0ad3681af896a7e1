"""Whatever happens to the files of a spool: what can be read is stored, the rest is counted."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from datanommer.models.errors import SpoolFull
from datanommer.models.spooling.folder import damaged_files
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received
from spools import RECEIVER, drained, take

MESSAGES = [received(envelope(msg=f"{number} " + "x" * 3000)) for number in range(50)]
ITEMS = list(RECEIVER.each(MESSAGES))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool of several segments, of some twenty messages each."""
    spool = Spool(tmp_path / "spool", max_bytes=1_000_000, min_free_bytes=0)
    for message in MESSAGES:
        spool.put([message])
    assert len(segments(spool)) > 1
    return spool


def segments(spool: Spool) -> list[Path]:
    return sorted(spool.folder.glob("*.spool"))


def overwrite(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as content:
        content.seek(offset)
        content.write(data)


def assert_that_the_rest_is_counted(spool: Spool, taken: int = 0) -> int:
    """All messages after those taken are read, in order, or told to be lost; how many are."""
    items, missing = drained(spool)
    assert items == [item for item in ITEMS[taken:] if item in items]
    assert len(items) + missing == len(ITEMS) - taken
    assert spool.waiting() == (0, 0)
    spool.put(MESSAGES)
    assert drained(spool) == (ITEMS, 0)
    return missing


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("is_reopened", [False, True])
def test_a_bad_page_costs_the_messages_on_it(spool: Spool, seed: int, is_reopened: bool) -> None:
    choice = random.Random(seed)
    taken = choice.randrange(len(ITEMS))
    take(spool, taken)
    file = choice.choice(segments(spool))
    page = choice.randrange(file.stat().st_size // 4096)
    overwrite(file, page * 4096, choice.randbytes(4096))
    if is_reopened:
        spool = Spool(spool.folder, min_free_bytes=0)
    assert assert_that_the_rest_is_counted(spool, taken) <= 3


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("is_reopened", [False, True])
def test_a_file_that_is_cut_costs_what_was_behind(
    spool: Spool, seed: int, is_reopened: bool
) -> None:
    choice = random.Random(seed)
    taken = choice.randrange(20)
    take(spool, taken)
    file = choice.choice(segments(spool))
    os.truncate(file, choice.randrange(file.stat().st_size))
    if is_reopened:
        spool = Spool(spool.folder, min_free_bytes=0)
    assert 0 < assert_that_the_rest_is_counted(spool, taken) <= 25


def test_a_damaged_file_is_kept_and_named(spool: Spool) -> None:
    file = segments(spool)[0]
    overwrite(file, 5000, b"no message")
    losses = []
    while chunk := spool.first(10, 10**9):
        losses.append(spool.remove(chunk))
    (loss,) = filter(None, losses)
    (aside,) = damaged_files(spool.folder)
    assert (loss.missing, loss.file) == (1, aside)
    assert aside.stem == file.stem
    assert str(aside) in str(loss)


def test_a_file_that_is_damaged_takes_no_more_and_is_soon_done_with(spool: Spool) -> None:
    (*_, file) = segments(spool)
    end = file.stat().st_size
    spool.put(MESSAGES[:3])
    overwrite(file, end + 100, b"no message")
    assert take(spool, len(MESSAGES) + 1) == [*ITEMS, ITEMS[1]]
    spool.put(MESSAGES[3:4])
    assert len(segments(spool)) == 2
    assert take(spool, 2) == ITEMS[2:4]
    assert [each.stem for each in damaged_files(spool.folder)] == [file.stem]


def test_what_is_written_after_a_file_was_cut_is_read(spool: Spool) -> None:
    os.truncate(segments(spool)[-1], 10)
    spool.put(MESSAGES)
    items, missing = drained(spool)
    assert items[-len(ITEMS) :] == ITEMS
    assert len(items) + missing == 2 * len(ITEMS)


@pytest.mark.parametrize("is_known", [True, False])
def test_without_its_state_all_that_can_be_read_is_stored(spool: Spool, is_known: bool) -> None:
    take(spool, 5)
    overwrite(spool.folder / "state", 10, b"9")
    again = spool if is_known else Spool(spool.folder)
    items, missing = drained(again)
    # Who knows no better takes out once more what was taken out of the first file.
    assert (items, missing) == (ITEMS[5 if is_known else 0 :], 0)


def test_a_folder_that_goes_is_made_again_and_what_was_in_it_counted(spool: Spool) -> None:
    take(spool, 5)
    shutil.rmtree(spool.folder)
    spool.put(MESSAGES[:3])
    assert drained(spool) == (ITEMS[:3], len(ITEMS) - 5)
    assert spool.waiting().messages == 0


def test_a_file_that_goes_is_counted_and_the_others_are_whole(spool: Spool) -> None:
    (first, *_) = segments(spool)
    first.unlink()
    (fault,) = spool.check()
    items, missing = drained(spool)
    assert items == ITEMS[missing:]
    assert f"Messages that waited in the spool are lost ({missing})" in fault
    assert damaged_files(spool.folder) == []


@pytest.fixture
def bad_blocks(monkeypatch: pytest.MonkeyPatch) -> dict[Path, range]:
    """The bytes of files that the disk cannot read."""
    bad: dict[Path, range] = {}
    read = os.pread

    def pread(descriptor: int, length: int, place: int) -> bytes:
        for file, where in bad.items():
            is_here = os.fstat(descriptor).st_ino == file.stat().st_ino
            if is_here and place < where.stop and place + length > where.start:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, length, place)

    monkeypatch.setattr(os, "pread", pread)
    return bad


def test_a_block_that_the_disk_cannot_read_costs_the_messages_on_it(
    spool: Spool, bad_blocks: dict[Path, range]
) -> None:
    (file, *_) = segments(spool)
    bad_blocks[file] = range(8192, 12288)
    read, missing = [], 0
    while chunk := spool.first(100, 10**9):
        read += chunk.received
        missing += chunk.missing
        if chunk.segment != file.name:
            break
        bad_blocks.clear()
        spool.remove(chunk)
    assert 1 <= missing <= 3
    items = list(RECEIVER.each(read))
    assert items == [item for item in ITEMS[: len(items) + missing] if item in items]


def test_a_state_that_the_disk_cannot_read_costs_no_message(
    spool: Spool, bad_blocks: dict[Path, range]
) -> None:
    bad_blocks[spool.folder / "state"] = range(512)
    again = Spool(spool.folder, min_free_bytes=0)
    again.require_room()
    again.put(MESSAGES[:3])
    assert drained(again) == ([*ITEMS, *ITEMS[:3]], 0)


@pytest.mark.parametrize("written", [0, 10])
def test_a_file_that_was_only_begun_when_the_process_was_killed_takes_messages(
    tmp_path: Path, written: int
) -> None:
    spool = Spool(tmp_path, min_free_bytes=0)
    (tmp_path / f"{1:020}-ffffffffffffffff.spool").write_bytes(b"datanommer"[:written])
    spool.put(MESSAGES[:3])
    spool.put(MESSAGES[3:])
    assert len(segments(spool)) == 1
    assert drained(spool) == (ITEMS, 0)


def test_a_file_that_was_only_begun_hides_nothing_from_a_state_that_is_behind(
    spool: Spool,
) -> None:
    behind = (spool.folder / "state").read_bytes()
    spool.put(MESSAGES)
    begun = spool.folder / f"{2 * len(MESSAGES) + 1:020}-ffffffffffffffff.spool"
    begun.touch()
    (spool.folder / "state").write_bytes(behind)
    again = Spool(spool.folder, min_free_bytes=0)
    assert again.waiting().messages == 2 * len(MESSAGES)
    again.put(MESSAGES[:3])
    assert drained(again) == ([*ITEMS, *ITEMS, *ITEMS[:3]], 0)


def test_what_one_process_knew_of_a_folder_that_went_hides_nothing_from_another(
    spool: Spool,
) -> None:
    other = Spool(spool.folder, min_free_bytes=0)
    other.put(MESSAGES)
    take(other, len(ITEMS) + 20)
    shutil.rmtree(spool.folder)
    spool.put(MESSAGES[:3])
    items, _ = drained(other)
    assert items == ITEMS[:3]


@pytest.fixture
def read_only(spool: Spool) -> Iterator[Path]:
    """The folder of a spool, on a disk that takes no change."""
    mount = ["mount", "--bind", str(spool.folder), str(spool.folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted")
    subprocess.run(["mount", "-o", "remount,bind,ro", spool.folder], check=True)
    yield spool.folder
    subprocess.run(["umount", spool.folder], check=True)


def test_on_a_disk_that_takes_no_change_what_waits_is_stored_once(read_only: Path) -> None:
    spool = Spool(read_only, min_free_bytes=0)
    with pytest.raises(SpoolFull, match="Read-only file system"):
        spool.put(MESSAGES)
    assert drained(spool) == (ITEMS, 0)
    assert spool.waiting().messages == 0
    assert spool.first(1, 1) is None
