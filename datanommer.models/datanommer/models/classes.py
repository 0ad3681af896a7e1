"""The base of all classes, and the classes that a `Message` is related to."""

from __future__ import annotations

from sqlalchemy import orm

from datanommer.models import tables
from datanommer.models.database.session import session


class DeclarativeBase(orm.DeclarativeBase):
    """The base of all classes; ``Class.query`` is a query in the current session."""

    metadata = tables.metadata
    query = session.query_property()


class User(DeclarativeBase):
    """A user whom some message concerns."""

    __table__ = tables.users

    name: orm.Mapped[str]


class Package(DeclarativeBase):
    """A package that some message concerns."""

    __table__ = tables.packages

    name: orm.Mapped[str]


class Certificate(DeclarativeBase):
    """A certificate that messages are signed with."""

    __table__ = tables.certificates

    id: orm.Mapped[int]
    body: orm.Mapped[str]
    sha256: orm.Mapped[bytes]
