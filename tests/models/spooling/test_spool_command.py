"""``datanommer-spool``: what it shows, stores, checks and recovers."""

from __future__ import annotations

import os
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from datanommer.models import Message, session
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received, without
from orm import Rejected
from shell import Run, script
from spools import BATCH, LARGE, take


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", min_free_bytes=0)


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

    def test_status_changes_nothing(self, run: Run, tmp_path: Path) -> None:
        folder, elsewhere = tmp_path / "spool", tmp_path / "elsewhere"
        folder.mkdir()
        elsewhere.touch(mode=0o644)
        (folder / "state").symlink_to(elsewhere)
        for command in ("status", "check"):
            run("datanommer-spool", command, "--spool-dir", str(folder))
        assert (elsewhere.stat().st_mode & 0o777, elsewhere.read_bytes()) == (0o644, b"")
        assert list(folder.iterdir()) == [folder / "state"]

    @pytest.mark.parametrize("command", ["status", "check", "drain"])
    @pytest.mark.parametrize("is_newer", [True, False])
    def test_a_spool_of_another_version_is_named_as_such(
        self, archive: str, run: Run, spool: Spool, command: str, is_newer: bool
    ) -> None:
        spool.put(BATCH)
        if is_newer:
            _rewrite_state(spool, b'"version": 2', b'"version": 3')
        else:
            (spool.folder / "spool.sqlite").touch()
        url = ["--url", archive] if command == "drain" else []
        result = run("datanommer-spool", command, "--spool-dir", str(spool.folder), *url)
        assert result.returncode == 1
        assert "written by another version of datanommer" in result.stderr
        assert session.query(Message).count() == 0

    def test_damage_is_found_drained_counted_and_recovered(
        self, archive: str, run: Run, spool: Spool
    ) -> None:
        spool.put([received(envelope(msg="x" * 5000)) for _ in range(100)])
        folder = ["--spool-dir", str(spool.folder)]
        assert run("datanommer-spool", "check", *folder).returncode == 0
        (file,) = spool.folder.glob("*.spool")
        whole = file.read_bytes()
        file.write_bytes(whole[:20_000] + os.urandom(20_000) + whole[40_000:])

        result = run("datanommer-spool", "check", *folder)
        assert (result.returncode, result.stderr) == (65, "")
        assert result.stdout == f"{file}: 5 messages in it cannot be read.\n"

        result = run("datanommer-spool", "drain", "--url", archive, *folder)
        assert (result.returncode, result.stdout) == (65, "stored 95, duplicates 0, rejected 0\n")
        (aside,) = spool.folder.glob("*.damaged")
        assert "5 of its messages cannot be read" in result.stderr
        assert str(aside) in result.stderr

        result = run("datanommer-spool", "check", *folder)
        assert result.returncode == 65
        assert f"{aside}: set aside" in result.stdout
        result = run("datanommer-spool", "recover", "--url", archive, str(aside))
        assert (result.returncode, result.stdout) == (0, "stored 0, duplicates 95, rejected 0\n")
        assert result.stderr == f"At least 5 messages of {aside} cannot be read.\n"

    def test_a_file_whose_first_page_is_damaged_is_recovered(
        self, archive: str, run: Run, spool: Spool
    ) -> None:
        spool.put([received(envelope()) for _ in range(100)])
        (file,) = spool.folder.glob("*.spool")
        file.write_bytes(os.urandom(4096) + file.read_bytes()[4096:])
        folder = ["--spool-dir", str(spool.folder)]
        stored = run("datanommer-spool", "drain", "--url", archive, *folder).stdout
        (aside,) = spool.folder.glob("*.damaged")
        result = run("datanommer-spool", "recover", "--url", archive, str(aside))
        number = session.query(Message).count()
        assert stored == f"stored {number}, duplicates 0, rejected 0\n"
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == f"stored 0, duplicates {number}, rejected 0\n"
        assert 80 < number < 100

    def test_recover_says_that_no_message_can_be_read(
        self, archive: str, run: Run, spool: Spool
    ) -> None:
        spool.put(BATCH)
        (file,) = spool.folder.glob("*.spool")
        file.write_bytes(os.urandom(file.stat().st_size))
        result = run("datanommer-spool", "recover", "--url", archive, str(file))
        assert (result.returncode, result.stdout) == (1, "stored 0, duplicates 0, rejected 0\n")
        assert f"No message in {file} can be read." in result.stderr

    def test_recover_stores_what_can_be_read_whatever_the_file_is_called(
        self, archive: str, run: Run, spool: Spool, tmp_path: Path
    ) -> None:
        spool.put([LARGE, *BATCH])
        take(spool, 1)
        (file,) = spool.folder.glob("*.spool")
        moved = file.rename(tmp_path / "found on a disk")
        result = run("datanommer-spool", "recover", "--url", archive, str(moved))
        assert (result.returncode, result.stdout) == (0, "stored 6, duplicates 0, rejected 4\n")
        assert result.stderr.endswith(": datanommer-rejected list --limit 4\n")
        assert moved.exists()

    def test_recover_goes_on_after_a_file_that_cannot_be_read(
        self, archive: str, run: Run, spool: Spool, tmp_path: Path
    ) -> None:
        spool.put(BATCH)
        (whole,) = spool.folder.glob("*.spool")
        broken = tmp_path / "broken"
        broken.write_bytes(b"something else")
        files = [str(broken), str(whole)]
        result = run("datanommer-spool", "recover", "--url", archive, *files)
        assert (result.returncode, result.stdout) == (1, "stored 5, duplicates 0, rejected 4\n")
        assert f"Error: {broken} is not a spool file" in result.stderr

    def test_recover_says_what_is_no_file_of_a_spool(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_bytes(b"something else")
        result = run("datanommer-spool", "recover", "--url", archive, str(tmp_path / "file"))
        assert (result.returncode, result.stdout) == (1, "stored 0, duplicates 0, rejected 0\n")
        assert "is not a spool file" in result.stderr

    def test_what_is_lost_with_its_file_is_counted(
        self, archive: str, run: Run, spool: Spool
    ) -> None:
        spool.put(BATCH)
        (file,) = spool.folder.glob("*.spool")
        file.unlink()
        result = run(
            "datanommer-spool", "drain", "--url", archive, "--spool-dir", str(spool.folder)
        )
        assert (result.returncode, result.stdout) == (65, "stored 0, duplicates 0, rejected 0\n")
        assert (
            result.stderr == "Messages that waited in the spool are lost (9): their file is gone.\n"
        )


def _rewrite_state(spool: Spool, old: bytes, new: bytes) -> None:
    file = spool.folder / "state"
    text = file.read_bytes().rpartition(b" ")[0].replace(old, new)
    file.write_bytes(b"%b %08x\n" % (text, zlib.crc32(text)))


def without_privileges(
    command: str, *options: str, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run ``datanommer-spool`` as somebody who may not do all that root may."""
    dropped = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
    line = [*before, *(dropped if os.geteuid() == 0 else ()), script("datanommer-spool")]
    return subprocess.run([*line, command, *options], capture_output=True, text=True, check=False)


def assert_refused(result: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert (result.returncode, result.stdout) == (1, "")
    assert f"You cannot read and write the spool folder {folder}" in result.stderr
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
