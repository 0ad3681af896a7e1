"""What is built, and fresh virtual environments to install it into."""

from __future__ import annotations

import fcntl
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shell import ROOT

VERSION = runpy.run_path(str(ROOT / "distribution.py"))["VERSION"]
CODE = ["datanommer.models", "datanommer.consumer", "datanommer.commands"]
ALL = [*CODE, "datanommer"]


def succeed(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """Run a command, which must succeed, and return what it prints."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def once_a_run(
    tmp_path_factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]
) -> Path:
    """A folder that all workers share: the first that asks builds it, and the others wait."""
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each worker a folder of its own in that of the run.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"once-{name}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            build(unfinished)
            unfinished.rename(folder)
    return folder


class Venv:
    """A fresh virtual environment."""

    def __init__(self, folder: Path, artifacts: Path, stranger: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._sources = ["--find-links", artifacts]
        self._environment = {}
        if (artifacts / "dependencies").is_dir():
            self._sources += ["--find-links", artifacts / "dependencies"]
            self._sources += ["--index-url", stranger.as_uri()]
            # No other index, wherever the machine may have one.
            self._environment = {"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": ""}
        else:
            self._sources += ["--extra-index-url", stranger.as_uri()]
        succeed(sys.executable, "-m", "venv", "--without-pip", folder)

    def install(self, *wanted: str | Path, cwd: Path | None = None) -> None:
        pip = [sys.executable, "-m", "pip", "--python", self.python]
        options = ["install", "-qq", "--no-compile", *self._sources]
        succeed(*pip, *options, *wanted, cwd=cwd, **self._environment)

    def installed(self) -> dict[str, str]:
        """The names of the distributions in here, normalised, and their versions."""
        listing = succeed(
            self.python,
            "-c",
            "import importlib.metadata\n"
            "for each in importlib.metadata.distributions(): print(each.name, each.version)",
        )
        pairs = (line.split() for line in listing.splitlines())
        return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}
