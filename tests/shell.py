"""The installed console scripts, as processes, and the folder of the sources."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

#: The folder of the sources.
ROOT = Path(__file__).parent.parent

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_MEASURE = (
    "import resource, subprocess, sys;"
    "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def script(command: str) -> str:
    """The path of an installed console script."""
    return str(Path(sys.executable).with_name(command))


def peak_memory(command: str, *arguments: str) -> int:
    """The peak of the resident memory of a console script, in kB."""
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, script(command), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(result.stdout)


def into_head(words: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a command of the shell whose reader goes away after the first bytes."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{words} | head -c 10"],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def on_a_terminal(command: str, *arguments: str, **environment: str) -> str:
    """What a command prints where standard output is a terminal of 80 columns."""
    leader, follower = pty.openpty()
    try:
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment}
        process = subprocess.Popen([script(command), *arguments], stdout=follower, env=env)
        os.close(follower)
        shown = b""
        # Linux says EIO when the last process has closed it.
        while chunk := _read(leader):
            shown += chunk
        assert process.wait(60) == 0
        return shown.decode().replace("\r\n", "\n")
    finally:
        os.close(leader)


def until_said(stream: IO[str], expression: str) -> re.Match[str]:
    """Read what a process says until a part of it matches."""
    said = ""
    while not (match := re.search(expression, said)):
        line = stream.readline()
        assert line, said
        said += line
    return match


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""
