"""Files that survive a power failure."""

from __future__ import annotations

import os
from pathlib import Path


def synchronise(folder: Path) -> None:
    """Flush the names in a folder to the disk.

    Raises:
        OSError: they cannot be written.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
