"""Keep what the messages about syncs of logs tell in a table of its own"""

from __future__ import annotations

import sys

from alembic import op

revision = "c2f4816b9d05"
down_revision = "7b90d2f5c61a"

# Filled in Python where a message is stored: JSON operators raise on a document that holds
# \u0000 anywhere, so nothing in the database may read inside msg.
CREATE = """
    CREATE TABLE sync_events (
        msg bigint PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
        timestamp timestamptz NOT NULL,
        kind text COLLATE "C" NOT NULL CHECK (octet_length(kind) <= 1024),
        run_id text COLLATE "C" CHECK (octet_length(run_id) <= 1024),
        host text,
        synced_host text,
        log_date text,
        reason text
    );
    CREATE INDEX ON sync_events (timestamp, run_id);
    CREATE INDEX ON sync_events (run_id, timestamp);
    CREATE INDEX ON sync_events (run_id, kind) WHERE kind IN ('start', 'finish');
"""
OWNERS = """
    SELECT mine.relowner::regrole::text, theirs.relowner::regrole::text
    FROM pg_class AS mine, pg_class AS theirs
    WHERE mine.oid = 'sync_events'::regclass AND theirs.oid = 'messages'::regclass
"""
GRANTS = """
    SELECT privilege_type, is_grantable,
        CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = 'messages'::regclass AND grantee <> relowner
"""
# topics is small, and knows every topic that a message has.
THERE_ARE_SOME = "SELECT 1 FROM topics WHERE topic LIKE %s LIMIT 1"


def upgrade() -> None:
    connection = op.get_bind()
    op.execute(CREATE)
    mine, theirs = connection.exec_driver_sql(OWNERS).one()
    if mine != theirs:
        op.execute(f"ALTER TABLE sync_events OWNER TO {theirs}")
    # Whoever may write messages must be able to write what they tell.
    for privilege, is_grantable, grantee in connection.exec_driver_sql(GRANTS).all():
        option = "WITH GRANT OPTION" if is_grantable else ""
        op.execute(f"GRANT {privilege} ON sync_events TO {grantee} {option}")
    if connection.exec_driver_sql(THERE_ARE_SOME, ("%logging.stats.sync.%",)).first():
        sys.stderr.write(
            "  datanommer-runs knows messages that come from now on; for those that are stored "
            "already, run datanommer-reindex\n"
        )


def downgrade() -> None:
    op.execute("DROP TABLE sync_events")
