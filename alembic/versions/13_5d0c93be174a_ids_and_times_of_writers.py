"""Let who adds messages choose neither their ids nor the times when they are stored"""

from __future__ import annotations

from alembic import op

revision = "5d0c93be174a"
down_revision = "c2f4816b9d05"

WHERE = """
    SELECT relnamespace::regnamespace::text, pg_get_serial_sequence('messages', 'id'),
        relowner::regrole::text, relowner = current_user::regrole
    FROM pg_class WHERE oid = 'messages'::regclass
"""
# The lock is what INSERT takes; who reads in the order of ids knows by it which of them are still
# open. By themselves, only those may take it who may fill all columns.
DRAW = """
    CREATE FUNCTION datanommer_draw_ids(number integer) RETURNS SETOF bigint LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    BEGIN
        LOCK TABLE messages IN ROW EXCLUSIVE MODE;
        RETURN QUERY SELECT nextval('{sequence}') FROM generate_series(1, number);
    END $$;
    COMMENT ON FUNCTION datanommer_draw_ids(integer) IS
        'Draws ids for messages that are inserted in this transaction.';
    REVOKE ALL ON FUNCTION datanommer_draw_ids(integer) FROM PUBLIC;
"""
# A row that has the next id of the sequence, or one beyond all that are to come, would be in the
# way of messages after it. Looked at row by row, it takes a fifth of the time of a batch.
GIVEN_OUT = """
        SELECT min(id), max(id) INTO lowest, highest FROM added;
        IF lowest < 1 OR highest > coalesce(pg_sequence_last_value('{sequence}'), 0) THEN
            RAISE insufficient_privilege USING
                MESSAGE = 'the id of a message has to be one that {sequence} has given out',
                HINT = 'Leave the id out, or draw it with datanommer_draw_ids.';
        END IF;
"""
ADD_UP = """
        INSERT INTO topics (category, topic, messages, first_seen, last_seen)
        SELECT category, topic, sum(one), min(timestamp), max(timestamp)
        FROM (SELECT category, topic, timestamp, 1 AS one FROM added) AS changed
        GROUP BY category, topic ORDER BY category, topic
        ON CONFLICT (category, topic) DO UPDATE SET
            messages = topics.messages + excluded.messages,
            first_seen = least(topics.first_seen, excluded.first_seen),
            last_seen = greatest(topics.last_seen, excluded.last_seen);
"""
ON_INSERT = """
    CREATE OR REPLACE FUNCTION datanommer_topics_on_insert() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    DECLARE
        lowest bigint;
        highest bigint;
    BEGIN
        {body}
        RETURN NULL;
    END $$
"""

# Messages that are signed with a certificate would come back with what somebody stored under its
# hash before.
CHECK = """
    ALTER TABLE certificates ADD CONSTRAINT certificates_sha256_check
    CHECK (sha256 = sha256(convert_to(body, 'UTF8')))
"""

WHO_INSERTS = """
    SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = 'messages'::regclass AND grantee <> relowner
        AND privilege_type = 'INSERT'
"""
# Those of roles.sql. What others may do is for those to say who gave it to them.
WRITERS = """
    SELECT name FROM unnest(ARRAY['datanommer_maintainer', 'datanommer_writer']) AS name
    WHERE to_regrole(name) IS NOT NULL AND has_any_column_privilege(name, 'messages', 'INSERT')
"""
# All that have no default; of messages the id as well, which is drawn before the rows of a batch
# are sorted, so that ids follow arrival.
COLUMNS = {
    "messages": "id, i, timestamp, certificate_id, msg_id, topic, category, username, crypto, "
    "signature, source_name, source_version, msg, headers, extra",
    "certificates": "body, sha256",
    "rejected": "msg_id, topic, kind, reason, raw, sha256, seen",
}


def upgrade() -> None:
    schema, sequence, owner, is_mine = _where()
    _execute(DRAW.format(schema=schema, sequence=sequence))
    if not is_mine:
        _execute(f"ALTER FUNCTION datanommer_draw_ids(integer) OWNER TO {owner}")
    for grantee in op.get_bind().exec_driver_sql(WHO_INSERTS).scalars().all():
        _execute(f"GRANT EXECUTE ON FUNCTION datanommer_draw_ids(integer) TO {grantee}")
    _execute(ON_INSERT.format(schema=schema, body=GIVEN_OUT.format(sequence=sequence) + ADD_UP))
    _execute(CHECK)
    for role in _writers():
        for table, columns in COLUMNS.items():
            _execute(f"REVOKE INSERT ON {table} FROM {role}")
            _execute(f"GRANT INSERT ({columns}) ON {table} TO {role}")
        # An identity that is left out needs no right on its sequence.
        _execute(f"REVOKE ALL ON SEQUENCE {', '.join(_sequences())} FROM {role}")


def downgrade() -> None:
    for role in _writers():
        for table in COLUMNS:
            _execute(f"REVOKE INSERT ON {table} FROM {role}")
            _execute(f"GRANT INSERT ON {table} TO {role}")
        _execute(f"GRANT USAGE ON SEQUENCE {', '.join(_sequences())} TO {role}")
    _execute("ALTER TABLE certificates DROP CONSTRAINT certificates_sha256_check")
    schema, *_ = _where()
    _execute(ON_INSERT.format(schema=schema, body=ADD_UP))
    _execute("DROP FUNCTION datanommer_draw_ids(integer)")


def _where() -> tuple[str, str, str, bool]:
    """The schema, the sequence and the owner of messages, and whether that is who we are."""
    schema, sequence, owner, is_mine = op.get_bind().exec_driver_sql(WHERE).one()
    return schema, sequence, owner, is_mine


def _writers() -> list[str]:
    return list(op.get_bind().exec_driver_sql(WRITERS).scalars())


def _sequences() -> list[str]:
    connection = op.get_bind()
    return [
        connection.exec_driver_sql("SELECT pg_get_serial_sequence(%s, 'id')", (table,)).scalar_one()
        for table in COLUMNS
    ]


def _execute(sql: str) -> None:
    # Not by way of sa.text, which would take a colon for a parameter.
    op.get_bind().exec_driver_sql(sql)
