"""A message as cells of text: a row of CSV, from a dump or from the table of another archive."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from datanommer.models import times
from datanommer.models.envelopes import fields, json_text
from datanommer.models.errors import NotStorable
from datanommer.models.preparing import archive_copy

_REQUIRED = ("topic", "msg")
# What the tables of the classic line call these columns.
_OTHER_NAMES = {"_msg": "msg", "_headers": "headers"}
_TEXTS = (
    *("topic", "msg_id", "username", "agent_name", "crypto", "certificate", "signature"),
    *("source_name", "source_version", "agent"),
)
# Only a dump has this column; its other columns are those of a record, too.
_OF_A_DUMP = "extra"
_JSON = ("msg", "i", "headers", "users", "packages", _OF_A_DUMP)
_NUMBER = re.compile(r"-?[0-9.]+(?:e[+-]?[0-9]+)?")


def missing_columns(names: Iterable[str]) -> list[str]:
    """The columns that a message needs and that are not among the names."""
    called = {_OTHER_NAMES.get(name, name) for name in names}
    return [name for name in _REQUIRED if name not in called]


def to_record(cells: Mapping[str, str]) -> dict[str, Any]:
    """The record of a message, for `datanommer.models.exchange.parser.parse`.

    Args:
        cells: the cells of a row by the names of their columns. An empty one is null. Those that
            no message has are left out.

    Raises:
        NotStorable: a cell cannot be read.
    """
    called = {_OTHER_NAMES.get(name, name): cell for name, cell in cells.items()}
    record: dict[str, Any] = {name: called[name] or None for name in _TEXTS if name in called}
    record.update((name, read_json(name, called[name])) for name in _JSON if name in called)
    record["timestamp"] = _timestamp(called.get("timestamp"))
    return record if _OF_A_DUMP in called else archive_copy.to_record(record)


def read_json(name: str, cell: str | None) -> Any:
    """The value of a cell of JSON; None where it is empty.

    Args:
        name: of its column, for the error.
        cell: its text.

    Raises:
        NotStorable: it cannot be read.
    """
    try:
        return json_text.read(cell) if cell else None
    except RecursionError:
        raise fields.too_deep(name) from None
    except ValueError as error:  # among them: an integer of thousands of digits
        raise NotStorable("invalid", f"{name} cannot be read as JSON: {error}") from None


def _timestamp(cell: str | None) -> int | float | None:
    """Epoch seconds, as a dump has them, or made of the date and time of a table, in UTC."""
    if not cell:
        return None
    if _NUMBER.fullmatch(cell):
        seconds: int | float | None = read_json("timestamp", cell)
        return seconds
    try:
        return times.to_epoch(times.from_text(cell))
    except (OverflowError, ValueError):
        reason = "timestamp is no time such as 2013-02-18 05:55:18, and no epoch seconds"
        raise NotStorable("invalid", reason) from None
