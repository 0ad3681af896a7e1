"""Index which messages have a certificate, so that one that none needs any more can go"""

from __future__ import annotations

from alembic import op

revision = "d84c1e6f9a03"
down_revision = "c6d13a7e2f58"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX messages_certificate_id_idx ON messages (certificate_id) "
        "WHERE certificate_id IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX messages_certificate_id_idx")
