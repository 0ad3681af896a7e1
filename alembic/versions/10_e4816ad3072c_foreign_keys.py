"""Let every reference between the tables lead somewhere"""

from __future__ import annotations

from alembic import op

revision = "e4816ad3072c"
down_revision = "35c7f0b94ed8"

KEYS = (
    ("messages", "certificate_id", "certificates (id)"),
    ("user_messages", "name", "users (name)"),
    ("user_messages", "msg", "messages (id) ON DELETE CASCADE"),
    ("package_messages", "name", "packages (name)"),
    ("package_messages", "msg", "messages (id) ON DELETE CASCADE"),
)


def upgrade() -> None:
    for table, column, target in KEYS:
        op.execute(f"ALTER TABLE {table} ADD FOREIGN KEY ({column}) REFERENCES {target}")


def downgrade() -> None:
    for table, column, _ in KEYS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey")
