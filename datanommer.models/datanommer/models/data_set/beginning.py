"""How work with a data set begins: is it the right one, and what did a killed run leave?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from datanommer.models.data_set import manifest as manifests
from datanommer.models.data_set import parquet_file
from datanommer.models.data_set.data_set import DataSet, DataSetError
from datanommer.models.data_set.manifest import NAME, Identity, Manifest
from datanommer.models.filtering.filters import Filters

_ARCHIVE = "datanommer_archive"
_FILTERS = "datanommer_filters"


def begin(
    folder: Path, archive: Identity, filters: Filters, *, missing_in: str | None = None
) -> tuple[DataSet, int]:
    """The data set in a folder whose lock is held; a new one, if the folder is empty.

    What a killed run has left half-written is removed, and what it has completed is adopted.

    Args:
        folder: of the data set.
        archive: whose data set it must be.
        filters: those that it must have; without any, those that it has.
        missing_in: the month of which files may be missing.

    Returns:
        The data set, and how many files were adopted.

    Raises:
        DataSetError: it is another one, or is damaged; says what to do.
        OSError: it cannot be read or changed.
    """
    manifest = Manifest.read(folder)
    if manifest is None:
        return _make(folder, archive, filters), 0
    _require_same(folder, manifest, archive, filters)
    data_set = DataSet(folder, manifest)
    data_set.finish_rewriting()
    data_set.remove_temporary()
    data_set.require_files(missing_in)
    return data_set, _adopt(data_set)


def metadata(data_set: DataSet) -> dict[str, str]:
    """What each file of a data set says of itself, so that it can be adopted."""
    manifest = data_set.manifest
    return {_ARCHIVE: manifest.archive, _FILTERS: _to_json(manifest.filters)}


def is_own(data_set: DataSet, path: Path) -> bool:
    """Whether a file says that it is one of this data set, and is complete."""
    try:
        return metadata(data_set).items() <= parquet_file.metadata_of(path).items()
    except (OSError, pa.ArrowException):
        return False


def _make(folder: Path, archive: Identity, filters: Filters) -> DataSet:
    # A run that was killed at once may have left the manifest, half-written.
    if any(not path.name.startswith(f".{NAME}") for path in folder.iterdir()):
        raise DataSetError(
            f"{folder} has files, but no {NAME}, so it is no data set of datanommer. Name an "
            "empty folder, or one that does not exist yet."
        )
    data_set = DataSet(folder, Manifest(*archive, manifests.of_filters(filters)))
    data_set.save()
    return data_set


def _require_same(folder: Path, manifest: Manifest, archive: Identity, filters: Filters) -> None:
    if manifest.archive != archive.archive:
        raise DataSetError(
            f"{folder} holds the archive {manifest.archive}, and this is {archive.archive}. Name "
            "another folder for this one, or the database of that one with --url."
        )
    if filters.names and manifests.of_filters(filters) != manifest.filters:
        raise DataSetError(
            f"{folder} was begun with {_shown(manifest.filters)}. Leave out the filters to carry "
            "on with those, or name another folder for these."
        )


def _shown(filters: dict[str, Any]) -> str:
    return f"these filters: {_to_json(filters)}" if filters else "no filters"


def _to_json(filters: dict[str, Any]) -> str:
    return json.dumps(filters, sort_keys=True)


def _adopt(data_set: DataSet) -> int:
    """Take complete files into the manifest that it does not name."""
    adopted = []
    for name in data_set.unknown():
        path = data_set.folder / name
        if not is_own(data_set, path):
            raise DataSetError(
                f"{path} does not belong to this data set, but its readers would read it as well. "
                "Move it elsewhere."
            )
        adopted.append(parquet_file.describe(path, name))
    if adopted:
        data_set.manifest.files += sorted(adopted, key=lambda file: file.first_id)
        data_set.save()
    return len(adopted)
