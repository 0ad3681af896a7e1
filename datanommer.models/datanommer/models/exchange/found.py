"""Messages that were found, as fields, from which the commands make their output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from datanommer.models.exchange import record

_FETCH = 50  # rows in memory at a time; they may be long


def _time(column: str) -> str:
    # In ISO 8601, with microseconds if there are any.
    digits = f"to_char({column}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    return f"""coalesce('"' || rtrim(rtrim({digits}, '0'), '.') || 'Z"', 'null')"""


#: The fields that a message has, each with the SQL for the text of its JSON: the keys of a dump,
#: and what the archive knows besides. The times are in UTC.
FIELDS = {
    "id": "m.id::text",
    "time": _time("m.timestamp"),
    "category": "to_json(m.category)::text",
    **record.FIELDS,
    "extra": "coalesce(m.extra::text, 'null')",
    "stored_at": _time("m.stored_at"),
}

_QUERY = """
    SELECT {columns} FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS found (id, position)
    JOIN messages m USING (id) {joins} ORDER BY found.position
"""


def read(engine: sa.Engine, ids: Sequence[int], fields: Sequence[str]) -> Iterator[Sequence[str]]:
    """The fields of messages, each as the text of its JSON, in the order of the ids.

    A message that was deleted meanwhile is left out.

    Args:
        engine: of the database.
        ids: of the messages.
        fields: names of `FIELDS`.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    query = sa.text(_query(fields))
    options = {"yield_per": _FETCH} if len(ids) > _FETCH else {}
    with engine.connect() as connection:
        yield from connection.execution_options(**options).execute(query, {"ids": list(ids)})


def _query(fields: Sequence[str]) -> str:
    columns = ", ".join(f"{FIELDS[name]} AS f{index}" for index, name in enumerate(fields))
    joins = "".join(sql for name, sql in record.JOINS.items() if name in fields)
    return _QUERY.format(columns=columns, joins=joins)
