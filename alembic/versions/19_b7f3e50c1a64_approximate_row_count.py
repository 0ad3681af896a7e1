"""Answer approximate_row_count('messages'), which datagrepper asks of TimescaleDB"""

from __future__ import annotations

from alembic import op
from alembic.util import CommandError

revision = "b7f3e50c1a64"
down_revision = "40d7a2c95be6"

FUNCTION = "approximate_row_count(regclass)"
# Of messages the exact number, under the name of the table and of the classic view.
CREATE = """
    CREATE FUNCTION approximate_row_count(relation regclass) RETURNS bigint LANGUAGE sql STABLE
    SET search_path = {schema}, pg_temp AS $$
        SELECT CASE
            WHEN relation IN (to_regclass('messages'), to_regclass('classic.messages'))
                THEN (SELECT coalesce(sum(messages), 0)::bigint FROM topics)
            ELSE (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = relation)
        END
    $$;
    COMMENT ON FUNCTION approximate_row_count(regclass) IS
        'How many messages there are, or about how many rows any other table has.';
"""
WHERE = """
    SELECT relnamespace::regnamespace::text, relowner::regrole::text,
        relowner = current_user::regrole
    FROM pg_class WHERE oid = 'messages'::regclass
"""
FOUND = "SELECT to_regprocedure(%s || '.' || %s)::text"


def upgrade() -> None:
    connection = op.get_bind()
    schema, owner, is_mine = connection.exec_driver_sql(WHERE).one()
    if connection.exec_driver_sql(FOUND, (schema, FUNCTION)).scalar():
        raise CommandError(
            f"There is a function {schema}.{FUNCTION} already, such as TimescaleDB brings. "
            "datanommer does not need it. If nothing else here does, type DROP EXTENSION "
            "timescaledb, or drop the function. Then run the step again."
        )
    _execute(CREATE.format(schema=schema))
    if not is_mine:
        _execute(f"ALTER FUNCTION {FUNCTION} OWNER TO {owner}")


def downgrade() -> None:
    _execute(f"DROP FUNCTION {FUNCTION}")


def _execute(sql: str) -> None:
    # Not by way of sa.text, which would take a colon for a parameter.
    op.get_bind().exec_driver_sql(sql)
