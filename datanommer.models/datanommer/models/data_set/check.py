"""Whether the files of a data set are what its manifest says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from datanommer.models.data_set import beginning, parquet_file
from datanommer.models.data_set.data_set import DataSet, locked
from datanommer.models.data_set.manifest import File

_NAMES = {
    "messages": "messages",
    "first_id": "as its lowest id",
    "last_id": "as its highest id",
    "bytes": "bytes",
    "sha256": "as its sha256",
}


class Finding(NamedTuple):
    """What was found out about a file.

    Attributes:
        path: of the file, in the folder of the data set.
        fault: what is wrong with it and what to do, in words; None if nothing is.
        messages: how many it should have.
    """

    path: str
    fault: str | None
    messages: int = 0


def check(folder: Path) -> Iterator[Finding]:
    """Look at each file of a data set, and for files that do not belong to it.

    Args:
        folder: of the data set.

    Raises:
        DatanommerError: there is no data set, or somebody writes to it; says what to do.
        OSError: the folder cannot be read.
    """
    with locked(folder, for_writing=False):
        data_set = DataSet.open(folder)
        for file in data_set.files:
            yield Finding(file.path, fault_of(data_set, file), file.messages)
        for path in data_set.unknown():
            yield Finding(path, _fault_of_unknown(data_set, path))
        for path in data_set.temporary():
            yield Finding(path, "half-written; the next run of datanommer-export removes it")
        if rewriting := data_set.manifest.rewriting:
            for path in (*rewriting.old, *(file.path for file in rewriting.new)):
                yield Finding(path, "being rewritten; the next run of datanommer-export ends that")


def fault_of(data_set: DataSet, file: File) -> str | None:
    """What is wrong with a file that the manifest names, in words; None if nothing is."""
    path = data_set.path(file)
    if not path.exists():
        return "missing"
    try:
        found = dataclasses.asdict(parquet_file.describe(path, file.path))
    except (OSError, pa.ArrowException) as error:
        return f"damaged: it cannot be read ({str(error).splitlines()[0]})"
    expected = dataclasses.asdict(file)
    differences = [
        f"it has {found[name]} {words}, and the manifest says {expected[name]}"
        for name, words in _NAMES.items()
        if found[name] != expected[name]
    ]
    return f"damaged: {differences[0]}" if differences else None


def _fault_of_unknown(data_set: DataSet, path: str) -> str:
    if beginning.is_own(data_set, data_set.folder / path):
        return "unknown; it is complete, and the next run of datanommer-export takes it in"
    return "unknown; it does not belong to this data set: move it to another place"
