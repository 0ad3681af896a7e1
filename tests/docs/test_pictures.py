"""The pictures of the documentation, and its figures, are what their scripts make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from shell import ROOT

DOCS = ROOT / "docs"


def test_the_page_of_figures_is_made_of_the_results(tmp_path: Path) -> None:
    page = shutil.copy(DOCS / "performance.rst", tmp_path)
    results = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    command = [sys.executable, "-m", "benchmarks.report", f"--page={page}", *map(str, results)]
    subprocess.run(command, cwd=ROOT, check=True)
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    kept = {name: (DOCS / name).read_text(encoding="utf-8") for name in made}
    assert kept == made, "Type python -m benchmarks.report benchmarks/results/*.json"
