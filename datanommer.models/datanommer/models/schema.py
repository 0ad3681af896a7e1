"""The tables at head, as SQLAlchemy models.

The migrations in ``alembic/`` make this schema in a database; a test proves the two equal.
The triggers that keep `topics` are made by the migrations alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models import message
from datanommer.models.sessions import session


class NaiveUTC(sa.types.TypeDecorator[datetime]):
    """A timestamptz that Python sees as a naive datetime in UTC, as classic clients expect.

    Aware datetimes are taken too, and mean the moment that they name.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else message.as_utc(value)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else message.naive_utc(value)


#: Text that is indexed: ordered by bytes, so that an upgrade of libc cannot break the index.
IndexedText = sa.Text(collation="C")


def _short(column: str) -> sa.CheckConstraint:
    """A btree holds about 2,700 bytes an entry; far below that, an index cannot refuse a row."""
    return sa.CheckConstraint(f"octet_length({column}) <= {message.MAX_TEXT_BYTES}", name=column)


class DeclarativeBase(orm.DeclarativeBase):
    """The base of all models; ``Model.query`` is a query in the current session."""

    metadata = sa.MetaData(
        # The names that PostgreSQL itself would give.
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    query = session.query_property()


class User(DeclarativeBase):
    """A user whom some message concerns."""

    __tablename__ = "users"
    __table_args__ = (_short("name"),)

    name: orm.Mapped[str] = orm.mapped_column(IndexedText, primary_key=True)


class Package(DeclarativeBase):
    """A package that some message concerns."""

    __tablename__ = "packages"
    __table_args__ = (_short("name"),)

    name: orm.Mapped[str] = orm.mapped_column(IndexedText, primary_key=True)


def _association(table: str, named: str) -> sa.Table:
    """Which messages concern whom: the newest of a name come straight from the primary key."""
    return sa.Table(
        table,
        DeclarativeBase.metadata,
        sa.Column("name", IndexedText, sa.ForeignKey(f"{named}.name"), primary_key=True),
        sa.Column("timestamp", NaiveUTC, primary_key=True),
        sa.Column(
            "msg",
            sa.BigInteger,
            sa.ForeignKey("messages.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
            index=True,
        ),
    )


user_assoc_table = _association("user_messages", "users")
pack_assoc_table = _association("package_messages", "packages")


class Certificate(DeclarativeBase):
    """A certificate that messages are signed with: the same comes with every message of a host."""

    __tablename__ = "certificates"

    id: orm.Mapped[int] = orm.mapped_column(
        sa.BigInteger, sa.Identity(always=False), primary_key=True
    )
    body: orm.Mapped[str] = orm.mapped_column(sa.Text)
    sha256: orm.Mapped[bytes] = orm.mapped_column(sa.LargeBinary, unique=True)


class Message(DeclarativeBase):
    """A message of the bus, exactly as it was sent.

    The columns give back a body; `extra` holds what they cannot (see `datanommer.models.message`).
    """

    __tablename__ = "messages"
    __table_args__ = (
        _short("msg_id"),
        _short("topic"),
        _short("category"),
        sa.CheckConstraint(
            "timestamp >= '1970-01-01 00:00:00+00' AND timestamp < '10000-01-01 00:00:00+00'",
            name="timestamp",
        ),
        # Whole-second timestamps tie: id breaks the tie, so that pages neither repeat nor skip.
        sa.Index(None, "timestamp", "id"),
        sa.Index(None, "category", "timestamp", "id"),
        sa.Index(None, "topic", "timestamp", "id"),
    )

    id: orm.Mapped[int] = orm.mapped_column(
        sa.BigInteger, sa.Identity(always=False), primary_key=True
    )
    msg_id: orm.Mapped[str] = orm.mapped_column(IndexedText, unique=True)
    i: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    topic: orm.Mapped[str] = orm.mapped_column(IndexedText)
    category: orm.Mapped[str] = orm.mapped_column(IndexedText)
    timestamp: orm.Mapped[datetime] = orm.mapped_column(NaiveUTC)
    username: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    crypto: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    signature: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    certificate_id: orm.Mapped[int | None] = orm.mapped_column(
        sa.BigInteger, sa.ForeignKey("certificates.id")
    )
    source_name: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    source_version: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    # json, not jsonb: the text of the sender, so that its signature still verifies.
    msg: orm.Mapped[Any] = orm.mapped_column(sa.JSON, nullable=False)
    _headers: orm.Mapped[dict[str, Any] | None] = orm.mapped_column("headers", sa.JSON)
    extra: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(sa.JSON)
    stored_at: orm.Mapped[datetime | None] = orm.mapped_column(
        NaiveUTC, server_default=sa.text("clock_timestamp()")
    )

    users: orm.Mapped[list[User]] = orm.relationship(
        secondary=user_assoc_table, order_by=User.name, viewonly=True, lazy="selectin"
    )
    packages: orm.Mapped[list[Package]] = orm.relationship(
        secondary=pack_assoc_table, order_by=Package.name, viewonly=True, lazy="selectin"
    )
    _certificate: orm.Mapped[Certificate | None] = orm.relationship(lazy="joined")

    @property
    def headers(self) -> dict[str, Any]:
        """The headers of the message; an empty dict where it had none."""
        return self._headers or {}

    @property
    def certificate(self) -> str | None:
        """The certificate that the message is signed with, as sent (base64)."""
        return self._certificate.body if self._certificate else None

    @classmethod
    def from_msg_id(cls, msg_id: str) -> Message | None:
        """The message with that id, or None."""
        found: Message | None = cls.query.filter_by(msg_id=msg_id).first()
        return found

    @property
    def body(self) -> dict[str, Any]:
        """The body of the message exactly as it was sent."""
        columns = {
            **self.__json__(),
            "timestamp": message.to_epoch(self.timestamp),
            "headers": self._headers,
        }
        return message.restore_body(columns, self.extra)

    def __json__(self, request: object = None) -> dict[str, Any]:
        """The message with the twelve keys of the classic line.

        `timestamp` is epoch seconds, in the form that the sender gave (int or float).

        Args:
            request: ignored; web frameworks pass it.
        """
        sent = (self.extra or {}).get("set", {}).get("timestamp")
        return {
            "topic": self.topic,
            "msg": self.msg,
            "msg_id": self.msg_id,
            "i": self.i,
            "timestamp": message.to_epoch(self.timestamp) if sent is None else sent,
            "username": self.username,
            "crypto": self.crypto,
            "certificate": self.certificate,
            "signature": self.signature,
            "source_name": self.source_name,
            "source_version": self.source_version,
            "headers": self.headers,
        }

    def as_dict(self, request: object = None) -> dict[str, Any]:
        """The keys of `__json__`, with the names of the users and packages (sorted lists)."""
        return {
            **self.__json__(request),
            "users": [user.name for user in self.users],
            "packages": [package.name for package in self.packages],
        }


class Topic(DeclarativeBase):
    """How many messages a topic has, and when; triggers on `messages` keep it."""

    __tablename__ = "topics"

    category: orm.Mapped[str] = orm.mapped_column(IndexedText, primary_key=True)
    topic: orm.Mapped[str] = orm.mapped_column(IndexedText, primary_key=True)
    messages: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    first_seen: orm.Mapped[datetime] = orm.mapped_column(NaiveUTC)
    last_seen: orm.Mapped[datetime] = orm.mapped_column(NaiveUTC)


class SyncEvent(DeclarativeBase):
    """What a message of ``logging.stats.sync.*`` tells; see `datanommer.models.sync_events`.

    Columns:
        kind: the topic after ``logging.stats.sync.``, such as ``host.start``.
        run_id, host, synced_host, log_date, reason: of the content; NULL where it has none.
    """

    __tablename__ = "sync_events"
    __table_args__ = (
        _short("kind"),
        _short("run_id"),
        sa.Index(None, "timestamp", "run_id"),
        sa.Index(None, "run_id", "timestamp"),
        sa.Index(None, "run_id", "kind", postgresql_where=sa.text("kind IN ('start', 'finish')")),
    )

    msg: orm.Mapped[int] = orm.mapped_column(
        sa.BigInteger,
        sa.ForeignKey("messages.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    timestamp: orm.Mapped[datetime] = orm.mapped_column(NaiveUTC)
    kind: orm.Mapped[str] = orm.mapped_column(IndexedText)
    run_id: orm.Mapped[str | None] = orm.mapped_column(IndexedText)
    host: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    synced_host: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    log_date: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    reason: orm.Mapped[str | None] = orm.mapped_column(sa.Text)


class Rejected(DeclarativeBase):
    """What no row of `messages` can hold, kept once however often it comes.

    Columns:
        kind: ``conflict`` (its id belongs to another message), ``invalid``, ``too large`` or
            ``classic`` (left behind by the upgrade of a classic database).
        reason: why, in words.
        raw: what was received, as JSON.
        sha256: what makes two rejects the same.
        seen: how often it came.
    """

    __tablename__ = "rejected"

    id: orm.Mapped[int] = orm.mapped_column(
        sa.BigInteger, sa.Identity(always=False), primary_key=True
    )
    received_at: orm.Mapped[datetime] = orm.mapped_column(
        NaiveUTC, server_default=sa.text("clock_timestamp()")
    )
    msg_id: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    topic: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    kind: orm.Mapped[str] = orm.mapped_column(sa.Text)
    reason: orm.Mapped[str] = orm.mapped_column(sa.Text)
    raw: orm.Mapped[bytes] = orm.mapped_column(sa.LargeBinary)
    sha256: orm.Mapped[bytes] = orm.mapped_column(sa.LargeBinary, unique=True)
    seen: orm.Mapped[int] = orm.mapped_column(sa.Integer, server_default=sa.text("1"))


#: The classic line's name for the models that clients use.
models = frozenset({Message, User, Package})
