"""`Message`: what it is, and how to find it. The other classes are in `classes`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import orm
from sqlalchemy.sql import operators

from datanommer.models import tables, times
from datanommer.models.classes import Certificate, DeclarativeBase, Package, User
from datanommer.models.database.session import session
from datanommer.models.envelopes import identity
from datanommer.models.envelopes.extra import restore_body
from datanommer.models.envelopes.signature_bytes import unpack
from datanommer.models.filtering.filters import Filters, text
from datanommer.models.finding import grep, pages
from datanommer.models.finding.pages import Page
from datanommer.models.preparing import fedora_messaging

#: A name, or several.
Names = str | Iterable[str] | None
#: The arguments of `Message.grep` that are no filters.
_OF_PAGES = {"cls", "page", "rows_per_page", "order", "defer"}


class _KnownAs(orm.ColumnProperty.Comparator[str]):
    """Lets ``Message.msg_id == "..."`` find a message of AMQP without the year in front.

    Clients compare with the id that they received.
    """

    def operate(self, op: Any, *other: Any, **options: Any) -> Any:
        column = self.__clause_element__()
        if op is operators.eq and isinstance(other[0], str):
            return column.in_(identity.known_as(other[0]))
        return op(column, *other, **options)


def _filters_among(arguments: Mapping[str, Any]) -> Filters:
    """The filters among the arguments of a method.

    Each is an argument of its own, because clients read their names from the signature.
    """
    return Filters.of(**{name: each for name, each in arguments.items() if name not in _OF_PAGES})


class Message(DeclarativeBase):
    """A message of the bus, exactly as it was sent."""

    __table__ = tables.messages

    id: orm.Mapped[int]
    i: orm.Mapped[int]
    timestamp: orm.Mapped[datetime]
    stored_at: orm.Mapped[datetime | None]
    msg_id: orm.Mapped[str] = orm.column_property(
        tables.messages.c.msg_id, comparator_factory=_KnownAs
    )
    topic: orm.Mapped[str]
    category: orm.Mapped[str]
    username: orm.Mapped[str | None]
    agent: orm.Mapped[str | None]
    crypto: orm.Mapped[str | None]
    source_name: orm.Mapped[str | None]
    source_version: orm.Mapped[str | None]
    msg: orm.Mapped[Any]
    extra: orm.Mapped[dict[str, Any] | None]
    _headers: orm.Mapped[dict[str, Any] | None] = orm.column_property(tables.messages.c.headers)
    _signature: orm.Mapped[bytes | None] = orm.column_property(tables.messages.c.signature)

    users: orm.Mapped[list[User]] = orm.relationship(
        secondary=tables.user_messages, order_by=User.name, viewonly=True, lazy="selectin"
    )
    packages: orm.Mapped[list[Package]] = orm.relationship(
        secondary=tables.package_messages, order_by=Package.name, viewonly=True, lazy="selectin"
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
            return unpack(self._signature, self.crypto)
        sent = (self.extra or {}).get("set", {}).get("signature")
        return sent if isinstance(sent, str) else None

    @property
    def agent_name(self) -> str | None:
        """Who did what the message is about; if nobody knows, who sent it (its `username`)."""
        return self.agent or self.username

    @classmethod
    def from_msg_id(cls, msg_id: str | None) -> Message | None:
        """The message with that id, or None.

        Args:
            msg_id: the id. A message from AMQP is found with or without the year in front.

        Raises:
            InvalidQuery: it is no text.
        """
        if msg_id is None:
            return None
        checked = text("msg_id", msg_id)
        found: list[Message] = cls.query.filter_by(msg_id=checked).all()
        exact = (message for message in found if message.msg_id == checked)
        return next(exact, found[0] if found else None)

    @classmethod
    def grep(
        cls,
        start: datetime | float | str | None = None,
        end: datetime | float | str | None = None,
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
        passes a message that has any of them; one that begins with ``not_``, a message that has
        none of them.

        Args:
            start: only messages sent at this time or later: a datetime (naive is UTC), its text in
                ISO 8601 (a date alone is its midnight), or epoch seconds.
            end: only messages sent at this time or earlier; only together with `start`. If it is
                before `start`, nothing is found.
            page: which page, from 1 on. One past the end has no messages.
            rows_per_page: how many messages a page has; with 0 or None, one page has all.
            order: ``asc``, the oldest first, or ``desc``.
            msg_id: only the message with this id; one from AMQP is found with or without the
                year in front.
            users: only messages that concern one of these users.
            packages: only messages that concern one of these packages.
            categories: only these categories.
            topics: only these topics.
            agents: only messages about what one of these did; if nobody knows who did it, those
                that one of these sent (their `username`).
            contains: only messages with one of these texts somewhere in `msg`: in a string, a key
                or a number. Upper and lower case differ; no character has a special meaning.
            defer: return the query of the page, instead of its messages; it has ``count()``,
                ``all()``, ``where()`` and the rest of `sqlalchemy.orm.Query`, and
                `datanommer.models.session` executes it.

        Returns:
            How many messages there are in all, on how many pages, and those of the page as a list.

        Raises:
            InvalidQuery: an argument makes no sense (it is a ValueError, too).
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        filters = _filters_among(locals())
        return grep.grep(
            session(),
            cls,
            filters,
            page=page,
            rows_per_page=rows_per_page,
            order=order,
            defer=defer,
        )

    @classmethod
    def make_query(
        cls,
        start: datetime | float | str | None = None,
        end: datetime | float | str | None = None,
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
        not_contains: Names = None,
    ) -> orm.Query[Message]:
        """The query of all messages that pass the filters of `grep`, in no order.

        Raises:
            InvalidQuery: a filter makes no sense.
        """
        return grep.make_query(session(), cls, _filters_among(locals()))

    @classmethod
    def get_first(cls, order: str = "asc", **filters: Any) -> Message | None:
        """The oldest message that passes the filters of `grep` (with ``desc``, the newest).

        Raises:
            InvalidQuery: an argument makes no sense.
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        descending = grep.is_descending(order)
        query = grep.first(session(), cls, Filters.of(**filters), 1, descending=descending)
        return query.one_or_none()

    @classmethod
    def count(cls, **filters: Any) -> int:
        """How many messages pass the filters of `grep`, without loading any.

        Raises:
            InvalidQuery: a filter makes no sense.
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        return grep.count(session(), Filters.of(**filters))

    @classmethod
    def page(
        cls,
        *,
        after: Message | str | None = None,
        by: str = "time",
        order: str = "asc",
        rows_per_page: int = 100,
        **filters: Any,
    ) -> Page[Message]:
        """A page of the messages that pass the filters of `grep`, without counting them.

        Each page costs the same, however far you page.

        Args:
            after: the last message that was read, or the `after` of the page before.
            by: the order: ``time``, in which a reader who pages towards the present may miss a
                message that arrives late, or ``id``, the order of arrival, which misses nothing.
            order: ``asc``, the oldest first, or ``desc``.
            rows_per_page: how many messages a page has.

        Raises:
            InvalidQuery: an argument makes no sense.
            NotSettled: by id, somebody has been writing messages for ten seconds.
            OnStandby: by id, the database is a standby: ask its primary, or page by time.
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        if isinstance(after, Message):
            after = pages.cursor_of(after, by)
        return pages.page(
            session(),
            cls,
            Filters.of(**filters),
            after=after,
            by=by,
            order=order,
            rows_per_page=rows_per_page,
        )

    @property
    def body(self) -> dict[str, Any]:
        """The body of the message exactly as it was sent."""
        columns = {
            **self.__json__(),
            "timestamp": times.to_epoch(self.timestamp),
            "headers": self._headers,
        }
        return restore_body(columns, self.extra)

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
            "timestamp": times.to_epoch(self.timestamp) if sent is None else sent,
            "username": self.username,
            "crypto": self.crypto,
            "certificate": self.certificate,
            "signature": self.signature,
            "source_name": self.source_name,
            "source_version": self.source_version,
            "headers": self.headers,
        }

    def as_dict(self, request: object = None) -> dict[str, Any]:
        """The keys of `__json__`, with those that the newer line added.

        These are `category`, `agent_name`, and the names of `users` and `packages` (sorted lists).
        """
        return {
            **self.__json__(request),
            "category": self.category,
            "agent_name": self.agent_name,
            "users": [user.name for user in self.users],
            "packages": [package.name for package in self.packages],
        }

    def as_fedora_message_dict(self) -> dict[str, Any]:
        """The message as ``fedora-messaging publish`` takes it, where `msg` is an object.

        Its `id` is the one that was sent, without the year that the archive puts in front. Any
        other `msg` is in the body as it is; see `datanommer.models.preparing.fedora_messaging`.
        """
        return fedora_messaging.from_message(
            topic=self.topic,
            msg=self.msg,
            msg_id=fedora_messaging.sent_id(self.msg_id, self.headers, self.extra),
            headers=self.headers,
            timestamp=self.timestamp,
        )

    def __repr__(self) -> str:
        sent = times.to_text(self.timestamp)
        return f"<Message {self.msg_id!r}, topic {self.topic!r}, sent {sent}>"


user_assoc_table = tables.user_messages
pack_assoc_table = tables.package_messages
#: The classic line's name for the classes that clients use.
models = frozenset({Message, User, Package})
