"""Say what each table and column holds"""

from __future__ import annotations

from alembic import op

revision = "40d7a2c95be6"
down_revision = "e16b58d0a92f"

#: What each table holds, and each of its columns.
COMMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "messages": (
        "The messages of the bus, each exactly as it was sent.",
        {
            "id": "Grows as messages arrive; numbers may be missing.",
            "i": "The number that the sender gave it.",
            "timestamp": (
                "When it was sent, by the clock of the sender; shown in the time zone of the "
                "session."
            ),
            "stored_at": (
                "When it was stored, by the clock of the server. NULL if it came with the upgrade "
                "of a classic archive."
            ),
            "certificate_id": "The certificate that was sent with it.",
            "msg_id": (
                "The id that the sender gave it, or that the archive made where there was none."
            ),
            "topic": "Such as org.fedoraproject.prod.bodhi.update.comment.",
            "category": "The part of the topic that names the application, such as bodhi.",
            "username": (
                "The account that sent it, mostly that of a service. Whom it concerns is in "
                "user_messages."
            ),
            "crypto": "How it is signed, such as x509 or gpg.",
            "signature": (
                "The bytes that were sent as base64. What was sent in any other form is in extra."
            ),
            "source_name": "As it was sent: the archive that it came from.",
            "source_version": "As it was sent: the version of that archive.",
            "msg": "The content: the JSON of the sender.",
            "headers": "The headers that were sent with it.",
            "extra": (
                "The part of what was sent that the other columns do not give back. NULL if there "
                "is none."
            ),
            "agent": (
                "Who did what the message tells, if that is known. The account that sent it is in "
                "username."
            ),
        },
    ),
    "certificates": (
        "The certificates that messages are signed with, each once.",
        {
            "id": "What messages refer to.",
            "body": "The certificate as it was sent.",
            "sha256": "The SHA-256 of the body.",
        },
    ),
    "users": (
        "The users that some message concerns.",
        {
            "name": "The name of the account.",
        },
    ),
    "packages": (
        "The packages that some message concerns.",
        {
            "name": "The name of the package.",
        },
    ),
    "user_messages": (
        "Which messages concern which users.",
        {
            "name": "A name in users.",
            "timestamp": "The timestamp of the message.",
            "category": "The category of the message.",
            "msg": "The id of the message.",
        },
    ),
    "package_messages": (
        "Which messages concern which packages.",
        {
            "name": "A name in packages.",
            "timestamp": "The timestamp of the message.",
            "category": "The category of the message.",
            "msg": "The id of the message.",
        },
    ),
    "topics": (
        "How many messages each topic has. Triggers on messages keep it.",
        {
            "category": "The category of the messages.",
            "topic": "The topic of the messages.",
            "messages": "How many messages there are.",
            "first_seen": "The earliest timestamp of a message.",
            "last_seen": "The latest timestamp of a message.",
        },
    ),
    "topic_days": (
        "How many messages each topic has a day. Triggers on messages keep it.",
        {
            "category": "The category of the messages.",
            "topic": "The topic of the messages.",
            "day": "The day of their timestamps, in UTC.",
            "messages": "How many messages there are.",
        },
    ),
    "rejected": (
        "What no row of messages can hold, each once.",
        {
            "id": "What datanommer-rejected calls it.",
            "received_at": "When it came for the first time, by the clock of the server.",
            "msg_id": "The id that it came with, if it had one.",
            "topic": "The topic that it came with, if it had one.",
            "kind": "Why it was rejected: conflict, invalid, too large, or classic.",
            "reason": "Why it was rejected, in words.",
            "raw": "What was received, as JSON.",
            "sha256": "A SHA-256 that is the same for what is the same reject.",
            "seen": "How often it came.",
        },
    ),
    "sync_events": (
        "What messages about syncs of logs say. What one does not say is NULL.",
        {
            "msg": "The id of the message.",
            "timestamp": "The timestamp of the message.",
            "kind": "What its topic says after logging.stats.sync, such as host.start.",
            "run_id": "The run of the sync that it belongs to.",
            "host": "The host that the sync runs on.",
            "synced_host": "The host whose logs are fetched.",
            "log_date": "The day that the logs are of, as the message has it.",
            "reason": "What went wrong.",
        },
    ),
}


def upgrade() -> None:
    for table, (comment, columns) in COMMENTS.items():
        op.create_table_comment(table, comment)
        for column, of_column in columns.items():
            op.alter_column(table, column, comment=of_column)


def downgrade() -> None:
    for table, (_, columns) in COMMENTS.items():
        op.drop_table_comment(table)
        for column in columns:
            op.alter_column(table, column, comment=None)
