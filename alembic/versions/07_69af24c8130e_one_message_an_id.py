"""Let no two messages have one msg_id"""

from __future__ import annotations

from alembic import op

revision = "69af24c8130e"
down_revision = "d05b3e817f42"


def upgrade() -> None:
    op.execute("ALTER TABLE messages ADD UNIQUE (msg_id)")


def downgrade() -> None:
    op.execute("ALTER TABLE messages DROP CONSTRAINT messages_msg_id_key")
