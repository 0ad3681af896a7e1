"""The lines of docs/tutorial.rst print what it says, from an empty folder to messages of a bus."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import february
from bus import eventually, happens
from pages import steps_of
from ports import free_ports
from shell import ROOT, script

PAGE = (ROOT / "docs" / "tutorial.rst").read_text(encoding="utf-8")
STEPS = steps_of(PAGE)
INSTALLING, TYPED = STEPS[:4], STEPS[4:]
_FILE = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)
_READY = "Running the MokshaHub reactor"
_SECONDS = 60


class Shell:
    """One shell in a folder with the clone's docs, where all lines are typed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "docs").symlink_to(ROOT / "docs")
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
        }
        self._process = subprocess.Popen(
            ["bash"],
            cwd=home,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, line: str) -> str:
        """What a line prints; it must not fail."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{line}\necho end of it: $?\n")
        self._process.stdin.flush()
        printed = ""
        while not printed.endswith("end of it: 0\n"):
            told = self._process.stdout.readline()
            assert told.strip() not in {"", *(f"end of it: {code}" for code in range(1, 256))}, line
            printed += told
        return printed.removesuffix("end of it: 0\n")

    def close(self) -> None:
        self._process.communicate("kill $(jobs -p) 2>/dev/null\nwait\n", timeout=_SECONDS)
        stop = [script("datanommer-embedded"), "stop", "--url", f"embedded://{self.home}/archive"]
        subprocess.run(stop, check=False, capture_output=True)


@pytest.fixture
def quiet_bus(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def test_what_is_installed_is_what_the_quickstart_installs() -> None:
    words = INSTALLING[3].typed.removeprefix("pip install --quiet ")
    assert words in (ROOT / "quickstart.sh").read_text(encoding="utf-8")


def test_the_messages_are_those_of_february() -> None:
    lines = (ROOT / "docs" / "february.ndjson").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == february.unsigned()


def test_each_line_prints_what_the_page_says(quiet_bus: Shell) -> None:
    (file,) = _FILE.findall(PAGE)
    for port, free in zip((9941, 9940), free_ports(2), strict=True):
        file = file.replace(f":{port}", f":{free}")
    (quiet_bus.home / "bus.py").write_text(re.sub("^    ", "", file, flags=re.MULTILINE))
    for step in TYPED:
        printed = step.printed.replace("/home/ralph", str(quiet_bus.home))
        if "--category demo" in step.typed:  # the message is on its way
            assert happens(lambda: quiet_bus.type(step.typed) == printed, _SECONDS)  # noqa: B023
        else:
            assert quiet_bus.type(step.typed) == printed
        if step.typed.endswith("&"):
            log = quiet_bus.home / step.typed.split()[-3]
            eventually(lambda: log.exists() and _READY in log.read_text(), "a daemon")  # noqa: B023


def test_no_line_is_left_out() -> None:
    assert len(STEPS) == len(re.findall(r"^ +\$ ", PAGE, re.MULTILINE))
