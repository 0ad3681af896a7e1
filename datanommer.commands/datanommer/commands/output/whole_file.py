"""Writes a file as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from datanommer.commands.exit_codes import OUTPUT_FAILED
from datanommer.models.errors import DatanommerError

STANDARD_OUTPUT = "-"


class NotWritable(DatanommerError):
    """A file cannot be written.

    Args:
        file: its name, as it was typed.
        reason: why.
    """

    exit_code = OUTPUT_FAILED

    def __init__(self, file: str, reason: str | None) -> None:
        super().__init__(f"{file} cannot be written: {reason}.")


def require_writable(file: str) -> None:
    """Make sure that a file can be made, before much work is done for it.

    Args:
        file: its path, or ``-`` for standard output.

    Raises:
        NotWritable: it cannot be made; says why.
    """
    path = Path(file).resolve()
    if file == STANDARD_OUTPUT or _is_special(path):
        return
    folder = path.parent
    if not folder.is_dir():
        raise NotWritable(file, f"there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotWritable(file, f"you may not write into the folder {folder}")


def write(file: str, text: str) -> None:
    """Write a file in UTF-8, replacing one that exists. Nobody sees a part of it.

    Args:
        file: its path, or ``-`` for standard output.
        text: what is in it.

    Raises:
        NotWritable: it cannot be written; says why. The old file is still there.
        OSError: standard output cannot be written.
    """
    if file == STANDARD_OUTPUT:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        sys.stdout.write(text)
        return
    try:
        _write(Path(file).resolve(), text.encode())
    except OSError as error:
        raise NotWritable(file, error.strerror) from error


def _write(path: Path, data: bytes) -> None:
    if _is_special(path):
        path.write_bytes(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("xb") as opened:
        try:
            opened.write(data)
            opened.flush()
            with contextlib.suppress(FileNotFoundError):
                temporary.chmod(path.stat().st_mode)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _is_special(path: Path) -> bool:
    """Whether it is a device or a pipe, which must stay one."""
    return path.exists() and not path.is_file()
