"""Show the messages as the tables of the classic line, in a schema named classic"""

from __future__ import annotations

from alembic import op
from alembic.util import CommandError

revision = "9c4e7f10b3d8"
down_revision = "8be41d7c3f06"

# The signature as it was sent, in base64: one line of gpg; else lines of 76 characters, with a
# newline at the end of each. PostgreSQL breaks the lines likewise. A signature that is written
# otherwise is a string in extra, right at the beginning. It is cut out of the text: the operators
# of JSON fail on a document that holds what no text can, such as \u0000, and nobody who adds
# messages shall be able to make this view fail. So a string that holds it is NULL here.
SIGNATURE = r"""
    CASE
        WHEN m.signature IS NULL THEN substring(
            m.extra::text FROM '^\{"set": \{(?:"timestamp": [^,}]+, )?"signature": '
            '("(?:[^"\\]|\\[^u]|\\u(?!0000|d[89a-f])[0-9a-f]{4}|\\ud[89ab]..\\ud[c-f]..)*")[,}]'
        )::json #>> '{}'
        WHEN m.crypto = 'gpg' THEN replace(encode(m.signature, 'base64'), chr(10), '')
        ELSE rtrim(encode(m.signature, 'base64'), chr(10)) || chr(10)
    END
"""
MESSAGES = f"""
    SELECT m.id, m.msg_id, m.i, m.topic, m.timestamp AT TIME ZONE 'UTC' AS timestamp,
        c.body AS certificate, {SIGNATURE} AS signature, m.category, m.username, m.crypto,
        m.source_name, m.source_version, m.msg::text AS _msg, m.headers::text AS _headers
    FROM messages AS m LEFT JOIN certificates AS c ON c.id = m.certificate_id
"""
#: The views, with the tables that they read.
VIEWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "messages": (MESSAGES, ("messages", "certificates")),
    '"user"': ("SELECT name FROM users", ("users",)),
    "package": ("SELECT name FROM packages", ("packages",)),
    "user_messages": ("SELECT name AS username, msg FROM user_messages", ("user_messages",)),
    "package_messages": (
        "SELECT name AS package, msg FROM package_messages",
        ("package_messages",),
    ),
}

OWNER = """
    SELECT relowner::regrole::text, quote_ident(current_database()), current_user::text,
        has_database_privilege(current_database(), 'CREATE')
    FROM pg_class WHERE oid = 'messages'::regclass
"""
SCHEMA = """
    SELECT nspowner::regrole::text, pg_has_role(nspowner, 'USAGE'), NOT EXISTS (
        SELECT FROM pg_depend
        WHERE refclassid = 'pg_namespace'::regclass AND refobjid = pg_namespace.oid
    )
    FROM pg_namespace WHERE nspname = 'classic'
"""
# Who may read all tables of a view. The view itself reads them with the rights of its owner.
READERS = """
    SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS reader
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = ANY(%(tables)s::regclass[]) AND grantee <> relowner
        AND privilege_type = 'SELECT'
    GROUP BY grantee HAVING count(DISTINCT pg_class.oid) = cardinality(%(tables)s)
    ORDER BY reader
"""


def upgrade() -> None:
    connection = op.get_bind()
    owner, database, role, may_create = connection.exec_driver_sql(OWNER).one()
    _make_schema(owner, f"GRANT CREATE ON DATABASE {database} TO {owner}", role, may_create)
    _execute("COMMENT ON SCHEMA classic IS 'The archive as the tables of the classic line.'")
    for view, (query, tables) in VIEWS.items():
        _execute(f"CREATE VIEW classic.{view} AS {query}")
        _execute(f"ALTER VIEW classic.{view} OWNER TO {owner}")
        for reader in connection.exec_driver_sql(READERS, {"tables": list(tables)}).scalars().all():
            _execute(f"GRANT USAGE ON SCHEMA classic TO {reader}")
            _execute(f"GRANT SELECT ON classic.{view} TO {reader}")


def downgrade() -> None:
    _execute(f"DROP VIEW {', '.join(f'classic.{view}' for view in VIEWS)}")
    _, _, is_empty = op.get_bind().exec_driver_sql(SCHEMA).one()
    if is_empty:
        _execute("DROP SCHEMA classic")


def _make_schema(owner: str, grant: str, role: str, may_create: bool) -> None:
    """Make the schema, or take one that is empty."""
    found = op.get_bind().exec_driver_sql(SCHEMA).one_or_none()
    if found is None and may_create:
        _execute(f"CREATE SCHEMA classic AUTHORIZATION {owner}")
        return
    if found is None:
        raise CommandError(
            f"This step makes a schema named classic, but {role} may not make a schema in this "
            f"database. Type as a superuser: {grant}. Then run the step again."
        )
    schema_owner, is_ours, is_empty = found
    if not (is_ours and is_empty):
        raise CommandError(
            "The views of this step go into a schema named classic, but this database already has "
            f"one. It belongs to {schema_owner}, and is not this archive's. Give it another name "
            "(ALTER SCHEMA classic RENAME TO ...), and run the step again."
        )
    if schema_owner != owner:
        _execute(f"ALTER SCHEMA classic OWNER TO {owner}")


def _execute(sql: str) -> None:
    # Not by way of sa.text, which would take a colon for a parameter.
    op.get_bind().exec_driver_sql(sql)
