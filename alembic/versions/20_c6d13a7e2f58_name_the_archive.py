"""Give the archive an id of its own, by which datanommer-export knows it"""

from __future__ import annotations

from alembic import op

revision = "c6d13a7e2f58"
down_revision = "b7f3e50c1a64"

# A backup, a copy and a standby have the id of what they were made from.
CREATE = """
    CREATE TABLE archive (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
    CREATE UNIQUE INDEX archive_has_one_row ON archive ((true));
    INSERT INTO archive DEFAULT VALUES;
    COMMENT ON TABLE archive IS 'The name of this archive, in one row.';
    COMMENT ON COLUMN archive.id IS 'Made at random, and the same in each copy and backup.';
"""
OWNERS = """
    SELECT mine.relowner::regrole::text, theirs.relowner::regrole::text
    FROM pg_class AS mine, pg_class AS theirs
    WHERE mine.oid = 'archive'::regclass AND theirs.oid = 'topics'::regclass
"""
READERS = """
    SELECT is_grantable, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = 'topics'::regclass AND grantee <> relowner
        AND privilege_type = 'SELECT'
"""


def upgrade() -> None:
    connection = op.get_bind()
    op.execute(CREATE)
    mine, theirs = connection.exec_driver_sql(OWNERS).one()
    if mine != theirs:
        op.execute(f"ALTER TABLE archive OWNER TO {theirs}")
    # Whoever may read how many messages a topic has may read which archive it is.
    for is_grantable, grantee in connection.exec_driver_sql(READERS).all():
        option = "WITH GRANT OPTION" if is_grantable else ""
        op.execute(f"GRANT SELECT ON archive TO {grantee} {option}")


def downgrade() -> None:
    op.execute("DROP TABLE archive")
