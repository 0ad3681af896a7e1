"""The manifest of a data set: which archive it is of, how far it goes, and its files.

It is ``dataset.json`` in the folder of the data set. A file that it does not name is not part of
the data set, and a file that it names is complete.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from datanommer.models import disk
from datanommer.models.errors import DatanommerError
from datanommer.models.filtering.filters import Filters

#: The name of the file.
NAME = "dataset.json"
_FORMAT = 1
_TIMES = ("since", "before")


@dataclass(frozen=True, slots=True)
class File:
    """A Parquet file of a data set: messages of one month, each once.

    Attributes:
        path: where it is, in the folder of the data set, with slashes.
        messages: how many it has.
        first_id: the lowest id among them, as it was in the archive.
        last_id: the highest one.
        bytes: its size.
        sha256: of its bytes, in hexadecimal digits.
    """

    path: str
    messages: int
    first_id: int
    last_id: int
    bytes: int
    sha256: str

    @property
    def month(self) -> str:
        """The month of its messages in UTC, such as 2026-09."""
        return month_of(self.path)


class Identity(NamedTuple):
    """What identifies an archive.

    Attributes:
        archive: its id, which its copies and backups have as well.
        timeline: that of its database: a standby that takes over begins a new one, and so does a
            restore.
    """

    archive: str
    timeline: str


class Last(NamedTuple):
    """The message that had the highest id when the data set was last written."""

    id: int
    msg_id: str


class Rewriting(NamedTuple):
    """Files that take the place of others, once all of them are on the disk."""

    old: tuple[str, ...]
    new: tuple[File, ...]


@dataclass(slots=True)
class Manifest:
    """What is in a manifest.

    Attributes:
        archive: the id of the archive.
        timeline: that of the database, as `datanommer.models.database.timeline` tells it.
        filters: those of an extract, as `of_filters` makes them; empty for the whole archive.
        last: up to where all messages are in the data set; None at the beginning.
        files: the files, in the order in which they were written.
        rewriting: what is being replaced, and must be finished first.
    """

    archive: str
    timeline: str
    filters: dict[str, Any]
    last: Last | None = None
    files: list[File] = field(default_factory=list)
    rewriting: Rewriting | None = None

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The manifest of a folder; None if it has none.

        Raises:
            DatanommerError: it cannot be understood.
            OSError: it cannot be read.
        """
        path = folder / NAME
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return cls._parse(json.loads(text))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DatanommerError(
                f"{path} is not a manifest that this version of datanommer can read. Put it back "
                "from a backup, or upgrade datanommer if a newer version wrote it."
            ) from error

    @classmethod
    def _parse(cls, value: Any) -> Self:
        if value.pop("format") != _FORMAT:
            raise ValueError
        last, rewriting = value.pop("last"), value.pop("rewriting")
        files = [File(**each) for each in value.pop("files")]
        manifest = cls(**value, last=last and Last(**last), files=files)
        if rewriting:
            new = tuple(File(**each) for each in rewriting["new"])
            manifest.rewriting = Rewriting(tuple(rewriting["old"]), new)
        return manifest

    def write(self, folder: Path) -> None:
        """Write it into a folder; a power cut leaves either the old one or the new one.

        Raises:
            OSError: the disk does not take it.
        """
        value = {"format": _FORMAT, **dataclasses.asdict(self)}
        value["last"] = self.last and self.last._asdict()
        if self.rewriting:
            new = [dataclasses.asdict(each) for each in self.rewriting.new]
            value["rewriting"] = {"old": self.rewriting.old, "new": new}
        temporary = folder / f".{NAME}.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)
        disk.synchronise(folder)


def month_of(path: str) -> str:
    """The month of a path, such as 2026-09 of ``messages/year=2026/month=09/a.parquet``."""
    _, year, month, _ = path.split("/")
    return f"{year.removeprefix('year=')}-{month.removeprefix('month=')}"


def of_filters(filters: Filters) -> dict[str, Any]:
    """The filters that are set, as JSON has them."""
    values = {name: getattr(filters, name) for name in sorted(filters.names)}
    return {
        name: value.isoformat() if isinstance(value, datetime) else list(value)
        for name, value in values.items()
    }


def to_filters(value: dict[str, Any]) -> Filters:
    """The filters that `of_filters` was given."""
    lists = {name: names for name, names in value.items() if name not in _TIMES}
    times = {name: datetime.fromisoformat(value[name]) for name in _TIMES if name in value}
    return Filters.of_options(times.get("since"), times.get("before"), **lists)
