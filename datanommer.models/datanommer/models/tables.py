"""All tables at head.

The migrations in ``alembic/`` make this schema in a database; a test proves the two equal.
The triggers that keep `topics` and `topic_days` are made by the migrations alone.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from datanommer.models import times
from datanommer.models.envelopes.fields import MAX_TEXT_BYTES


class NaiveUTC(sa.types.TypeDecorator[datetime]):
    """A timestamptz that Python sees as a naive datetime in UTC, as classic clients expect.

    It takes aware datetimes as well; they mean the moment that they name.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else times.as_utc(value)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else times.naive_utc(value)


#: Text that is indexed: ordered by bytes, so that an upgrade of libc cannot break the index.
IndexedText = sa.Text(collation="C")

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


def _short(column: str) -> sa.CheckConstraint:
    """A btree holds about 2,700 bytes an entry. Far below that, an index cannot refuse a row."""
    return sa.CheckConstraint(f"octet_length({column}) <= {MAX_TEXT_BYTES}", name=column)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True)


#: The messages of the bus, each exactly as it was sent: the columns give back its body, and
#: `extra` holds what they cannot (see `datanommer.models.envelopes.extra`).
messages = sa.Table(
    "messages",
    metadata,
    _id(),
    # Columns of eight bytes come first, so that none is padded.
    sa.Column("i", sa.BigInteger, nullable=False),
    sa.Column("timestamp", NaiveUTC, nullable=False),
    sa.Column("stored_at", NaiveUTC, server_default=sa.text("clock_timestamp()")),
    sa.Column("certificate_id", sa.BigInteger, sa.ForeignKey("certificates.id")),
    sa.Column("msg_id", IndexedText, nullable=False, unique=True),
    sa.Column("topic", IndexedText, nullable=False),
    sa.Column("category", IndexedText, nullable=False),
    sa.Column("username", IndexedText),
    sa.Column("crypto", sa.Text),
    sa.Column("signature", sa.LargeBinary),
    sa.Column("source_name", sa.Text),
    sa.Column("source_version", sa.Text),
    # json, not jsonb: the text of the sender, so that its signature still verifies.
    sa.Column("msg", sa.JSON, nullable=False),
    sa.Column("headers", sa.JSON),
    sa.Column("extra", sa.JSON),
    # Who did what the message tells, if that is known.
    sa.Column("agent", IndexedText),
    _short("msg_id"),
    _short("topic"),
    _short("category"),
    _short("username"),
    _short("agent"),
    sa.CheckConstraint(
        "timestamp >= '1970-01-01 00:00:00+00' AND timestamp < '10000-01-01 00:00:00+00'",
        name="timestamp",
    ),
    # Whole-second timestamps tie: id breaks the tie, so that pages neither repeat nor skip.
    sa.Index(None, "timestamp", "id"),
    sa.Index(None, "category", "timestamp", "id"),
    sa.Index(None, "topic", "timestamp", "id"),
)


def agent_of(message: sa.FromClause) -> sa.ColumnElement[str]:
    """Who did what a message tells; where nobody knows, who sent it.

    Args:
        message: the table `messages`, or an alias of it.
    """
    return sa.func.coalesce(message.c.agent, message.c.username)


sa.Index("messages_agent_timestamp_id_idx", agent_of(messages), messages.c.timestamp, messages.c.id)

#: The certificates that messages are signed with: a host sends the same one with every message.
certificates = sa.Table(
    "certificates",
    metadata,
    _id(),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
    # Else a writer could store something else before, for messages that are signed with it.
    sa.CheckConstraint("sha256 = sha256(convert_to(body, 'UTF8'))", name="sha256"),
)

#: The users and the packages that some message concerns.
users = sa.Table(
    "users", metadata, sa.Column("name", IndexedText, primary_key=True), _short("name")
)
packages = sa.Table(
    "packages", metadata, sa.Column("name", IndexedText, primary_key=True), _short("name")
)


def _association(table: str, names: str) -> sa.Table:
    """Which messages concern whom.

    The newest messages of a name come straight from the primary key. `category` is that of the
    message, so that those of a name in a category are as quick to find.
    """
    return sa.Table(
        table,
        metadata,
        sa.Column("name", IndexedText, sa.ForeignKey(f"{names}.name"), primary_key=True),
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


user_messages = _association("user_messages", "users")
package_messages = _association("package_messages", "packages")

#: How many messages each topic has, and when the first and the last were sent. Triggers on
#: `messages` keep it.
topics = sa.Table(
    "topics",
    metadata,
    sa.Column("category", IndexedText, primary_key=True),
    sa.Column("topic", IndexedText, primary_key=True),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("first_seen", NaiveUTC, nullable=False),
    sa.Column("last_seen", NaiveUTC, nullable=False),
)

#: How many messages each topic has a day, in UTC. Triggers on `messages` keep it.
topic_days = sa.Table(
    "topic_days",
    metadata,
    sa.Column("category", IndexedText, primary_key=True),
    sa.Column("topic", IndexedText, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Index(None, "day"),
)

#: The rejects: what no row of `messages` can hold, each once however often it comes. `kind` is one
#: of `datanommer.models.errors.KINDS`, `raw` is what was received (JSON), `sha256` makes two
#: rejects the same, and `seen` counts how often it came.
rejected = sa.Table(
    "rejected",
    metadata,
    _id(),
    sa.Column("received_at", NaiveUTC, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.Column("msg_id", sa.Text),
    sa.Column("topic", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("seen", sa.Integer, nullable=False, server_default=sa.text("1")),
)

#: What messages of ``logging.stats.sync.*`` report; only `datanommer.models.logging_stats` uses
#: it. `kind` is the topic after that prefix, such as ``host.start``; what a message does not say
#: is NULL.
sync_events = sa.Table(
    "sync_events",
    metadata,
    sa.Column(
        "msg",
        sa.BigInteger,
        sa.ForeignKey("messages.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("timestamp", NaiveUTC, nullable=False),
    sa.Column("kind", IndexedText, nullable=False),
    sa.Column("run_id", IndexedText),
    sa.Column("host", sa.Text),
    sa.Column("synced_host", sa.Text),
    sa.Column("log_date", sa.Text),
    sa.Column("reason", sa.Text),
    _short("kind"),
    _short("run_id"),
    sa.Index(None, "timestamp", "run_id"),
    sa.Index(None, "run_id", "timestamp"),
    sa.Index(None, "run_id", "kind", postgresql_where=sa.text("kind IN ('start', 'finish')")),
)
