"""Let messages tell who did it, and find them by that"""

from __future__ import annotations

import sys

from alembic import op

revision = "8be41d7c3f06"
down_revision = "f2a90b6c37d4"

# The index takes the place of the one of usernames: for what has no agent, it is that.
ADD = """
    ALTER TABLE messages ADD COLUMN agent text COLLATE "C" CHECK (octet_length(agent) <= 1024);
    CREATE INDEX messages_agent_timestamp_id_idx
        ON messages (COALESCE(agent, username), timestamp, id);
    DROP INDEX messages_username_timestamp_id_idx;
    ANALYZE messages;
"""
REMOVE = """
    CREATE INDEX ON messages (username, timestamp, id);
    ALTER TABLE messages DROP COLUMN agent;
"""
# Those of roles.sql. What others may do is for those to say who gave it to them.
MAY = {
    "INSERT": ["datanommer_maintainer", "datanommer_writer"],
    "UPDATE": ["datanommer_maintainer"],
}
IS_WRITER = """
    SELECT to_regrole(%s) IS NOT NULL
        AND has_any_column_privilege(to_regrole(%s)::oid, 'messages', 'INSERT')
"""
THERE_ARE_SOME = "SELECT EXISTS (SELECT FROM messages)"


def upgrade() -> None:
    connection = op.get_bind()
    op.execute(ADD)
    for privilege, roles in MAY.items():
        for role in roles:
            if connection.exec_driver_sql(IS_WRITER, (role, role)).scalar_one():
                op.execute(f"GRANT {privilege} (agent) ON messages TO {role}")
    if connection.exec_driver_sql(THERE_ARE_SOME).scalar_one():
        sys.stderr.write(
            "  new messages are stored with who did it; for those that are stored already, run "
            "datanommer-reindex\n"
        )


def downgrade() -> None:
    op.execute(REMOVE)
