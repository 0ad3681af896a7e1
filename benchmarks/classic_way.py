"""The classic way, as a peer: SQLAlchemy's ORM on the classic schema, a commit a message."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models.envelopes.category import categorize


class Base(orm.DeclarativeBase):
    """The base of the classic models."""


_user_messages = sa.Table(
    "user_messages",
    Base.metadata,
    sa.Column("username", sa.ForeignKey("user.name"), primary_key=True),
    sa.Column("msg", sa.ForeignKey("messages.id"), primary_key=True),
)
_package_messages = sa.Table(
    "package_messages",
    Base.metadata,
    sa.Column("package", sa.ForeignKey("package.name"), primary_key=True),
    sa.Column("msg", sa.ForeignKey("messages.id"), primary_key=True),
)


class User(Base):
    """A user."""

    __tablename__ = "user"

    name: orm.Mapped[str] = orm.mapped_column(sa.Text, primary_key=True)


class Package(Base):
    """A package."""

    __tablename__ = "package"

    name: orm.Mapped[str] = orm.mapped_column(sa.Text, primary_key=True)


class Message(Base):
    """A message: content and headers are text."""

    __tablename__ = "messages"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    msg_id: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    i: orm.Mapped[int]
    topic: orm.Mapped[str] = orm.mapped_column(sa.Text)
    timestamp: orm.Mapped[datetime]
    certificate: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    signature: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    category: orm.Mapped[str] = orm.mapped_column(sa.Text)
    username: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    crypto: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    source_name: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    source_version: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    _msg: orm.Mapped[str] = orm.mapped_column(sa.Text)
    _headers: orm.Mapped[str | None] = orm.mapped_column(sa.Text)

    users: orm.Mapped[list[User]] = orm.relationship(secondary=_user_messages)
    packages: orm.Mapped[list[Package]] = orm.relationship(secondary=_package_messages)


def engine(url: str) -> sa.Engine:
    """An engine with psycopg2, which SQLAlchemy no longer means by the bare name."""
    return sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg2"))


def add(
    session: orm.Session,
    envelope: dict[str, Any],
    users: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
) -> None:
    """Store one message, and commit."""
    body = envelope["body"]
    sent = datetime.fromtimestamp(body["timestamp"], UTC).replace(tzinfo=None)
    made = Message(
        msg_id=body["msg_id"],
        i=body["i"],
        topic=body["topic"],
        timestamp=sent,
        certificate=body.get("certificate"),
        signature=body.get("signature"),
        category=categorize(body["topic"]),
        username=body.get("username"),
        crypto=body.get("crypto"),
        source_name="datanommer",
        source_version="0.9.1",
        _msg=json.dumps(body["msg"]),
        users=[session.get(User, name) or User(name=name) for name in users],
        packages=[session.get(Package, name) or Package(name=name) for name in packages],
    )
    session.add(made)
    session.commit()


def dump(session: orm.Session) -> list[str]:
    """The JSON of all messages, all in memory."""
    return [
        json.dumps({**row.__dict__, "_sa_instance_state": None, "timestamp": 0})
        for row in session.scalars(sa.select(Message).order_by(Message.timestamp)).all()
    ]
