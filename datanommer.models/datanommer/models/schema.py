"""The tables at head, as SQLAlchemy models.

The migrations in ``alembic/`` make this schema in a database; a test proves the two equal.
The triggers that keep `topics` are made by the migrations alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models import message, packing
from datanommer.models.filters import Filters, text
from datanommer.models.sessions import session

if TYPE_CHECKING:
    from datanommer.models.paging import Page


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


#: A name, or several.
Names = str | Iterable[str] | None

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
    """Which messages concern whom: the newest of a name come straight from the primary key.

    The category is that of the message, so that those of a name in a category are as quick to find.
    """
    return sa.Table(
        table,
        DeclarativeBase.metadata,
        sa.Column("name", IndexedText, sa.ForeignKey(f"{named}.name"), primary_key=True),
        sa.Column("timestamp", NaiveUTC, primary_key=True),
        sa.Column("category", IndexedText, nullable=False),
        sa.Column(
            "msg",
            sa.BigInteger,
            sa.ForeignKey("messages.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
            index=True,
        ),
        sa.Index(None, "name", "category", "timestamp", "msg"),
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
        _short("username"),
        sa.CheckConstraint(
            "timestamp >= '1970-01-01 00:00:00+00' AND timestamp < '10000-01-01 00:00:00+00'",
            name="timestamp",
        ),
        # Whole-second timestamps tie: id breaks the tie, so that pages neither repeat nor skip.
        sa.Index(None, "timestamp", "id"),
        sa.Index(None, "category", "timestamp", "id"),
        sa.Index(None, "topic", "timestamp", "id"),
        sa.Index(None, "username", "timestamp", "id"),
    )

    id: orm.Mapped[int] = orm.mapped_column(
        sa.BigInteger, sa.Identity(always=False), primary_key=True
    )
    # Columns of eight bytes come first, so that none is padded.
    i: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    timestamp: orm.Mapped[datetime] = orm.mapped_column(NaiveUTC)
    stored_at: orm.Mapped[datetime | None] = orm.mapped_column(
        NaiveUTC, server_default=sa.text("clock_timestamp()")
    )
    certificate_id: orm.Mapped[int | None] = orm.mapped_column(
        sa.BigInteger, sa.ForeignKey("certificates.id")
    )
    msg_id: orm.Mapped[str] = orm.mapped_column(IndexedText, unique=True)
    topic: orm.Mapped[str] = orm.mapped_column(IndexedText)
    category: orm.Mapped[str] = orm.mapped_column(IndexedText)
    username: orm.Mapped[str | None] = orm.mapped_column(IndexedText)
    crypto: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    _signature: orm.Mapped[bytes | None] = orm.mapped_column("signature", sa.LargeBinary)
    source_name: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    source_version: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    # json, not jsonb: the text of the sender, so that its signature still verifies.
    msg: orm.Mapped[Any] = orm.mapped_column(sa.JSON, nullable=False)
    _headers: orm.Mapped[dict[str, Any] | None] = orm.mapped_column("headers", sa.JSON)
    extra: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(sa.JSON)

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

    @property
    def signature(self) -> str | None:
        """The signature of the message, as sent (base64)."""
        if self._signature is not None:
            return packing.unpack(self._signature, self.crypto)
        sent = (self.extra or {}).get("set", {}).get("signature")
        return sent if isinstance(sent, str) else None

    @property
    def agent_name(self) -> str | None:
        """The newer line's name for who sent the message: its `username`."""
        return self.username

    @classmethod
    def from_msg_id(cls, msg_id: str | None) -> Message | None:
        """The message with that id, or None.

        Raises:
            InvalidQuery: it is no text.
        """
        asked = None if msg_id is None else text("msg_id", msg_id)
        found: Message | None = cls.query.filter_by(msg_id=asked).first()
        return found

    @classmethod
    def grep(
        cls,
        start: datetime | float | None = None,
        end: datetime | float | None = None,
        page: int = 1,
        rows_per_page: int | None = 100,
        order: str = "asc",
        msg_id: str | None = None,
        users: Names = None,
        not_users: Names = None,
        packages: Names = None,
        not_packages: Names = None,
        categories: Names = None,
        not_categories: Names = None,
        topics: Names = None,
        not_topics: Names = None,
        agents: Names = None,
        not_agents: Names = None,
        contains: Names = None,
        defer: bool = False,
    ) -> tuple[int, int, Any]:
        """Find messages, a page at a time, in order of time; ties in the order of arrival.

        A message is found if it passes every filter that is given. A filter with several values
        lets pass what has any of them, one that begins with ``not_`` what has none of them.

        Args:
            start: only messages sent at this time or later: a datetime (naive is UTC) or epoch
                seconds.
            end: only messages sent at this time or earlier; only together with `start`.
            page: which page, from 1 on. One past the end has no messages.
            rows_per_page: how many messages a page has; with 0 or None, one page has all.
            order: ``asc``, the oldest first, or ``desc``.
            msg_id: only the message with this id.
            users: only messages that concern one of these users.
            packages: only messages that concern one of these packages.
            categories: only these categories.
            topics: only these topics.
            agents: only messages that were sent by one of these (their `username`).
            contains: only messages with one of these texts somewhere in `msg`: in a string, a key
                or a number. Upper and lower case differ; no character has a special meaning.
            defer: return the query of the page, instead of its messages; it has ``count()``,
                ``all()`` and the rest of `sqlalchemy.orm.Query`.

        Returns:
            How many messages there are in all, on how many pages, and those of the page as a list.

        Raises:
            InvalidQuery: an argument makes no sense (it is a ValueError, too).
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        from datanommer.models import grep

        filters = Filters.of(
            start=start,
            end=end,
            msg_id=msg_id,
            users=users,
            not_users=not_users,
            packages=packages,
            not_packages=not_packages,
            categories=categories,
            not_categories=not_categories,
            topics=topics,
            not_topics=not_topics,
            agents=agents,
            not_agents=not_agents,
            contains=contains,
        )
        return grep.grep(filters, page=page, rows_per_page=rows_per_page, order=order, defer=defer)

    @classmethod
    def make_query(cls, start: Any = None, end: Any = None, **filters: Any) -> orm.Query[Message]:
        """The query of all messages that pass the filters of `grep`, in no order.

        Raises:
            InvalidQuery: a filter makes no sense.
        """
        from datanommer.models import grep

        return grep.make_query(Filters.of(start, end, **filters))

    @classmethod
    def get_first(cls, order: str = "asc", **filters: Any) -> Message | None:
        """The oldest message that passes the filters of `grep` (with ``desc``, the newest).

        Raises:
            InvalidQuery: an argument makes no sense.
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        from datanommer.models import grep

        descending = grep.is_descending(order)
        return grep.first(Filters.of(**filters), 1, descending=descending).one_or_none()

    @classmethod
    def count(cls, **filters: Any) -> int:
        """How many messages pass the filters of `grep`, without loading any.

        Raises:
            InvalidQuery: a filter makes no sense.
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        from datanommer.models import grep

        return grep.total(Filters.of(**filters))

    @classmethod
    def page(
        cls,
        *,
        after: Message | str | None = None,
        by: str = "time",
        order: str = "asc",
        rows_per_page: int = 100,
        **filters: Any,
    ) -> Page:
        """A page of the messages that pass the filters of `grep`, without counting them.

        However far one pages, each page costs the same.

        Args:
            after: the last message that was read, or the `after` of the page before.
            by: the order: ``time``, in which who pages towards the present may miss a message
                that arrives late, or ``id``, the order of arrival, in which nothing is missed.
            order: ``asc``, the oldest first, or ``desc``.
            rows_per_page: how many messages a page has.

        Raises:
            InvalidQuery: an argument makes no sense.
            NotSettled: by id, somebody has been writing messages for ten seconds.
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        from datanommer.models import paging

        return paging.page(
            Filters.of(**filters), after=after, by=by, order=order, rows_per_page=rows_per_page
        )

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

    def as_fedora_message_dict(self) -> dict[str, Any]:
        """The message as ``fedora-messaging publish`` takes it, where `msg` is an object.

        What is none is in the body as it is; see `fedora_messaging`.
        """
        from datanommer.models import fedora_messaging

        return fedora_messaging.from_message(
            topic=self.topic,
            msg=self.msg,
            msg_id=self.msg_id,
            headers=self.headers,
            timestamp=self.timestamp,
        )


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
