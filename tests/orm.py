"""Classes for tables that the models read and write without any."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped

from datanommer.models import DeclarativeBase, tables


class Rejected(DeclarativeBase):
    """A reject."""

    __table__ = tables.rejected

    id: Mapped[int]
    received_at: Mapped[datetime]
    msg_id: Mapped[str | None]
    topic: Mapped[str | None]
    kind: Mapped[str]
    reason: Mapped[str]
    raw: Mapped[bytes]
    sha256: Mapped[bytes]
    seen: Mapped[int]


class Topic(DeclarativeBase):
    """The counters of a topic."""

    __table__ = tables.topics

    category: Mapped[str]
    topic: Mapped[str]
    messages: Mapped[int]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
