"""What the tests start ends with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

PROGRAM = Path(__file__).with_name("left_running.py")


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell by way of the program."""
    return subprocess.run(
        [sys.executable, PROGRAM, "sh", "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_that_of_the_command_where_nothing_is_left(
    code: int, tmp_path: Path
) -> None:
    ended = run(f"(sleep 0.5 &); echo said; exit {code}", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "said\n", "")


def test_a_daemon_is_named_and_killed_whatever_it_does_to_hide(tmp_path: Path) -> None:
    daemon = "env -i setsid sh -c 'trap \"\" TERM; (sleep 100; exit) & echo $! >pid' >&- 2>&-"
    ended = run(daemon, tmp_path)
    assert ended.returncode == 1
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid)
    assert f"LEFT RUNNING {pid}: " in ended.stdout
    assert f" (in {tmp_path})\n" in ended.stdout
    assert "sleep 100" in ended.stdout
