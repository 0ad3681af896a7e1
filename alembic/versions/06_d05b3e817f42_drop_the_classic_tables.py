"""Drop the classic tables, now that their rows are in the new ones"""

from __future__ import annotations

from alembic import op
from alembic.util import CommandError

revision = "d05b3e817f42"
down_revision = "1f7c58e2a96d"

#: env.py refuses to start on a way back that cannot be walked to its end.
NO_WAY_BACK = (
    "There is no way back behind the step that dropped the classic tables: messages stored since "
    "do not all fit into them. To go back, restore the backup made before the upgrade; to take "
    "the messages along, use datanommer-dump."
)


def upgrade() -> None:
    op.execute(
        "DROP TABLE classic_user_messages, classic_package_messages, classic_messages, "
        "classic_user, classic_package"
    )


def downgrade() -> None:
    raise CommandError(NO_WAY_BACK)
