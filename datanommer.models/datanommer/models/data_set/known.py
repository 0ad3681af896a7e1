"""Which messages are in files already, by their ids; memory holds one file's ids at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def known(candidates: pa.Table, files: Iterable[Path]) -> pa.Array:
    """The `id` of each candidate whose `msg_id` is in one of the files.

    Args:
        candidates: with the columns `id` and `msg_id`.
        files: Parquet files.

    Raises:
        OSError, pyarrow.ArrowException: a file cannot be read.
    """
    found = [pa.array([], pa.int64())]
    for path in files:
        if not candidates.num_rows:
            break
        msg_ids = pq.read_table(path, columns=["msg_id"], partitioning=None).column("msg_id")
        is_known = pc.is_in(candidates.column("msg_id"), value_set=msg_ids)
        found.extend(candidates.filter(is_known).column("id").chunks)
        candidates = candidates.filter(pc.invert(is_known))
    return pa.chunked_array(found).combine_chunks()


def without(batch: pa.RecordBatch, ids: pa.Array) -> pa.RecordBatch:
    """The batch without the messages of these ids."""
    if not len(ids):
        return batch
    return batch.filter(pc.invert(pc.is_in(batch.column("id"), value_set=ids)))
