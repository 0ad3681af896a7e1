"""Count the messages of each topic by day, and let triggers keep the counts"""

from __future__ import annotations

import sys
import time

from alembic import op

revision = "f2a90b6c37d4"
down_revision = "5d0c93be174a"

RANGE_ROWS = 100_000
SECONDS_BETWEEN_LINES = 5

# A day is one of UTC, whatever the time zone of the session is.
CREATE = """
    CREATE TABLE topic_days (
        category text COLLATE "C" NOT NULL,
        topic text COLLATE "C" NOT NULL,
        day date NOT NULL,
        messages bigint NOT NULL,
        PRIMARY KEY (category, topic, day)
    );
    CREATE INDEX ON topic_days (day);
"""
OWNERS = """
    SELECT mine.relowner::regrole::text, theirs.relowner::regrole::text
    FROM pg_class AS mine, pg_class AS theirs
    WHERE mine.oid = 'topic_days'::regclass AND theirs.oid = 'topics'::regclass
"""
GRANTS = """
    SELECT privilege_type, is_grantable,
        CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = 'topics'::regclass AND grantee <> relowner
"""
# Writers take the rows in one order, so that two of them wait for each other and do not deadlock.
ADD_UP = """
    INSERT INTO topic_days (category, topic, day, messages)
    SELECT category, topic, (timestamp AT TIME ZONE 'UTC')::date AS day, sum(one)
    FROM ({rows}) AS changed
    GROUP BY category, topic, day HAVING sum(one) <> 0 ORDER BY category, topic, day
    ON CONFLICT (category, topic, day) DO UPDATE
        SET messages = topic_days.messages + excluded.messages;
"""
# Of what was taken away, the days that have no message left.
DROP_EMPTY = """
    DELETE FROM topic_days USING (
        SELECT DISTINCT category, topic, (timestamp AT TIME ZONE 'UTC')::date AS day FROM removed
    ) AS touched
    WHERE topic_days.category = touched.category AND topic_days.topic = touched.topic
        AND topic_days.day = touched.day AND topic_days.messages <= 0;
"""
ADDED = "SELECT category, topic, timestamp, 1 AS one FROM added"
REMOVED = "SELECT category, topic, timestamp, -1 AS one FROM removed"
TRIGGERS = {
    "insert": ("REFERENCING NEW TABLE AS added", ADD_UP.format(rows=ADDED)),
    "delete": ("REFERENCING OLD TABLE AS removed", ADD_UP.format(rows=REMOVED) + DROP_EMPTY),
    "update": (
        "REFERENCING OLD TABLE AS removed NEW TABLE AS added",
        ADD_UP.format(rows=f"{ADDED} UNION ALL {REMOVED}") + DROP_EMPTY,
    ),
    "truncate": ("", "DELETE FROM topic_days;"),
}
# Whoever may write messages need not be able to write the counts.
TRIGGER = """
    CREATE FUNCTION datanommer_topic_days_on_{event}() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    BEGIN
        {body}
        RETURN NULL;
    END $$;
    REVOKE ALL ON FUNCTION datanommer_topic_days_on_{event}() FROM PUBLIC;
    CREATE TRIGGER datanommer_topic_days_on_{event} AFTER {event} ON messages {referencing}
    FOR EACH STATEMENT EXECUTE FUNCTION datanommer_topic_days_on_{event}();
"""
# Locked first, so that no writer adds a message between the count and the commit.
RECOUNT = """
    CREATE OR REPLACE FUNCTION datanommer_recount_topics() RETURNS bigint LANGUAGE plpgsql
    SET search_path = {schema}, pg_temp AS $$
    DECLARE
        counted bigint;
    BEGIN
        LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE;
        {count}
        GET DIAGNOSTICS counted = ROW_COUNT;
        RETURN counted;
    END $$;
"""
COUNT_BOTH = """
        DELETE FROM topics;
        DELETE FROM topic_days;
        WITH counted AS MATERIALIZED (
            SELECT category, topic, (timestamp AT TIME ZONE 'UTC')::date AS day,
                count(*) AS messages, min(timestamp) AS first_seen, max(timestamp) AS last_seen
            FROM messages GROUP BY category, topic, day
        ), days AS (
            INSERT INTO topic_days (category, topic, day, messages)
            SELECT category, topic, day, messages FROM counted
        )
        INSERT INTO topics (category, topic, messages, first_seen, last_seen)
        SELECT category, topic, sum(messages), min(first_seen), max(last_seen) FROM counted
        GROUP BY category, topic;
"""
COUNT_TOPICS = """
        DELETE FROM topics;
        INSERT INTO topics (category, topic, messages, first_seen, last_seen)
        SELECT category, topic, count(*), min(timestamp), max(timestamp) FROM messages
        GROUP BY category, topic;
"""
WHERE = """
    SELECT relnamespace::regnamespace::text, relowner::regrole::text,
        relowner = current_user::regrole
    FROM pg_class WHERE oid = 'messages'::regclass
"""
ALL_MESSAGES = "SELECT coalesce(sum(messages), 0)::bigint FROM topics"
END_OF_RANGE = f"""
    SELECT max(id), count(*) FROM (
        SELECT id FROM messages WHERE id > %(after)s ORDER BY id LIMIT {RANGE_ROWS}
    ) AS range
"""
OF_RANGE = (
    "SELECT category, topic, timestamp, 1 AS one FROM messages "
    "WHERE id > %(after)s AND id <= %(last)s"
)


def upgrade() -> None:
    connection = op.get_bind()
    schema, owner, is_mine = connection.exec_driver_sql(WHERE).one()
    _execute(CREATE)
    mine, theirs = connection.exec_driver_sql(OWNERS).one()
    if mine != theirs:
        _execute(f"ALTER TABLE topic_days OWNER TO {theirs}")
    # Whoever may read how many messages a topic has may read how many it has a day.
    for privilege, is_grantable, grantee in connection.exec_driver_sql(GRANTS).all():
        option = "WITH GRANT OPTION" if is_grantable else ""
        _execute(f"GRANT {privilege} ON topic_days TO {grantee} {option}")
    for event, (referencing, body) in TRIGGERS.items():
        _execute(TRIGGER.format(event=event, schema=schema, referencing=referencing, body=body))
        if not is_mine:
            _execute(f"ALTER FUNCTION datanommer_topic_days_on_{event}() OWNER TO {owner}")
    _execute(RECOUNT.format(schema=schema, count=COUNT_BOTH))
    # The triggers have locked out all other writers.
    _count_all()
    _execute("ANALYZE topic_days")


def downgrade() -> None:
    schema, *_ = op.get_bind().exec_driver_sql(WHERE).one()
    _execute(RECOUNT.format(schema=schema, count=COUNT_TOPICS))
    for event in TRIGGERS:
        _execute(f"DROP TRIGGER datanommer_topic_days_on_{event} ON messages")
        _execute(f"DROP FUNCTION datanommer_topic_days_on_{event}()")
    _execute("DROP TABLE topic_days")


def _count_all() -> None:
    """Count the messages, a range of ids at a time, and say how far that is."""
    connection = op.get_bind()
    total = connection.exec_driver_sql(ALL_MESSAGES).scalar_one()
    last_line = time.monotonic()
    after, counted = -1, 0
    while True:
        last, number = connection.exec_driver_sql(END_OF_RANGE, {"after": after}).one()
        if last is None:
            return
        connection.exec_driver_sql(ADD_UP.format(rows=OF_RANGE), {"after": after, "last": last})
        after, counted = last, counted + number
        if time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            _say(f"{counted:,} of {total:,} messages counted ({100 * counted // total} %)")


def _say(line: str) -> None:
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()


def _execute(sql: str) -> None:
    # Not by way of sa.text, which would take a colon for a parameter.
    op.get_bind().exec_driver_sql(sql)
