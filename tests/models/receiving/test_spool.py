"""What waits on disk: in order, whole, and within its limits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from datanommer.models import Message, session
from datanommer.models.errors import ConfigurationError, SpoolDamaged, SpoolFull
from datanommer.models.receiving.received import Received
from datanommer.models.receiving.receiver import Receiver
from datanommer.models.receiving.spool import (
    Spool,
    damaged_files,
    folder_of,
    open_configured,
    set_aside,
)
from envelopes import envelope, received, without
from orm import Rejected
from shell import Run, script

#: One of everything that a batch may hold, and what is to be stored of it.
BATCH = [
    *(
        received(each)
        for each in (
            envelope(msg={"nul": "\0", "half": "\ud800", "n": [1, 1.0, 1e22]}, headers={"a": "b"}),
            without(envelope(), "msg_id", "timestamp"),
            envelope(timestamp=1361166918.8867381, certificate="c\n", username=None),
            envelope(i=2**63),
            envelope(msg=float("nan")),
            envelope(msg_id="nul\0 and half\ud800"),
        )
    ),
    Received.of({"topic": "stomp", "body": [], "headers": {"message-id": "ID:1", "w\u00f6": "\0"}}),
    Received("deep", "[" * 100_000),
    Received("w\u00f6rld", "no JSON \u20ac"),
]
RECEIVER = Receiver({})
ITEMS = [RECEIVER.item(each) for each in BATCH]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", min_free_bytes=0)


def items_of(spool: Spool) -> list[Any]:
    return [RECEIVER.item(each) for _, each in spool.first(10**9)]


def assert_that_all_wait(spool: Spool, items: list[Any] = ITEMS) -> None:
    assert items_of(spool) == items


class TestSpool:
    def test_gives_back_what_it_was_given_in_order(self, spool: Spool) -> None:
        spool.put(BATCH[:2])
        spool.put(BATCH[2:])
        assert_that_all_wait(spool)

    def test_keeps_it_when_it_is_opened_again(self, spool: Spool) -> None:
        spool.put(BATCH)
        spool.close()
        assert_that_all_wait(Spool(spool.folder))

    def test_gives_up_what_is_stored(self, spool: Spool) -> None:
        spool.put(BATCH)
        spool.remove(spool.first(2)[-1][0])
        assert_that_all_wait(spool, ITEMS[2:])
        assert spool.waiting().messages == len(ITEMS) - 2

    def test_gives_the_disk_back(self, spool: Spool) -> None:
        empty = spool.waiting().size
        for _ in range(20):
            spool.put([received(envelope(msg="x" * 100_000))])
        assert spool.waiting().size > 2_000_000
        spool.remove(spool.first(100)[-1][0])
        spool.shrink()
        assert spool.waiting().size <= empty + 100_000

    def test_takes_no_more_than_its_cap(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, max_bytes=200_000, min_free_bytes=0)
        large = [received(envelope(msg="x" * 50_000))]
        spool.put(large)
        with pytest.raises(SpoolFull, match=r"datanommer\.spool_max_bytes"):
            spool.put(large * 5)
        assert items_of(spool) == [RECEIVER.item(each) for each in large]

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
        spool.remove(spool.first(4)[-1][0])
        spool.put(large * 2)

    def test_leaves_the_disk_its_floor(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, min_free_bytes=2**60)
        with pytest.raises(SpoolFull, match=r"datanommer\.spool_min_free_bytes"):
            spool.put(BATCH)
        assert spool.waiting().messages == 0

    def test_keeps_what_it_has_where_the_disk_is_full_in_the_midst(self, spool: Spool) -> None:
        spool.put(BATCH)
        kept = spool.file.with_name(f"{spool.file.name}-wal").stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kept + 50_000, before[1]))
        try:
            with pytest.raises(SpoolFull, match="cannot be written"):
                spool.put([received(envelope(msg="x" * 100_000))])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert_that_all_wait(spool)
        spool.put(BATCH)
        assert_that_all_wait(spool, ITEMS * 2)

    def test_lies_where_it_can_be_written_when_no_folder_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("datanommer.models.receiving.spool.SYSTEM_FOLDER", tmp_path / "system")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert folder_of({}) == tmp_path / ".local/state/datanommer/spool"
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        assert folder_of({}) == tmp_path / "state/datanommer/spool"
        (tmp_path / "system").mkdir()
        assert folder_of({}) == tmp_path / "system"

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SpoolFull, match=r"Not a directory\. datanommer\.spool_dir in the"):
            Spool(tmp_path / "file" / "spool")

    def test_a_user_without_a_home_hears_of_the_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # whom nobody knows
        with pytest.raises(ConfigurationError, match=r"Name a folder with datanommer\.spool_dir"):
            folder_of({})

    def test_is_for_its_owner_alone(self, spool: Spool) -> None:
        assert spool.folder.stat().st_mode & 0o777 == 0o700
        assert spool.file.stat().st_mode & 0o777 == 0o600

    def test_damage_is_found_and_the_file_set_aside(self, spool: Spool) -> None:
        spool.put(BATCH)
        spool.close()
        spool.file.write_bytes(b"no database at all" * 1000)
        with pytest.raises(SpoolDamaged):
            Spool(spool.folder)
        again = open_configured({"datanommer.spool_dir": str(spool.folder)})
        assert again.waiting().messages == 0
        (aside,) = spool.folder.glob("*.damaged-*")
        assert aside.read_bytes().startswith(b"no database")

    def test_what_was_set_aside_before_stays(self, spool: Spool) -> None:
        spool.close()
        contents = [f"no database {number}" * 1000 for number in range(3)]
        for content in contents:
            spool.file.write_text(content)
            set_aside(spool.folder)
        assert sorted(file.read_text() for file in damaged_files(spool.folder)) == contents

    def test_a_kill_in_the_middle_loses_only_what_was_not_accepted(self, tmp_path: Path) -> None:
        code = """if True:
            import sys
            from pathlib import Path
            from datanommer.models.receiving.received import Received
            from datanommer.models.receiving.spool import Spool
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
        kept = [item.i for item in items_of(Spool(tmp_path))]
        # What was accepted is there, whole; of what was not, nothing or all of a batch.
        assert kept == sorted(kept)
        assert len(kept) % 10 == 0
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
        waiting = self.spool.first(number)
        if waiting:
            self.stored += [RECEIVER.item(each) for _, each in waiting]
            self.spool.remove(waiting[-1][0])

    @rule(number=st.integers(1, 5))
    def fail_while_draining(self, number: int) -> None:
        self.spool.first(number)  # the database is away: nothing is taken out

    @rule()
    def crash(self) -> None:
        # Nothing is closed: another process would find the files just so.
        self.spool = Spool(self.folder, min_free_bytes=0)

    @rule()
    def shrink(self) -> None:
        self.spool.shrink()

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        assert self.stored == self.accepted[: len(self.stored)]
        assert self.spool.waiting().messages == len(self.accepted) - len(self.stored)

    def teardown(self) -> None:
        assert self.stored + items_of(self.spool) == self.accepted
        assert self.spool.check() == []
        self.spool.close()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


class TestCommand:
    def test_status_and_drain(self, archive: str, run: Run, spool: Spool) -> None:
        spool.put(BATCH)
        folder = ["--spool-dir", str(spool.folder)]
        assert run("datanommer-spool", "status", *folder).stdout.startswith("9 messages wait in ")
        result = run("datanommer-spool", "drain", "--url", archive, *folder)
        assert result.stdout == "stored 5, duplicates 0, rejected 4\n"
        assert session.query(Message).count() == 5
        assert session.query(Rejected).count() == 4
        assert run("datanommer-spool", "status", *folder).stdout.startswith("0 messages wait")

    def test_the_folder_is_the_one_of_the_configuration(self, run: Run, tmp_path: Path) -> None:
        Spool(tmp_path / "s", min_free_bytes=0).put(BATCH)
        file = tmp_path / "config.py"
        file.write_text(f"config = {{'datanommer.spool_dir': {str(tmp_path / 's')!r}}}")
        result = run("datanommer-spool", "status", "--config-filename", str(file))
        assert result.stdout.startswith("9 messages wait")

    def test_where_there_is_none_none_is_made(self, archive: str, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "config.py"
        file.write_text(f"config = {{'datanommer.spool_dir': {str(tmp_path / 'none')!r}}}")
        for named in (["--config-filename", str(file)], ["--spool-dir", str(tmp_path)]):
            status = run("datanommer-spool", "status", *named)
            assert status.stdout.startswith("0 messages wait; there is no spool in ")
            drain = run("datanommer-spool", "drain", "--url", archive, *named)
            assert (drain.returncode, drain.stdout) == (0, "stored 0, duplicates 0, rejected 0\n")
            assert drain.stderr.startswith("There is no spool in ")
            check = run("datanommer-spool", "check", *named)
            assert (check.returncode, check.stderr) == (0, "")
            assert check.stdout.startswith("There is no spool in ")
        assert list(tmp_path.iterdir()) == [file]

    @pytest.mark.parametrize("command", ["status", "drain", "check"])
    @pytest.mark.parametrize("name", ["none", "file", ""])
    def test_what_is_no_folder_is_a_usage_error(
        self, run: Run, tmp_path: Path, command: str, name: str
    ) -> None:
        (tmp_path / "file").touch()
        named = str(tmp_path / name) if name else ""
        result = run("datanommer-spool", command, "--spool-dir", named)
        assert (result.returncode, result.stdout) == (2, "")
        assert f"'{named}'" in result.stderr

    @pytest.mark.parametrize("command", ["status", "check"])
    def test_the_folder_of_another_user_is_refused(self, tmp_path: Path, command: str) -> None:
        folder = tmp_path / "spool"
        folder.mkdir(mode=0)
        file = tmp_path / "config.py"
        file.write_text(f"config = {{'datanommer.spool_dir': {str(folder)!r}}}")
        for named in (["--config-filename", str(file)], ["--spool-dir", str(folder)]):
            assert_refused(without_privileges(command, *named), folder)

    @pytest.mark.parametrize("command", ["status", "check"])
    def test_so_is_that_of_the_system_where_no_folder_is_named(self, command: str) -> None:
        # A /var/spool of its own, that nobody else sees.
        alone = ["unshare", "--mount", "sh", "-c"]
        made = "mount -t tmpfs tmpfs /var/spool && mkdir -m 0 /var/spool/datanommer"
        if subprocess.run([*alone, made], capture_output=True, check=False).returncode:
            pytest.skip("nothing can be mounted")
        result = without_privileges(command, before=[*alone, f'{made} && exec "$@"', "sh"])
        assert_refused(result, Path("/var/spool/datanommer"))

    def test_check_finds_damage(self, run: Run, spool: Spool) -> None:
        spool.put([received(envelope(msg="x" * 5000)) for _ in range(100)])
        folder = ["--spool-dir", str(spool.folder)]
        assert run("datanommer-spool", "check", *folder).returncode == 0
        spool.shrink()
        spool.close()
        whole = spool.file.read_bytes()
        spool.file.write_bytes(whole[:20_000] + os.urandom(20_000) + whole[40_000:])
        result = run("datanommer-spool", "check", *folder)
        assert result.returncode == 1
        assert str(spool.file) in result.stdout + result.stderr
        assert "Traceback" not in result.stderr


def without_privileges(
    command: str, *options: str, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run ``datanommer-spool`` as somebody who may not do all that root may."""
    dropped = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
    line = [*before, *(dropped if os.geteuid() == 0 else ()), script("datanommer-spool")]
    return subprocess.run([*line, command, *options], capture_output=True, text=True, check=False)


def assert_refused(result: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert (result.returncode, result.stdout) == (1, "")
    assert f"The folder {folder} of the spool is not yours" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_drawn_id_survives_the_spool(archive: str, run: Run, spool: Spool) -> None:
    sent = received(without(envelope(), "msg_id", "timestamp"))
    spool.put([sent])
    spool.put([sent])  # as after a commit whose outcome is not known
    result = run("datanommer-spool", "drain", "--url", archive, "--spool-dir", str(spool.folder))
    assert result.stdout == "stored 1, duplicates 1, rejected 0\n"
    stored = session.query(Message).one()
    assert sent.fallback is not None
    assert stored.msg_id.endswith(sent.fallback.unique)
    assert stored.body == sent.envelope()["body"]
