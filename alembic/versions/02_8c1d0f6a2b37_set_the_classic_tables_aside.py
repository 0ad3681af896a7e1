"""Set the classic tables aside, under names that begin with classic_"""

from __future__ import annotations

from collections.abc import Callable

from alembic import op
from alembic.util import CommandError

revision = "8c1d0f6a2b37"
down_revision = "57be773be52b"

PREFIX = "classic_"
TABLES = ("messages", "user", "package", "user_messages", "package_messages")
#: The longest name of PostgreSQL, 63 bytes, less the prefix.
LONGEST = 63 - len(PREFIX)

KNOWN_COLUMNS = [
    "id",
    "msg_id",
    "i",
    "topic",
    "timestamp",
    "certificate",
    "signature",
    "category",
    "username",
    "crypto",
    "source_name",
    "source_version",
    "_msg",
    "_headers",
    "name",
    "package",
    "msg",
]
ADDED_COLUMNS = """
    SELECT attrelid::regclass || '.' || attname FROM pg_attribute
    WHERE attrelid = ANY(%(tables)s::regclass[]) AND attnum > 0 AND NOT attisdropped
        AND attname <> ALL(%(known)s)
"""
DEPENDENTS = """
    SELECT DISTINCT pg_rewrite.ev_class::regclass::text
    FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid
    WHERE pg_depend.classid = 'pg_rewrite'::regclass
        AND pg_depend.refobjid = ANY(%(tables)s::regclass[])
        AND pg_rewrite.ev_class <> ALL(%(tables)s::regclass[])
    UNION
    SELECT conrelid::regclass::text FROM pg_constraint
    WHERE confrelid = ANY(%(tables)s::regclass[]) AND conrelid <> ALL(%(tables)s::regclass[])
"""
# The names differ from database to database, so they are looked up. What has an index is renamed
# with it; what has none (from version 18 on, NOT NULL too) would be in the way of the new tables.
NAMED = """
    SELECT 'INDEX', indexrelid::regclass::text, relname
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = %(table)s::regclass
    UNION ALL
    SELECT 'SEQUENCE', pg_class.oid::regclass::text, relname
    FROM pg_class JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = pg_class.oid
    WHERE relkind = 'S' AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
        AND refobjid = %(table)s::regclass
    UNION ALL
    SELECT 'CONSTRAINT', quote_ident(conname), conname
    FROM pg_constraint WHERE conrelid = %(table)s::regclass AND conindid = 0
        OR conrelid = %(table)s::regclass AND contype = 'f'
    ORDER BY 3
"""


def upgrade() -> None:
    _require_nothing_added()
    for table in TABLES:
        _rename_parts(table, lambda name: f"{PREFIX}{name[:LONGEST]}")
        op.execute(f'ALTER TABLE "{table}" RENAME TO "{PREFIX}{table}"')


def downgrade() -> None:
    for table in TABLES:
        _rename_parts(f"{PREFIX}{table}", lambda name: name.removeprefix(PREFIX))
        op.execute(f'ALTER TABLE "{PREFIX}{table}" RENAME TO "{table}"')


def _rename_parts(table: str, new: Callable[[str], str]) -> None:
    """Rename the indexes, sequences and constraints of a table."""
    parts = op.get_bind().exec_driver_sql(NAMED, {"table": f'"{table}"'}).all()
    for kind, quoted, name in parts:
        if kind == "CONSTRAINT":
            op.execute(f'ALTER TABLE "{table}" RENAME CONSTRAINT {quoted} TO "{new(name)}"')
        else:
            op.execute(f'ALTER {kind} {quoted} RENAME TO "{new(name)}"')


def _require_nothing_added() -> None:
    """What others added to the classic tables would go with them, when a later step drops them."""
    sought = {"tables": [f'"{table}"' for table in TABLES], "known": KNOWN_COLUMNS}
    connection = op.get_bind()
    added = [
        *connection.exec_driver_sql(ADDED_COLUMNS, sought).scalars(),
        *connection.exec_driver_sql(DEPENDENTS, sought).scalars(),
    ]
    if added:
        raise CommandError(
            "A later step drops the classic tables, and with them would go what is not of "
            f"datanommer: {', '.join(added)}. Save those columns elsewhere, keep the definitions "
            "of the views and tables, drop them, and make them anew at head."
        )
