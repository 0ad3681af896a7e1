"""Index the messages by time, by category, by topic and by who sent them"""

from __future__ import annotations

import sys

from alembic import op

revision = "a28e6d15f9b7"
down_revision = "69af24c8130e"

# Whole-second timestamps tie: id breaks the tie, so that pages neither repeat nor skip.
INDEXES = (
    "timestamp, id",
    "category, timestamp, id",
    "topic, timestamp, id",
    "username, timestamp, id",
)


def upgrade() -> None:
    has_rows = op.get_bind().exec_driver_sql("SELECT 1 FROM messages LIMIT 1").first()
    for place, columns in enumerate(INDEXES, start=1):
        if has_rows:
            sys.stderr.write(f"  index {place} of {len(INDEXES)}: ({columns})\n")
        op.execute(f"CREATE INDEX ON messages ({columns})")


def downgrade() -> None:
    op.execute(
        "DROP INDEX messages_timestamp_id_idx, messages_category_timestamp_id_idx, "
        "messages_topic_timestamp_id_idx, messages_username_timestamp_id_idx"
    )
