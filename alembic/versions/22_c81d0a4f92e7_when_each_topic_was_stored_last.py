"""Remember when the last message of each topic was stored, and let triggers keep that"""

from __future__ import annotations

import sys
import time
from datetime import datetime

from alembic import op

revision = "c81d0a4f92e7"
down_revision = "d84c1e6f9a03"

RANGE_ROWS = 100_000
SECONDS_BETWEEN_LINES = 5

ADD = """
    ALTER TABLE topics ADD COLUMN last_stored timestamptz;
    COMMENT ON COLUMN topics.last_stored IS
        'When the last of them was stored, by the clock of the server. NULL if all of them came '
        'with the upgrade of a classic archive.';
"""
WHERE = """
    SELECT relnamespace::regnamespace::text, pg_get_serial_sequence('messages', 'id')
    FROM pg_class WHERE oid = 'messages'::regclass
"""
# As in the steps before, and with the time. Of what is taken away, the time stays: it is still when
# the archive last took such a message, and to look it up anew would mean to read the whole topic.
ADD_UP = """
    INSERT INTO topics (category, topic, messages, first_seen, last_seen, last_stored)
    SELECT category, topic, sum(one), min(timestamp), max(timestamp), max(stored_at)
    FROM ({rows}) AS changed
    GROUP BY category, topic ORDER BY category, topic
    ON CONFLICT (category, topic) DO UPDATE SET
        messages = topics.messages + excluded.messages,
        first_seen = least(topics.first_seen, excluded.first_seen),
        last_seen = greatest(topics.last_seen, excluded.last_seen),
        last_stored = greatest(topics.last_stored, excluded.last_stored);
"""
ADDED = "SELECT category, topic, timestamp, stored_at, 1 AS one FROM added"
REMOVED = "SELECT category, topic, timestamp, NULL, -1 AS one FROM removed"

ADD_UP_BEFORE = """
    INSERT INTO topics (category, topic, messages, first_seen, last_seen)
    SELECT category, topic, sum(one), min(timestamp), max(timestamp) FROM ({rows}) AS changed
    GROUP BY category, topic ORDER BY category, topic
    ON CONFLICT (category, topic) DO UPDATE SET
        messages = topics.messages + excluded.messages,
        first_seen = least(topics.first_seen, excluded.first_seen),
        last_seen = greatest(topics.last_seen, excluded.last_seen);
"""
ADDED_BEFORE = "SELECT category, topic, timestamp, 1 AS one FROM added"
REMOVED_BEFORE = "SELECT category, topic, timestamp, -1 AS one FROM removed"

# These are as they were, but for what adds up.
SUBTRACT = """
    DELETE FROM topics USING (SELECT DISTINCT category, topic FROM removed) AS touched
    WHERE topics.category = touched.category AND topics.topic = touched.topic
        AND topics.messages <= 0;
    UPDATE topics SET
        first_seen = coalesce((
            SELECT messages.timestamp FROM messages
            WHERE messages.topic = topics.topic AND messages.category = topics.category
            ORDER BY messages.timestamp LIMIT 1
        ), topics.first_seen),
        last_seen = coalesce((
            SELECT messages.timestamp FROM messages
            WHERE messages.topic = topics.topic AND messages.category = topics.category
            ORDER BY messages.timestamp DESC LIMIT 1
        ), topics.last_seen)
    FROM (
        SELECT category, topic, min(timestamp) AS first, max(timestamp) AS last
        FROM removed GROUP BY category, topic
    ) AS touched
    WHERE topics.category = touched.category AND topics.topic = touched.topic
        AND (touched.first <= topics.first_seen OR touched.last >= topics.last_seen);
"""
ON_INSERT = """
    CREATE OR REPLACE FUNCTION datanommer_topics_on_insert() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    DECLARE
        lowest bigint;
        highest bigint;
    BEGIN
        SELECT min(id), max(id) INTO lowest, highest FROM added;
        IF lowest < 1 OR highest > coalesce(pg_sequence_last_value('{sequence}'), 0) THEN
            RAISE insufficient_privilege USING
                MESSAGE = 'the id of a message has to be one that {sequence} has given out',
                HINT = 'Leave the id out, or draw it with datanommer_draw_ids.';
        END IF;
        {add_up}
        RETURN NULL;
    END $$
"""
ON_UPDATE = """
    CREATE OR REPLACE FUNCTION datanommer_topics_on_update() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    BEGIN
        -- Both have as many rows, so nothing left over on one side is nothing on the other.
        IF EXISTS (
            SELECT category, topic, timestamp FROM removed
            EXCEPT ALL SELECT category, topic, timestamp FROM added
        ) THEN
            {add_up}
            {subtract}
        END IF;
        RETURN NULL;
    END $$
"""
RECOUNT = """
    CREATE OR REPLACE FUNCTION datanommer_recount_topics() RETURNS bigint LANGUAGE plpgsql
    SET search_path = {schema}, pg_temp AS $$
    DECLARE
        counted bigint;
    BEGIN
        LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE;
        DELETE FROM topics;
        DELETE FROM topic_days;
        WITH counted AS MATERIALIZED (
            SELECT category, topic, (timestamp AT TIME ZONE 'UTC')::date AS day,
                count(*) AS messages, min(timestamp) AS first_seen, max(timestamp) AS last_seen
                {stored_by_day}
            FROM messages GROUP BY category, topic, day
        ), days AS (
            INSERT INTO topic_days (category, topic, day, messages)
            SELECT category, topic, day, messages FROM counted
        )
        INSERT INTO topics (category, topic, messages, first_seen, last_seen {column})
        SELECT category, topic, sum(messages), min(first_seen), max(last_seen) {stored}
        FROM counted GROUP BY category, topic;
        GET DIAGNOSTICS counted = ROW_COUNT;
        RETURN counted;
    END $$
"""
# Nobody adds a message meanwhile. Whoever reads does not wait.
LOCK = "LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE"
ALL_MESSAGES = "SELECT coalesce(sum(messages), 0)::bigint FROM topics"
END_OF_RANGE = f"""
    SELECT max(id), count(*) FROM (
        SELECT id FROM messages WHERE id > %(after)s ORDER BY id LIMIT {RANGE_ROWS}
    ) AS range
"""
OF_RANGE = """
    SELECT category, topic, max(stored_at) FROM messages
    WHERE id > %(after)s AND id <= %(last)s AND stored_at IS NOT NULL GROUP BY category, topic
"""
FILL = "UPDATE topics SET last_stored = %s WHERE category = %s AND topic = %s"


def upgrade() -> None:
    schema, sequence = op.get_bind().exec_driver_sql(WHERE).one()
    _execute(LOCK)
    newest = _newest()
    _execute(ADD)
    for (category, topic), moment in newest.items():
        op.get_bind().exec_driver_sql(FILL, (moment, category, topic))
    both = f"{ADDED} UNION ALL {REMOVED}"
    _execute(ON_INSERT.format(schema=schema, sequence=sequence, add_up=ADD_UP.format(rows=ADDED)))
    _execute(ON_UPDATE.format(schema=schema, add_up=ADD_UP.format(rows=both), subtract=SUBTRACT))
    _execute(
        RECOUNT.format(
            schema=schema,
            column=", last_stored",
            stored_by_day=", max(stored_at) AS last_stored",
            stored=", max(last_stored)",
        )
    )


def downgrade() -> None:
    schema, sequence = op.get_bind().exec_driver_sql(WHERE).one()
    _execute(LOCK)
    both = f"{ADDED_BEFORE} UNION ALL {REMOVED_BEFORE}"
    added = ADD_UP_BEFORE.format(rows=ADDED_BEFORE)
    _execute(ON_INSERT.format(schema=schema, sequence=sequence, add_up=added))
    _execute(
        ON_UPDATE.format(schema=schema, add_up=ADD_UP_BEFORE.format(rows=both), subtract=SUBTRACT)
    )
    _execute(RECOUNT.format(schema=schema, column="", stored_by_day="", stored=""))
    _execute("ALTER TABLE topics DROP COLUMN last_stored")


def _newest() -> dict[tuple[str, str], datetime]:
    """When the last message of each category and topic was stored; says how far it is."""
    connection = op.get_bind()
    total = connection.exec_driver_sql(ALL_MESSAGES).scalar_one()
    newest: dict[tuple[str, str], datetime] = {}
    last_line = time.monotonic()
    after, seen = -1, 0
    while True:
        last, number = connection.exec_driver_sql(END_OF_RANGE, {"after": after}).one()
        if last is None:
            return newest
        rows = connection.exec_driver_sql(OF_RANGE, {"after": after, "last": last})
        for category, topic, moment in rows:
            newest[category, topic] = max(moment, newest.get((category, topic), moment))
        after, seen = last, seen + number
        if time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            _say(f"{seen:,} of {total:,} messages seen ({100 * seen // max(total, 1)} %)")


def _say(line: str) -> None:
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()


def _execute(sql: str) -> None:
    # Not by way of sa.text, which would take a colon for a parameter.
    op.get_bind().exec_driver_sql(sql)
