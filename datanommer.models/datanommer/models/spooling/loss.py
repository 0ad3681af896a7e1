"""Messages that waited and cannot be read, and the damaged file that they are in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The suffix of a damaged file that was set aside.
ASIDE = ".damaged"


@dataclass(frozen=True, slots=True)
class Loss:
    """Messages that waited and cannot be read.

    Attributes:
        missing: how many.
        file: where the rest of them is kept; None if their file is gone.
    """

    missing: int
    file: Path | None

    def __str__(self) -> str:
        if self.file is None:
            return (
                f"Messages that waited in the spool are lost ({self.missing}): their file is gone."
            )
        return (
            f"A file of the spool was damaged: {self.missing} of its messages cannot be read. The "
            f"others are stored. It is kept as {self.file}."
        )


def set_aside(file: Path) -> Path:
    """Move a damaged file out of the way; returns its path, the old one on a read-only disk."""
    aside = file.with_name(f"{file.stem}{ASIDE}")
    try:
        file.rename(aside)
    except OSError:
        return file
    return aside
