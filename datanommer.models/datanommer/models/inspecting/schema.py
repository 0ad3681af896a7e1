"""How far the schema of a database is from that of this version."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from datanommer.models.database import migrations
from datanommer.models.database.deadline import Deadline
from datanommer.models.errors import NotAtHead


class Schema(NamedTuple):
    """How far the schema is.

    Attributes:
        revision: the one that it is at; None if there is none, or if it fits none.
        steps: how many steps it is behind this version.
        is_empty: whether there are no tables yet.
        fault: why it is not one of this version, and what to do, if so.
    """

    revision: str | None
    steps: int
    is_empty: bool
    fault: str | None = None


def look(engine: sa.Engine, deadline: Deadline) -> Schema:
    """How far the schema of a database is.

    Raises:
        DatabaseUnavailable: it does not answer.
        DatanommerError: the role may not see it.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    try:
        return Schema(*migrations.examine(engine, deadline))
    except NotAtHead as error:
        return Schema(None, steps=0, is_empty=False, fault=str(error))
