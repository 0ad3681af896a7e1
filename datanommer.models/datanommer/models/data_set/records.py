"""Reads the messages of a data set, as the records that a dump of the archive would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datanommer.models import times
from datanommer.models.data_set.data_set import DataSet, DataSetError, locked
from datanommer.models.data_set.manifest import File
from datanommer.models.envelopes import json_text
from datanommer.models.envelopes.signature_bytes import unpack

# Rows that memory holds as Python objects.
_BATCH = 500
_AS_THEY_ARE = (
    *("topic", "msg_id", "i", "username", "crypto", "certificate", "source_name"),
    *("source_version", "users", "packages", "agent"),
)


def read(
    folder: Path,
    since: datetime | None = None,
    before: datetime | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """The records of the messages, by month and in the order of their ids.

    Args:
        folder: of the data set.
        since: no message sent before this (naive, in UTC).
        before: no message sent after this (naive, in UTC).
        progress: called with how many messages were read.

    Returns:
        Values for `datanommer.models.exchange.parser.parse`.

    Raises:
        DatanommerError: there is no data set, or a file of it is missing or damaged; says what to
            do.
        OSError: the folder cannot be read.
    """
    span = _Span(since, before)
    with locked(folder, for_writing=False):
        data_set = DataSet.open(folder)
        data_set.require_files()
        for file in data_set.files:
            if span.may_have(file):
                for batch in batches(data_set, file, _BATCH):
                    yield from map(record, span.only(batch).to_pylist())
                    progress(batch.num_rows)


def batches(data_set: DataSet, file: File, rows: int) -> Iterator[pa.RecordBatch]:
    """The messages of a file, with all columns.

    Args:
        data_set: that it belongs to.
        file: the file.
        rows: how many at a time.

    Raises:
        DataSetError: it cannot be read, or what is in it is not what was written; says what to do.
    """
    path = data_set.path(file)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as opened:
            yield from opened.iter_batches(batch_size=rows)
    except (OSError, pa.ArrowException) as error:
        raise DataSetError(
            f"{path} is damaged: {str(error).splitlines()[0]}. See what else is, with "
            f"datanommer-export --check {data_set.folder}"
        ) from error


def record(row: dict[str, Any]) -> dict[str, Any]:
    """The record of a row, as `datanommer.models.exchange.record` has it."""
    extra = row["extra"] and json_text.read(row["extra"])
    sent = (extra or {}).get("set", {})
    value = {name: row[name] for name in _AS_THEY_ARE}
    value["msg"] = json_text.read(row["msg"])
    value["headers"] = row["headers"] and json_text.read(row["headers"])
    value["timestamp"] = _timestamp(row["timestamp"], sent.get("timestamp"))
    value["signature"] = _signature(row, sent.get("signature"))
    return {**value, "extra": extra} if extra else value


def _timestamp(column: datetime, sent: Any) -> int | float:
    if isinstance(sent, int | float) and not isinstance(sent, bool):
        return sent
    return times.to_epoch(times.naive_utc(column))


def _signature(row: dict[str, Any], sent: Any) -> str | None:
    if row["signature"] is not None:
        return unpack(row["signature"], row["crypto"])
    return sent if isinstance(sent, str) else None


class _Span:
    """The messages from one time to another, both included."""

    def __init__(self, since: datetime | None, before: datetime | None) -> None:
        self._since = since and times.as_utc(since)
        self._before = before and times.as_utc(before)

    def may_have(self, file: File) -> bool:
        is_early = self._since is not None and file.month < f"{self._since:%Y-%m}"
        is_late = self._before is not None and file.month > f"{self._before:%Y-%m}"
        return not (is_early or is_late)

    def only(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        column = batch.column("timestamp")
        if self._since is not None:
            batch = batch.filter(pc.greater_equal(column, pa.scalar(self._since, column.type)))
            column = batch.column("timestamp")
        if self._before is not None:
            batch = batch.filter(pc.less_equal(column, pa.scalar(self._before, column.type)))
        return batch
