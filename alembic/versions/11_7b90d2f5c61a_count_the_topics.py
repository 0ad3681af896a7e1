"""Count the messages of each topic, and let triggers keep the counts"""

from __future__ import annotations

from alembic import op

revision = "7b90d2f5c61a"
down_revision = "e4816ad3072c"

# Writers that touch several topics take their rows in one order, (category, topic), so that two
# of them wait for each other and do not deadlock.
#
# A row that is taken away counts -1. Its timestamp cannot widen the span of its topic, which held
# it already; where it was at an end of the span, that end is looked up anew.
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
ADD_UP = """
    INSERT INTO topics (category, topic, messages, first_seen, last_seen)
    SELECT category, topic, sum(one), min(timestamp), max(timestamp) FROM ({rows}) AS changed
    GROUP BY category, topic ORDER BY category, topic
    ON CONFLICT (category, topic) DO UPDATE SET
        messages = topics.messages + excluded.messages,
        first_seen = least(topics.first_seen, excluded.first_seen),
        last_seen = greatest(topics.last_seen, excluded.last_seen);
"""
ADDED = "SELECT category, topic, timestamp, 1 AS one FROM added"
REMOVED = "SELECT category, topic, timestamp, -1 AS one FROM removed"

ON_UPDATE = f"""
    -- Both have as many rows, so nothing left over on one side is nothing on the other.
    IF EXISTS (
        SELECT category, topic, timestamp FROM removed
        EXCEPT ALL SELECT category, topic, timestamp FROM added
    ) THEN
        {ADD_UP.format(rows=f"{ADDED} UNION ALL {REMOVED}")}
        {SUBTRACT}
    END IF;
"""
TRIGGERS = {
    "insert": ("REFERENCING NEW TABLE AS added", ADD_UP.format(rows=ADDED)),
    "delete": (
        "REFERENCING OLD TABLE AS removed",
        ADD_UP.format(rows=REMOVED) + SUBTRACT,
    ),
    "update": ("REFERENCING OLD TABLE AS removed NEW TABLE AS added", ON_UPDATE),
    "truncate": ("", "DELETE FROM topics;"),
}
# Locked first, so that no writer adds a message between the count and the commit.
RECOUNT = """
    CREATE FUNCTION datanommer_recount_topics() RETURNS bigint LANGUAGE plpgsql
    SET search_path = {schema}, pg_temp AS $$
    DECLARE
        counted bigint;
    BEGIN
        LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE;
        DELETE FROM topics;
        INSERT INTO topics (category, topic, messages, first_seen, last_seen)
        SELECT category, topic, count(*), min(timestamp), max(timestamp) FROM messages
        GROUP BY category, topic;
        GET DIAGNOSTICS counted = ROW_COUNT;
        RETURN counted;
    END $$;
    COMMENT ON FUNCTION datanommer_recount_topics() IS
        'Counts every message of every topic anew, and returns the number of topics.';
"""
# Whoever may write messages need not be able to write the counts.
TRIGGER = """
    CREATE FUNCTION datanommer_topics_on_{event}() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    BEGIN
        {body}
        RETURN NULL;
    END $$;
    REVOKE ALL ON FUNCTION datanommer_topics_on_{event}() FROM PUBLIC;
    CREATE TRIGGER datanommer_topics_on_{event} AFTER {event} ON messages {referencing}
    FOR EACH STATEMENT EXECUTE FUNCTION datanommer_topics_on_{event}();
"""
WHERE = """
    SELECT relnamespace::regnamespace::text, relowner::regrole::text,
        relowner = current_user::regrole
    FROM pg_class WHERE oid = 'messages'::regclass
"""


def upgrade() -> None:
    schema, owner, is_mine = op.get_bind().exec_driver_sql(WHERE).one()
    _execute(RECOUNT.format(schema=schema))
    for event, (referencing, body) in TRIGGERS.items():
        _execute(TRIGGER.format(event=event, schema=schema, referencing=referencing, body=body))
    for function in _functions():
        if not is_mine:
            _execute(f"ALTER FUNCTION {function}() OWNER TO {owner}")
    _execute("SELECT datanommer_recount_topics()")


def downgrade() -> None:
    for event in TRIGGERS:
        _execute(f"DROP TRIGGER datanommer_topics_on_{event} ON messages")
    for function in _functions():
        _execute(f"DROP FUNCTION {function}()")
    _execute("DELETE FROM topics")


def _functions() -> list[str]:
    return ["datanommer_recount_topics", *(f"datanommer_topics_on_{event}" for event in TRIGGERS)]


def _execute(sql: str) -> None:
    # Not by way of sa.text, which would take a colon for a parameter.
    op.get_bind().exec_driver_sql(sql)
