"""quickstart.sh shows its archive in a browser, from a clean copy of the checkout."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import NamedTuple

import pytest

import chromium
from chromium import Chromium
from shell import ROOT, until_said
from venvs import succeed

_PATIENCE = 300  # seconds
#: What Chromium says of a page's request that the test does not let out.
_NOT_LET_OUT = "ERR_BLOCKED_BY_CLIENT"


class Quickstart(NamedTuple):
    """A quickstart that runs until Ctrl-C, and the address that it says."""

    process: subprocess.Popen[str]
    address: str

    def interrupt(self) -> int:
        """Press Ctrl-C, and return its exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.communicate(timeout=_PATIENCE)
        return self.process.returncode


@pytest.fixture
def quickstart(artifacts: Path, tmp_path: Path) -> Iterator[Quickstart]:
    succeed(ROOT / "packaging" / "clean-copy.sh", tmp_path / "copy")
    # Not the virtual environment that the tests themselves run in.
    own = {"VENV": str(tmp_path / "venv"), "PYTHON": sys.executable, "TZ": "America/New_York"}
    environment = {**os.environ, **own}
    dependencies = artifacts / "dependencies"
    if dependencies.is_dir():
        # No index, wherever the machine may have one.
        environment |= {"PIP_FIND_LINKS": str(dependencies), "PIP_NO_INDEX": "1"}
        environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_COMPILE": "1"}
    process = subprocess.Popen(
        [tmp_path / "copy" / "quickstart.sh", "--web"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    too_long = Timer(_PATIENCE, os.killpg, [process.pid, signal.SIGTERM])
    too_long.start()
    try:
        assert process.stdout
        address = until_said(process.stdout, r"in a browser: (http://127\.0\.0\.1:\d+/)")
        yield Quickstart(process, address[1])
    finally:
        too_long.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=_PATIENCE)


@pytest.mark.needs_program(chromium.PROGRAM)
def test_a_browser_shows_the_archive_of_the_quickstart_until_ctrl_c(quickstart: Quickstart) -> None:
    with contextlib.closing(Chromium()) as browser:
        # The style and the font are those of Fedora's own site.
        browser.call("Network.setBlockedURLs", urls=["https://*"])
        for page, shown in {
            "": "Getting started",
            "raw": "org.fedoraproject.stg.bodhi.update.comment",
            "raw?category=logger": "org.fedoraproject.stg.logger.log",
        }.items():
            opened = browser.open(quickstart.address + page)
            assert [each for each in opened.errors if _NOT_LET_OUT not in each] == []
            text = browser.evaluate("document.body.innerText").replace("\xa0", " ")
            assert shown in text
    assert quickstart.interrupt() == 0
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(quickstart.address, timeout=10)
