"""Make the schema of the classic line, or adopt the one that is there"""

from __future__ import annotations

from alembic import op
from alembic.util import CommandError

revision = "57be773be52b"
down_revision = None

CREATE = """
    CREATE TABLE messages (
        id serial PRIMARY KEY,
        msg_id text UNIQUE,
        i integer NOT NULL,
        topic text NOT NULL,
        timestamp timestamp NOT NULL,
        certificate text,
        signature text,
        category text NOT NULL,
        username text,
        crypto text,
        source_name text,
        source_version text,
        _msg text NOT NULL,
        _headers text
    );
    CREATE INDEX index_msg_topic ON messages (topic);
    CREATE INDEX index_msg_category ON messages (category);
    CREATE TABLE "user" (name text PRIMARY KEY);
    CREATE TABLE package (name text PRIMARY KEY);
    CREATE TABLE user_messages (
        username text REFERENCES "user" (name),
        msg integer REFERENCES messages (id),
        PRIMARY KEY (username, msg)
    );
    CREATE TABLE package_messages (
        package text REFERENCES package (name),
        msg integer REFERENCES messages (id),
        PRIMARY KEY (package, msg)
    );
"""
NUMBER = ("smallint", "integer", "bigint")
TEXT = ("text", "character varying")
COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "messages": {
        **dict.fromkeys(("id", "i"), NUMBER),
        "timestamp": ("timestamp without time zone",),
        **dict.fromkeys(("msg_id", "topic", "category", "username", "crypto"), TEXT),
        **dict.fromkeys(("certificate", "signature", "_msg", "_headers"), TEXT),
        **dict.fromkeys(("source_name", "source_version"), TEXT),
    },
    "user": {"name": TEXT},
    "package": {"name": TEXT},
    "user_messages": {"username": TEXT, "msg": NUMBER},
    "package_messages": {"package": TEXT, "msg": NUMBER},
}
#: The names that later steps need.
NEW_TABLES = ("users", "packages", "certificates", "topics", "rejected", "sync_events")


def upgrade() -> None:
    found = {table: columns for table in COLUMNS if (columns := _columns(table)) is not None}
    taken = [table for table in NEW_TABLES if _columns(table) is not None]
    if taken:
        raise _not_ours(taken[0], "it is in the way of a table that a later step makes")
    for table, columns in found.items():
        _require_classic(table, columns)
    if not found:
        op.execute(CREATE)
    elif len(found) < len(COLUMNS):
        missing = ", ".join(table for table in COLUMNS if table not in found)
        raise _not_ours(next(iter(found)), f"of the classic tables, there is no {missing}")


def downgrade() -> None:
    for table in COLUMNS:
        if op.get_bind().exec_driver_sql(f'SELECT 1 FROM "{table}" LIMIT 1').first():
            raise CommandError(
                f"The table {table} is not empty, and this downgrade would drop it. "
                "To do without its rows, delete them first."
            )
    op.execute('DROP TABLE user_messages, package_messages, messages, "user", package')


def _columns(table: str) -> dict[str, str] | None:
    """The columns of a table with their types, without lengths; None where there is no table."""
    connection = op.get_bind()
    number = connection.exec_driver_sql("SELECT to_regclass(%s)::oid", (f'"{table}"',)).scalar()
    if number is None:
        return None
    columns = connection.exec_driver_sql(
        "SELECT attname, regexp_replace(format_type(atttypid, atttypmod), '\\(\\d+\\)', '') "
        "FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped",
        (number,),
    )
    return {name: str(kind) for name, kind in columns}


def _require_classic(table: str, columns: dict[str, str]) -> None:
    expected = COLUMNS[table]
    faults = [f"it has no column {name}" for name in expected if name not in columns]
    faults += [f"its column {name} is not known" for name in columns if name not in expected]
    faults += [
        f"its column {name} is {kind}, not {expected[name][0]}"
        for name, kind in columns.items()
        if name in expected and kind not in expected[name]
    ]
    if faults:
        raise _not_ours(table, "; ".join(faults))


def _not_ours(table: str, reason: str) -> CommandError:
    return CommandError(
        f"The database has a table {table} that is not the one of datanommer at revision "
        f"{revision}: {reason}. If another program made it, name another database, or move the "
        f'table away: ALTER TABLE "{table}" SET SCHEMA ...; if it is of an older datanommer, '
        f"bring it to {revision} with the last release of that line first."
    )
