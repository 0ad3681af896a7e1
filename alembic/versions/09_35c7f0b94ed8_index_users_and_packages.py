"""Index the messages of each user and package by time"""

from __future__ import annotations

import sys

from alembic import op

revision = "35c7f0b94ed8"
down_revision = "a28e6d15f9b7"

TABLES = ("user_messages", "package_messages")


def upgrade() -> None:
    for table in TABLES:
        if op.get_bind().exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1").first():
            sys.stderr.write(f"  {table}\n")
        op.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (name, timestamp, msg)")
        op.execute(f"CREATE INDEX ON {table} (name, category, timestamp, msg)")
        op.execute(f"CREATE INDEX ON {table} (msg)")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP INDEX {table}_msg_idx, {table}_name_category_timestamp_msg_idx")
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
        for column in ("name", "timestamp", "msg"):
            # From version 18 on, PostgreSQL drops this with the key.
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
