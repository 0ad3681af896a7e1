"""The session of the classic API, in the database that the process is bound to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models.database.binding import bound_engine


class Session(orm.Session):
    """A session in the database that `datanommer.models.init` bound, unless it has its own bind.

    It also takes SQL as a plain string, which clients of the classic line pass, and a query, which
    `Message.make_query` gives.
    """

    def get_bind(self, *args: Any, **options: Any) -> sa.Engine | sa.Connection:
        """SQLAlchemy's bind for this session, or else the engine that datanommer is bound to.

        Raises:
            ConfigurationError: there is neither.
        """
        try:
            return super().get_bind(*args, **options)
        except sa.exc.UnboundExecutionError:
            return bound_engine()

    def execute(self, statement: Any, *args: Any, **options: Any) -> Any:
        """`sqlalchemy.orm.Session.execute`."""
        return super().execute(_as_sql(statement), *args, **options)

    def scalar(self, statement: Any, *args: Any, **options: Any) -> Any:
        """`sqlalchemy.orm.Session.scalar`."""
        return super().scalar(_as_sql(statement), *args, **options)

    def scalars(self, statement: Any, *args: Any, **options: Any) -> Any:
        """`sqlalchemy.orm.Session.scalars`."""
        return super().scalars(_as_sql(statement), *args, **options)


def _as_sql(statement: Any) -> Any:
    if isinstance(statement, orm.Query):
        return statement.statement
    return sa.text(statement) if isinstance(statement, str) else statement


maker = orm.sessionmaker(class_=Session)
session = orm.scoped_session(maker)
