"""The session that the models are used with: in the database that datanommer is bound to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models.database import bound_engine


class Session(orm.Session):
    """A session in the database that `datanommer.models.init` named last, unless it has its own."""

    def get_bind(self, *args: Any, **options: Any) -> sa.Engine | sa.Connection:
        """Where SQLAlchemy would find no bind, the engine that datanommer is bound to.

        Raises:
            ConfigurationError: there is none either.
        """
        try:
            return super().get_bind(*args, **options)
        except sa.exc.UnboundExecutionError:
            return bound_engine()


maker = orm.sessionmaker(class_=Session)
session = orm.scoped_session(maker)
