"""A Parquet file of a data set: written as a whole or not at all, and described."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from datanommer.models.data_set.columns import ASKED, REPEATED, SCHEMA
from datanommer.models.data_set.data_set import temporary_of
from datanommer.models.data_set.manifest import File

# Bytes of a row group, before it is packed. Readers like larger ones; memory holds two of them.
_GROUP_BYTES = 32 * 1024 * 1024
# A larger row group has a large message in it.
_LARGE_BYTES = 48 * 1024 * 1024
_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": REPEATED,
    "write_statistics": ASKED,
    # So that readers notice a damaged page.
    "write_page_checksum": True,
}


class Writer:
    """Writes a file; as a context manager, it removes the file if something fails.

    A row group is packed and written in a thread, while the next one is fetched.

    Args:
        path: where the file will be.
        metadata: what it says of itself.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        self._temporary = temporary_of(path)
        self._executor = ThreadPoolExecutor(1, "datanommer-parquet")
        self._writing: Future[None] | None = None
        self._batches: list[pa.RecordBatch] = []
        self._size = 0
        schema = SCHEMA.with_metadata(dict(metadata))
        self._file = pq.ParquetWriter(self._temporary, schema, **_OPTIONS)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add messages.

        Raises:
            OSError: the disk does not take them.
        """
        self._batches.append(batch)
        self._size += batch.nbytes
        if self._size >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        is_large = self._size >= _LARGE_BYTES
        batches, self._batches, self._size = self._batches, [], 0
        self._wait()
        if batches:
            self._writing = self._executor.submit(_write_group, self._file, batches)
        if is_large:  # memory has no room for another one beside it
            self._wait()

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def finish(self, then: Callable[[], File]) -> Future[File]:
        """Write the rest to the disk in the background, under the temporary name.

        Args:
            then: called in the thread once that is done.

        Returns:
            What `then` returns. Or it raises OSError: the disk does not take it.
        """
        self._flush()
        return self._executor.submit(self._finish, then)

    def _finish(self, then: Callable[[], File]) -> File:
        self._wait()
        self._file.close()
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        return then()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._executor.shutdown(wait=error is not None)
        if error is not None:
            self._temporary.unlink(missing_ok=True)


def _write_group(file: pq.ParquetWriter, batches: list[pa.RecordBatch]) -> None:
    group = pa.Table.from_batches(batches).unify_dictionaries()
    file.write_table(group, row_group_size=group.num_rows)


def metadata_of(path: Path) -> dict[str, str]:
    """What a file says of itself.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read, or is no such file.
    """
    metadata = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode("utf-8", "replace") for key, value in metadata.items()}


def describe(path: Path, name: str) -> File:
    """What the manifest says of a file.

    Args:
        path: where it is now.
        name: what the manifest will call it.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read, or is no such file.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    footer = pq.read_metadata(path)
    column = SCHEMA.get_field_index("id")
    groups = range(footer.num_row_groups)
    statistics = [footer.row_group(group).column(column).statistics for group in groups]
    ids = [each for each in statistics if each is not None]
    return File(
        path=name,
        messages=footer.num_rows,
        first_id=min((each.min for each in ids), default=0),
        last_id=max((each.max for each in ids), default=0),
        bytes=path.stat().st_size,
        sha256=sha256,
    )
