"""A small disk of one's own that can be filled."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

_BLOCK = bytes(4096)


class Disk:
    """A disk in memory, mounted at a new folder, until `close`.

    Args:
        folder: where it is mounted.
        size: in MiB.

    Raises:
        OSError: none can be mounted here.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={size}m", "none", folder)

    def fill(self) -> None:
        """Fill it to the last byte."""
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while True:
                file.write(_BLOCK)

    def empty(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        if self.folder.is_mount():
            run("umount", "-l", self.folder)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


def run(*words: str | Path) -> None:
    """Run a program.

    Raises:
        OSError: it fails.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())
