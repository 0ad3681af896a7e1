"""Files that join a data set: messages are written, and the file appears when it is complete."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from concurrent.futures import Future

import pyarrow as pa

from datanommer.models import disk
from datanommer.models.data_set import beginning, parquet_file
from datanommer.models.data_set.data_set import DataSet, temporary_of
from datanommer.models.data_set.manifest import File
from datanommer.models.data_set.parquet_file import Writer


def begin(
    data_set: DataSet,
    month: str,
    ids: tuple[int, int],
    batches: Generator[pa.RecordBatch, None, None],
    *,
    is_named: bool = True,
) -> Future[File]:
    """Read messages, and let a thread write them into a file.

    Args:
        data_set: that it will belong to.
        month: of its messages, such as 2026-09.
        ids: the lowest and the highest id of its messages.
        batches: the messages, at least one. It is closed in any case.
        is_named: whether the file gets its name when it is complete, or keeps the temporary one.

    Returns:
        What the manifest will say of it, when it is complete.

    Raises:
        OSError: the disk does not take it.
    """
    path = data_set.new_path(month, *ids)
    name = path.relative_to(data_set.folder).as_posix()

    def complete() -> File:
        file = parquet_file.describe(temporary_of(path), name)
        if is_named:
            temporary_of(path).rename(path)
            disk.synchronise(path.parent)
        return file

    with (
        contextlib.closing(batches),
        Writer(path, beginning.metadata(data_set)) as writer,
    ):
        for batch in batches:
            writer.write(batch)
        return writer.finish(complete)
