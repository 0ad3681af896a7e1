"""The certificates of messages, by their ids, each fetched once as long as memory has room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from datanommer.models.data_set.columns import SCHEMA

# Bytes. The hosts of a bus have some hundreds, of 2 kB each.
_MOST = 16 * 1024 * 1024
_COLUMN = "certificate"
_SIZE = sa.text(
    "SELECT coalesce(sum(octet_length(body)), 0)::bigint FROM certificates "
    "WHERE id = ANY(CAST(:ids AS bigint[]))"
)
_FETCH = sa.text("SELECT id, body FROM certificates WHERE id = ANY(CAST(:ids AS bigint[]))")


class Certificates:
    """Puts certificates into batches that hold their ids.

    Args:
        connection: to the database.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._bodies: dict[int, str] = {}
        self._size = 0

    def put_into(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The batch with its certificates; in parts, if these are too large together.

        Args:
            batch: the columns of a data set, but with ids for certificates.

        Raises:
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        ids = pc.unique(batch.column(_COLUMN)).drop_null().to_pylist()
        if self._have(ids) or batch.num_rows <= 1:
            yield self._with_bodies(batch, ids)
            return
        half = batch.num_rows // 2
        yield from self.put_into(batch.slice(0, half))
        yield from self.put_into(batch.slice(half))

    def _have(self, ids: Sequence[int]) -> bool:
        """Load the certificates into memory; False if they do not fit."""
        missing = [each for each in ids if each not in self._bodies]
        if not missing:
            return True
        size = self._connection.scalar(_SIZE, {"ids": missing}) or 0
        if self._bodies and self._size + size > _MOST:
            self._bodies.clear()
            self._size = 0
            return self._have(ids)
        if size <= _MOST or len(ids) == 1:
            rows = self._connection.execute(_FETCH, {"ids": missing}).all()
            self._bodies.update((row.id, row.body) for row in rows)
            self._size += size
        return size <= _MOST

    def _with_bodies(self, batch: pa.RecordBatch, ids: Sequence[int]) -> pa.RecordBatch:
        index = batch.schema.get_field_index(_COLUMN)
        indices = pc.index_in(batch.column(index), value_set=pa.array(ids, pa.int64()))
        bodies = pa.array([self._bodies[each] for each in ids], pa.string())
        columns = batch.columns
        columns[index] = pa.DictionaryArray.from_arrays(indices, bodies)
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
