"""The pictures of the documentation, and its figures, are what their scripts make."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shell import ROOT, Run

DOCS = ROOT / "docs"


def drawn(name: str, **environment: str) -> str:
    """What the script of a picture prints."""
    return subprocess.run(
        [sys.executable, str(DOCS / f"{name}.py")],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def kept(name: str) -> str:
    return (DOCS / f"{name}.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["house", "roads"])
def test_a_drawing_is_what_its_script_draws(name: str) -> None:
    assert kept(name) == drawn(name), f"Type python docs/{name}.py > docs/{name}.svg"


def test_the_terminal_shows_what_the_commands_print(database: str, run: Run) -> None:
    loaded = run("datanommer-load", str(DOCS / "february.ndjson"), "--url", database)
    assert loaded.returncode == 0, loaded.stderr
    assert kept("terminal") == drawn("terminal", DATANOMMER_SQLALCHEMY_URL=database)


def test_the_page_of_figures_is_made_of_the_results(tmp_path: Path) -> None:
    page = shutil.copy(DOCS / "performance.rst", tmp_path)
    results = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    command = [sys.executable, "-m", "benchmarks.report", f"--page={page}", *map(str, results)]
    subprocess.run(command, cwd=ROOT, check=True)
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    committed = {name: (DOCS / name).read_text(encoding="utf-8") for name in made}
    assert committed == made, "Type python -m benchmarks.report benchmarks/results/*.json"
