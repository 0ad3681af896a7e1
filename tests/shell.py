"""The installed console scripts, as processes, and the folder of the sources."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
