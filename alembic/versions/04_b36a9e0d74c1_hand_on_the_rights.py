"""Give the tables the owner and the readers that the classic ones have"""

from __future__ import annotations

from alembic import op

revision = "b36a9e0d74c1"
down_revision = "4e92b7d1c05f"

TABLES = (
    "users",
    "packages",
    "certificates",
    "messages",
    "user_messages",
    "package_messages",
    "topics",
    "rejected",
)
NUMBERED = ("certificates", "messages", "rejected")

OWNER = """
    SELECT relowner::regrole::text, pg_has_role(relowner, 'USAGE')
    FROM pg_class WHERE oid = %s::regclass
"""
GRANTS = """
    SELECT DISTINCT privilege_type, is_grantable,
        CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS grantee
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = 'classic_messages'::regclass AND grantee <> relowner
    ORDER BY grantee, privilege_type
"""


def upgrade() -> None:
    connection = op.get_bind()
    owner, _ = _owner("classic_messages")
    versions_owner, may_change_versions = _owner("alembic_version")
    for table in TABLES:
        if _owner(table)[0] != owner:
            op.execute(f"ALTER TABLE {table} OWNER TO {owner}")
    if may_change_versions and versions_owner != owner:
        op.execute(f"ALTER TABLE alembic_version OWNER TO {owner}")
    for privilege, is_grantable, grantee in connection.exec_driver_sql(GRANTS).all():
        option = "WITH GRANT OPTION" if is_grantable else ""
        op.execute(f"GRANT {privilege} ON {', '.join(TABLES)} TO {grantee} {option}")
        if privilege == "INSERT":
            op.execute(f"GRANT USAGE ON SEQUENCE {', '.join(_sequences())} TO {grantee}")
        if privilege == "SELECT" and may_change_versions:
            # Whoever reads messages looks first whether the database is at head.
            op.execute(f"GRANT SELECT ON alembic_version TO {grantee}")


def downgrade() -> None:
    """The rights go with the tables."""


def _owner(table: str) -> tuple[str, bool]:
    """The owner of a table, and whether we may act as that role."""
    name, is_ours = op.get_bind().exec_driver_sql(OWNER, (table,)).one()
    return name, is_ours


def _sequences() -> list[str]:
    connection = op.get_bind()
    return [
        connection.exec_driver_sql("SELECT pg_get_serial_sequence(%s, 'id')", (table,)).scalar_one()
        for table in NUMBERED
    ]
