"""A data set on the disk: its folder, its lock, and which files belong to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from datanommer.models import disk
from datanommer.models.data_set.manifest import NAME, File, Manifest
from datanommer.models.errors import DatanommerError

#: The subfolder of a data set that holds its files.
MESSAGES = "messages"
_ENDING = ".parquet"
#: The suffix of an incomplete file. Its name begins with a dot, so that readers of data sets
#: ignore it.
TEMPORARY = ".tmp"


class DataSetError(DatanommerError):
    """A folder is not the data set that is expected, or is damaged; says what to do."""


@contextlib.contextmanager
def locked(folder: Path, *, for_writing: bool) -> Iterator[None]:
    """Hold the lock of a data set: several may read it, but only one may write.

    Args:
        folder: of the data set.
        for_writing: whether the caller changes something.

    Raises:
        DataSetError: another process holds it.
        OSError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        kind = fcntl.LOCK_EX if for_writing else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataSetError(
                f"Another process is using the data set in {folder}. Wait until it ends, and try "
                "again."
            ) from None
        yield
    finally:
        os.close(descriptor)


class DataSet:
    """A data set whose lock is held.

    Args:
        folder: of the data set.
        manifest: what is in its manifest.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> DataSet:
        """The data set in a folder.

        Raises:
            DataSetError: there is none; says what to do.
            DatanommerError: its manifest cannot be understood.
            OSError: it cannot be read.
        """
        manifest = Manifest.read(folder)
        if manifest is None:
            raise DataSetError(
                f"There is no data set in {folder}: it has no {NAME}. Name a folder that "
                "datanommer-export has written."
            )
        return cls(folder, manifest)

    @property
    def files(self) -> list[File]:
        """Its files by month, and then in the order in which they were written."""
        return sorted(self.manifest.files, key=lambda file: file.month)

    def files_of(self, month: str) -> list[File]:
        """The files of a month, such as 2026-09."""
        return [file for file in self.manifest.files if file.month == month]

    def path(self, file: File) -> Path:
        """Where a file is."""
        return self.folder / file.path

    def save(self) -> None:
        """Write the manifest to the disk.

        Raises:
            OSError: the disk does not take it.
        """
        self.manifest.write(self.folder)

    def require_files(self, missing_in: str | None = None) -> None:
        """Make sure that all files are there, and are as long as they were.

        Args:
            missing_in: the month of which files may be missing.

        Raises:
            DataSetError: they are not; says what to do.
        """
        for file in self.manifest.files:
            path = self.path(file)
            if file.month == missing_in and not path.exists():
                continue
            if not path.is_file() or path.stat().st_size != file.bytes:
                state = "is damaged" if path.is_file() else "is missing"
                raise DataSetError(
                    f"{path} {state}. Put it back from a backup. If there is none, remove it, and "
                    f"write its month again: datanommer-export --rewrite {file.month} "
                    f"{self.folder}"
                )

    def unknown(self) -> list[str]:
        """The paths of files that the manifest does not name, and which are not being written."""
        known = {file.path for file in self.manifest.files}
        if self.manifest.rewriting:
            known |= {file.path for file in self.manifest.rewriting.new}
        there = (path.relative_to(self.folder).as_posix() for path in self._all_files())
        return sorted(path for path in there if path not in known and not _is_temporary(path))

    def _all_files(self) -> Iterator[Path]:
        return (path for path in (self.folder / MESSAGES).rglob("*") if path.is_file())

    def temporary(self) -> list[str]:
        """The paths of files that are half-written."""
        renewed = self.manifest.rewriting.new if self.manifest.rewriting else ()
        awaited = {temporary_of(self.path(file)) for file in renewed}
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in self._all_files()
            if _is_temporary(path.name) and path not in awaited
        )

    def remove_temporary(self) -> None:
        """Remove what a run that was killed has left half-written.

        Raises:
            OSError: it cannot be removed.
        """
        for path in self.temporary():
            (self.folder / path).unlink()

    def finish_rewriting(self) -> None:
        """Finish replacing old files with new ones, if that was begun.

        Raises:
            OSError: the disk does not take it.
        """
        rewriting = self.manifest.rewriting
        if rewriting is None:
            return
        for file in rewriting.new:
            temporary = temporary_of(self.path(file))
            if temporary.exists():
                temporary.replace(self.path(file))
                disk.synchronise(temporary.parent)
        for path in rewriting.old:
            (self.folder / path).unlink(missing_ok=True)
        kept = [file for file in self.manifest.files if file.path not in rewriting.old]
        self.manifest.files = kept + list(rewriting.new)
        self.manifest.rewriting = None
        self.save()

    def new_path(self, month: str, first_id: int, last_id: int) -> Path:
        """Where a new file goes; creates its folder.

        Args:
            month: of its messages, such as 2026-09.
            first_id: the lowest id of its messages.
            last_id: the highest one.

        Raises:
            OSError: the folder cannot be made.
        """
        year, _, number = month.partition("-")
        folder = self.folder / MESSAGES / f"year={year}" / f"month={number}"
        _make(folder)
        name = f"{self.manifest.archive}_{first_id}-{last_id}"
        path, count = folder / f"{name}{_ENDING}", 1
        known = {self.path(file) for file in self.manifest.files if file.month == month}
        # After a restore, other messages may have the same ids.
        while path in known or path.exists() or temporary_of(path).exists():
            count += 1
            path = folder / f"{name}_{count}{_ENDING}"
        return path


def temporary_of(path: Path) -> Path:
    """Where a file is until it is complete."""
    return path.with_name(f".{path.name}{TEMPORARY}")


def _is_temporary(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(".") and name.endswith(TEMPORARY)


def _make(folder: Path) -> None:
    """Make a folder and its parents, and sync their names to the disk."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        disk.synchronise(folder.parent)
