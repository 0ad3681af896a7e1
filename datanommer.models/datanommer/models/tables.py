"""All tables at head.

The migrations in ``alembic/`` make this schema in a database; a test proves the two equal.
The triggers that keep `topics` and `topic_days`, and the views of the classic line, are made by the
migrations alone.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from datanommer.models import times
from datanommer.models.envelopes.fields import MAX_TEXT_BYTES


class NaiveUTC(sa.types.TypeDecorator[datetime]):
    """A timestamptz that Python sees as a naive datetime in UTC, as classic clients expect.

    It takes aware datetimes as well, and keeps their moment.
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
    """A limit that keeps an index from refusing a row: a btree entry holds about 2,700 bytes."""
    return sa.CheckConstraint(f"octet_length({column}) <= {MAX_TEXT_BYTES}", name=column)


def _id(comment: str) -> sa.Column[int]:
    return sa.Column(
        "id", sa.BigInteger, sa.Identity(always=False), primary_key=True, comment=comment
    )


messages = sa.Table(
    "messages",
    metadata,
    _id("Grows as messages arrive; numbers may be missing."),
    # Columns of eight bytes come first, so that none is padded.
    sa.Column("i", sa.BigInteger, nullable=False, comment="The number that the sender gave it."),
    sa.Column(
        "timestamp",
        NaiveUTC,
        nullable=False,
        comment="When it was sent, by the clock of the sender; shown in the time zone of the "
        "session.",
    ),
    sa.Column(
        "stored_at",
        NaiveUTC,
        server_default=sa.text("clock_timestamp()"),
        comment="When it was stored, by the clock of the server. NULL if it came with the upgrade "
        "of a classic archive.",
    ),
    sa.Column(
        "certificate_id",
        sa.BigInteger,
        sa.ForeignKey("certificates.id"),
        comment="The certificate that was sent with it.",
    ),
    sa.Column(
        "msg_id",
        IndexedText,
        nullable=False,
        unique=True,
        comment="The id that the sender gave it, or that the archive made where there was none.",
    ),
    sa.Column(
        "topic",
        IndexedText,
        nullable=False,
        comment="Such as org.fedoraproject.prod.bodhi.update.comment.",
    ),
    sa.Column(
        "category",
        IndexedText,
        nullable=False,
        comment="The part of the topic that names the application, such as bodhi.",
    ),
    sa.Column(
        "username",
        IndexedText,
        comment="The account that sent it, mostly that of a service. Whom it concerns is in "
        "user_messages.",
    ),
    sa.Column("crypto", sa.Text, comment="How it is signed, such as x509 or gpg."),
    sa.Column(
        "signature",
        sa.LargeBinary,
        comment="The bytes that were sent as base64. What was sent in any other form is in extra.",
    ),
    sa.Column("source_name", sa.Text, comment="As it was sent: the archive that it came from."),
    sa.Column("source_version", sa.Text, comment="As it was sent: the version of that archive."),
    # json, not jsonb, so that the signature of the sender still verifies.
    sa.Column("msg", sa.JSON, nullable=False, comment="The content: the JSON of the sender."),
    sa.Column("headers", sa.JSON, comment="The headers that were sent with it."),
    # See `datanommer.models.envelopes.extra`.
    sa.Column(
        "extra",
        sa.JSON,
        comment="The part of what was sent that the other columns do not give back. NULL if there "
        "is none.",
    ),
    sa.Column(
        "agent",
        IndexedText,
        comment="Who did what the message tells, if that is known. The account that sent it is in "
        "username.",
    ),
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
    # For the view of the classic line, whose times have no time zone.
    sa.Index(
        "messages_timestamp_utc_idx",
        sa.text("(timestamp AT TIME ZONE 'UTC')"),
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 1024, "autosummarize": "on"},
    ),
    # Only to find certificates that no message needs any more.
    sa.Index(None, "certificate_id", postgresql_where=sa.text("certificate_id IS NOT NULL")),
    comment="The messages of the bus, each exactly as it was sent.",
)


def agent_of(message: sa.FromClause) -> sa.ColumnElement[str]:
    """Who did what a message is about; if nobody knows, who sent it.

    Args:
        message: the table `messages`, or an alias of it.
    """
    return sa.func.coalesce(message.c.agent, message.c.username)


sa.Index("messages_agent_timestamp_id_idx", agent_of(messages), messages.c.timestamp, messages.c.id)

certificates = sa.Table(
    "certificates",
    metadata,
    _id("What messages refer to."),
    sa.Column("body", sa.Text, nullable=False, comment="The certificate as it was sent."),
    sa.Column(
        "sha256", sa.LargeBinary, nullable=False, unique=True, comment="The SHA-256 of the body."
    ),
    # Otherwise a writer could store a false certificate in advance, and messages would get it.
    sa.CheckConstraint("sha256 = sha256(convert_to(body, 'UTF8'))", name="sha256"),
    # A host sends the same one with every message.
    comment="The certificates that messages are signed with, each once.",
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", IndexedText, primary_key=True, comment="The name of the account."),
    _short("name"),
    comment="The users that some message concerns.",
)
packages = sa.Table(
    "packages",
    metadata,
    sa.Column("name", IndexedText, primary_key=True, comment="The name of the package."),
    _short("name"),
    comment="The packages that some message concerns.",
)


def _association(table: str, names: str) -> sa.Table:
    """Which messages concern whom.

    The primary key finds the newest messages of a name, and the other index those of a name in a
    category.
    """
    return sa.Table(
        table,
        metadata,
        sa.Column(
            "name",
            IndexedText,
            sa.ForeignKey(f"{names}.name"),
            primary_key=True,
            comment=f"A name in {names}.",
        ),
        sa.Column("timestamp", NaiveUTC, primary_key=True, comment="The timestamp of the message."),
        sa.Column("category", IndexedText, nullable=False, comment="The category of the message."),
        sa.Column(
            "msg",
            sa.BigInteger,
            sa.ForeignKey("messages.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
            index=True,
            comment="The id of the message.",
        ),
        sa.Index(None, "name", "category", "timestamp", "msg"),
        comment=f"Which messages concern which {names}.",
    )


user_messages = _association("user_messages", "users")
package_messages = _association("package_messages", "packages")

topics = sa.Table(
    "topics",
    metadata,
    sa.Column("category", IndexedText, primary_key=True, comment="The category of the messages."),
    sa.Column("topic", IndexedText, primary_key=True, comment="The topic of the messages."),
    sa.Column("messages", sa.BigInteger, nullable=False, comment="How many messages there are."),
    sa.Column(
        "first_seen", NaiveUTC, nullable=False, comment="The earliest timestamp of a message."
    ),
    sa.Column("last_seen", NaiveUTC, nullable=False, comment="The latest timestamp of a message."),
    sa.Column(
        "last_stored",
        NaiveUTC,
        comment="When the last of them was stored, by the clock of the server. NULL if all of them "
        "came with the upgrade of a classic archive.",
    ),
    comment="How many messages each topic has. Triggers on messages keep it.",
)

topic_days = sa.Table(
    "topic_days",
    metadata,
    sa.Column("category", IndexedText, primary_key=True, comment="The category of the messages."),
    sa.Column("topic", IndexedText, primary_key=True, comment="The topic of the messages."),
    sa.Column("day", sa.Date, primary_key=True, comment="The day of their timestamps, in UTC."),
    sa.Column("messages", sa.BigInteger, nullable=False, comment="How many messages there are."),
    sa.Index(None, "day"),
    comment="How many messages each topic has a day. Triggers on messages keep it.",
)

rejected = sa.Table(
    "rejected",
    metadata,
    _id("What datanommer-rejected calls it."),
    sa.Column(
        "received_at",
        NaiveUTC,
        nullable=False,
        server_default=sa.text("clock_timestamp()"),
        comment="When it came for the first time, by the clock of the server.",
    ),
    sa.Column("msg_id", sa.Text, comment="The id that it came with, if it had one."),
    sa.Column("topic", sa.Text, comment="The topic that it came with, if it had one."),
    sa.Column(
        "kind",
        sa.Text,
        nullable=False,
        # `datanommer.models.errors.KINDS`.
        comment="Why it was rejected: conflict, invalid, too large, or classic.",
    ),
    sa.Column("reason", sa.Text, nullable=False, comment="Why it was rejected, in words."),
    sa.Column("raw", sa.LargeBinary, nullable=False, comment="What was received, as JSON."),
    sa.Column(
        "sha256",
        sa.LargeBinary,
        nullable=False,
        unique=True,
        comment="A SHA-256 that is the same for what is the same reject.",
    ),
    sa.Column(
        "seen",
        sa.Integer,
        nullable=False,
        server_default=sa.text("1"),
        comment="How often it came.",
    ),
    comment="What no row of messages can hold, each once.",
)

archive = sa.Table(
    "archive",
    metadata,
    sa.Column(
        "id",
        sa.Uuid,
        primary_key=True,
        server_default=sa.text("gen_random_uuid()"),
        comment="Made at random, and the same in each copy and backup.",
    ),
    sa.Index("archive_has_one_row", sa.text("(true)"), unique=True),
    comment="The name of this archive, in one row.",
)

#: Only `datanommer.models.logging_stats` uses it.
sync_events = sa.Table(
    "sync_events",
    metadata,
    sa.Column(
        "msg",
        sa.BigInteger,
        sa.ForeignKey("messages.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The id of the message.",
    ),
    sa.Column("timestamp", NaiveUTC, nullable=False, comment="The timestamp of the message."),
    sa.Column(
        "kind",
        IndexedText,
        nullable=False,
        comment="What its topic says after logging.stats.sync, such as host.start.",
    ),
    sa.Column("run_id", IndexedText, comment="The run of the sync that it belongs to."),
    sa.Column("host", sa.Text, comment="The host that the sync runs on."),
    sa.Column("synced_host", sa.Text, comment="The host whose logs are fetched."),
    sa.Column("log_date", sa.Text, comment="The day that the logs are of, as the message has it."),
    sa.Column("reason", sa.Text, comment="What went wrong."),
    _short("kind"),
    _short("run_id"),
    sa.Index(None, "timestamp", "run_id"),
    sa.Index(None, "run_id", "timestamp"),
    sa.Index(None, "run_id", "kind", postgresql_where=sa.text("kind IN ('start', 'finish')")),
    comment="What messages about syncs of logs say. What one does not say is NULL.",
)
