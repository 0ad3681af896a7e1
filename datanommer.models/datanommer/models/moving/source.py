"""A database of datanommer, of any line, whose messages are read in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import sqlalchemy as sa

from datanommer.models import tables
from datanommer.models.database import engine as engines
from datanommer.models.database import inventory, migrations
from datanommer.models.database.inventory import Line
from datanommer.models.errors import DatanommerError
from datanommer.models.finding import arrival
from datanommer.models.moving import forms
from datanommer.models.moving.forms import Form
from datanommer.models.preparing.preparation import Item

# How many messages one query reads. It gathers the names of that many at once, maybe without an
# index, and its transaction holds up the vacuum of the source.
_RANGE = 500_000
_FETCH = 20  # rows in memory at a time; they may be long
#: For the transactions of a source. The planner knows too little of a range of ids, and a nested
#: loop over the names of that many messages would never end.
SETTINGS = {
    **engines.COMMAND_TIMEOUTS,
    "enable_nestloop": "off",
    "jit": "off",
    "transaction_read_only": "on",
}
_REQUIREMENTS = (
    "The role that reads them needs SELECT on all tables. A database of the classic line must be "
    "at 57be773be52b, and one of the fedora-messaging line at f6918385051f: upgrade it first, with "
    "the release that it belongs to."
)
_FORMS = {Line.OWN: forms.OWN, Line.CLASSIC: forms.CLASSIC, Line.NEWER: forms.NEWER}


class Found(NamedTuple):
    """A message that was found in a source.

    Attributes:
        row_id: the id of its row there.
        item: the row or the reject that it becomes here.
        size: how many characters it has.
    """

    row_id: int
    item: Item
    size: int


class Source:
    """A database of datanommer whose messages are read."""

    def __init__(self, engine: sa.Engine, form: Form) -> None:
        self._engine = engine
        self._form = form

    @classmethod
    def open(cls, engine: sa.Engine) -> Self:
        """The source in a database; makes sure that its messages can be read.

        Args:
            engine: of the database, with `SETTINGS`.

        Raises:
            DatabaseUnavailable: the database does not answer.
            DatanommerError: it is no database of datanommer, or cannot be read; says what to do.
        """
        with migrations.connect(engine) as connection:
            line = inventory.take(connection).line
        if line is None:
            raise DatanommerError(
                f"The database {engines.describe(engine)} has no messages of datanommer."
            )
        if line is Line.OWN:
            migrations.require_head(engine)
        source = cls(engine, _FORMS[line])
        try:
            list(source._rows(0, 0))
        except sa.exc.ProgrammingError as error:
            raise DatanommerError(
                f"The messages of {engines.describe(engine)} cannot be read: "
                f"{engines.sentence(error)} {_REQUIREMENTS}"
            ) from error
        return source

    def last_id(self) -> int:
        """The id up to which no further message can appear.

        Raises:
            NotSettled, OnStandby: as `datanommer.models.finding.arrival.settled`.
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        with self._engine.connect() as connection:
            return arrival.settled(connection)

    def read(self, after: int, last: int) -> Iterator[Found]:
        """The messages with ids after one, up to another one, in the order of their ids.

        Raises:
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        while until := self._end_of_range(after, last):
            for row_id, columns in self._rows(after, until):
                size = sum(len(text) for text in columns.values() if isinstance(text, str))
                yield Found(row_id, self._form.parse(columns), size)
            after = until

    def _end_of_range(self, after: int, last: int) -> int | None:
        ids = tables.messages.c.id
        some = sa.select(ids).where(ids > after, ids <= last).order_by(ids).limit(_RANGE).subquery()
        with self._engine.connect() as connection:
            end: int | None = connection.scalar(sa.select(sa.func.max(some.c.id)))
            return end

    def _rows(self, after: int, until: int) -> Iterator[tuple[int, dict[str, Any]]]:
        query = sa.text(self._form.query)
        with self._engine.connect() as connection:
            rows = connection.execution_options(yield_per=_FETCH).execute(
                query, {"after": after, "until": until}
            )
            names = list(rows.keys())[1:]
            for row_id, *columns in rows:
                yield row_id, dict(zip(names, columns, strict=True))
