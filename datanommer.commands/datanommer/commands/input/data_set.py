"""The messages of a data set that datanommer-export has written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from datanommer.commands.output import progress
from datanommer.models.errors import DatanommerError

_EXTRA_IS_MISSING = (
    "A data set needs pyarrow and ADBC. Install them: pip install 'datanommer.models[parquet]'"
)


def require_extra() -> None:
    """Make sure that the libraries for data sets are installed.

    Raises:
        DatanommerError: they are not; says how to install them.
    """
    if not (find_spec("pyarrow") and find_spec("adbc_driver_postgresql")):
        raise DatanommerError(_EXTRA_IS_MISSING)


def read(folder: Path, since: datetime | None, before: datetime | None) -> Iterator[dict[str, Any]]:
    """The records of its messages.

    Args:
        folder: of the data set.
        since: no message sent before this (naive, in UTC).
        before: no message sent after this (naive, in UTC).

    Raises:
        DatanommerError: it cannot be read; says what to do.
    """
    require_extra()
    from datanommer.models.data_set import records

    done = 0

    def count(messages: int) -> None:
        nonlocal done
        done += messages

    with progress.shown(lambda: f"{done:,} messages read"):
        yield from records.read(folder, since, before, count)
