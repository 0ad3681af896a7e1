"""The wheels that are tested, other people's of the same names, and virtual environments."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from shell import ROOT
from venvs import ALL, Venv, once_a_run, succeed


@pytest.fixture(scope="session")
def artifacts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheels and the sdists."""
    given: Path | None = request.config.getoption("--artifacts")
    if given:
        return request.config.invocation_params.dir / given
    return once_a_run(
        tmp_path_factory,
        "artifacts",
        lambda folder: succeed(
            ROOT / "packaging" / "build-dists.sh", folder, "--no-isolation", PYTHON=sys.executable
        ),
    )


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with other people's packages of the same names, and with what is too old."""
    index = tmp_path_factory.mktemp("index")
    releases = {each.replace(".", "-"): ["1.5.0", "3.0.0"] for each in ALL}
    releases["sqlalchemy"] = ["1.4.54"]
    for name, versions in releases.items():
        (index / name).mkdir()
        links = ""
        for version in versions:
            file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            info = f"{name.replace('-', '_')}-{version}.dist-info"
            with zipfile.ZipFile(index / name / file, "w") as archive:
                archive.writestr(
                    f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                )
                archive.writestr(
                    f"{info}/WHEEL",
                    "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                )
                archive.writestr(f"{info}/RECORD", "")
            links += f'<a href="{file}">{file}</a>'
        (index / name / "index.html").write_text(links)
    return index


@pytest.fixture
def venv(tmp_path: Path, artifacts: Path, stranger: Path) -> Venv:
    return Venv(tmp_path / "venv", artifacts, stranger)
