-- Four roles for an archive, and what each may do in it:
--
--   datanommer_reader      reads: datanommer-dump, -latest and -stats, web applications
--   datanommer_writer      reads, and adds messages: the consumer, datanommer-load
--   datanommer_maintainer  the same; takes rejects away that could be stored after all
--                          (datanommer-rejected), and renews the users, the packages and the
--                          agents of messages, and what is known of the syncs of logs
--   datanommer_owner       owns the tables: migrates them, may do anything with them, and may
--                          make schemas in the database
--
-- Nobody but the owner can change what was sent, delete a message, choose when one was stored, or give one an id
-- that its sequence has not given out. The roles cannot log in; those who log in are members:
--
--   CREATE ROLE hub LOGIN PASSWORD '...' IN ROLE datanommer_writer;
--
-- To be run as a superuser in the database of the archive, before or after its tables are made,
-- and again after each upgrade:
--
--   psql -v ON_ERROR_STOP=1 -d datanommer -f roles.sql
--
-- Run again, it puts right what the four may do, and changes nothing else. Where the tables belong
-- to somebody else, they go to datanommer_owner, and who had them becomes a member of it, so that
-- nothing stops working.

BEGIN;

-- The change of an owner waits for whoever reads, and keeps all others waiting: rather give up.
SET LOCAL lock_timeout = '10s';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'datanommer_owner', 'datanommer_maintainer', 'datanommer_writer', 'datanommer_reader'
    ] LOOP
        CONTINUE WHEN to_regrole(name) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION
            -- Somebody makes it at this moment, for another database of the server.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
END $$;

-- The database and the schema.
DO $$
DECLARE
    place text := coalesce(
        (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('messages')),
        quote_ident(current_schema())
    );
BEGIN
    IF to_regclass('messages') IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = to_regclass('topics') AND attname = 'last_stored'
                AND NOT attisdropped
        )
    THEN
        RAISE EXCEPTION 'The tables are not those of this version of datanommer.'
            USING HINT = 'Type `alembic upgrade head` first, and run this again.';
    END IF;
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO datanommer_owner, datanommer_maintainer, '
        'datanommer_writer, datanommer_reader', current_database()
    );
    -- Large batches go through a temporary table.
    EXECUTE format(
        'GRANT TEMPORARY ON DATABASE %I TO datanommer_owner, datanommer_maintainer, '
        'datanommer_writer', current_database()
    );
    -- The migrations make the schema of the classic views.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO datanommer_owner', current_database());
    -- As it is from PostgreSQL 15 on.
    EXECUTE format('REVOKE CREATE ON SCHEMA %s FROM PUBLIC', place);
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %s TO datanommer_owner, datanommer_maintainer, datanommer_writer, '
        'datanommer_reader', place
    );
    EXECUTE format('GRANT CREATE ON SCHEMA %s TO datanommer_owner', place);
END $$;

-- The owner.
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT 'SCHEMA' AS kind, nspname::text AS name, nspowner AS owner
        FROM pg_namespace WHERE nspname = 'classic' AND to_regclass('messages') IS NOT NULL
        UNION ALL
        -- The views read the tables with the rights of who owns them.
        SELECT CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass::text, relowner
        FROM pg_class
        WHERE oid IN (
            to_regclass('messages'), to_regclass('certificates'), to_regclass('users'),
            to_regclass('packages'), to_regclass('user_messages'), to_regclass('package_messages'),
            to_regclass('topics'), to_regclass('topic_days'), to_regclass('rejected'),
            to_regclass('sync_events'), to_regclass('archive'), to_regclass('alembic_version'),
            to_regclass('classic.messages'), to_regclass('classic.user'),
            to_regclass('classic.package'), to_regclass('classic.user_messages'),
            to_regclass('classic.package_messages')
        )
        UNION ALL
        -- Of the functions, those of the triggers write with the rights of who owns them.
        SELECT 'FUNCTION', oid::regprocedure::text, proowner
        FROM pg_proc
        WHERE (starts_with(proname, 'datanommer_') OR proname = 'approximate_row_count')
            AND pronamespace = (
            SELECT relnamespace FROM pg_class WHERE oid = to_regclass('messages')
        )
    LOOP
        CONTINUE WHEN item.owner = 'datanommer_owner'::regrole;
        IF NOT pg_has_role(item.owner, 'datanommer_owner', 'MEMBER') THEN
            EXECUTE format('GRANT datanommer_owner TO %s', item.owner::regrole);
        END IF;
        EXECUTE format('ALTER %s %s OWNER TO datanommer_owner', item.kind, item.name);
    END LOOP;
END $$;

-- The tables.
DO $$
BEGIN
    IF to_regclass('messages') IS NULL THEN
        RAISE NOTICE 'There are no tables here yet. When they are made, run this again.';
        RETURN;
    END IF;

    REVOKE ALL ON messages, certificates, users, packages, user_messages, package_messages, topics,
        topic_days, rejected, sync_events, archive, alembic_version, classic.messages,
        classic."user", classic.package, classic.user_messages, classic.package_messages
        FROM datanommer_maintainer, datanommer_writer, datanommer_reader;
    EXECUTE format(
        'REVOKE ALL ON SEQUENCE %s, %s, %s '
        'FROM datanommer_maintainer, datanommer_writer, datanommer_reader',
        pg_get_serial_sequence('messages', 'id'), pg_get_serial_sequence('certificates', 'id'),
        pg_get_serial_sequence('rejected', 'id')
    );
    REVOKE ALL ON FUNCTION datanommer_draw_ids(integer)
        FROM PUBLIC, datanommer_maintainer, datanommer_writer, datanommer_reader;

    GRANT SELECT ON messages, certificates, users, packages, user_messages, package_messages,
        topics, topic_days, rejected, sync_events, archive, alembic_version, classic.messages,
        classic."user", classic.package, classic.user_messages, classic.package_messages
        TO datanommer_maintainer, datanommer_writer, datanommer_reader;
    REVOKE ALL ON SCHEMA classic FROM datanommer_maintainer, datanommer_writer, datanommer_reader;
    GRANT USAGE ON SCHEMA classic TO datanommer_maintainer, datanommer_writer, datanommer_reader;

    -- Not topics and topic_days: triggers write there, whoever adds the messages. Not when something
    -- came: the server's clock says that. The id of a message is drawn ahead, and a trigger makes
    -- sure that it was. What else has an id gets it by itself.
    GRANT INSERT ON users, packages, user_messages, package_messages, sync_events
        TO datanommer_maintainer, datanommer_writer;
    GRANT INSERT (id, i, timestamp, certificate_id, msg_id, topic, category, username, agent,
        crypto, signature, source_name, source_version, msg, headers, extra) ON messages
        TO datanommer_maintainer, datanommer_writer;
    GRANT INSERT (body, sha256) ON certificates TO datanommer_maintainer, datanommer_writer;
    GRANT INSERT (msg_id, topic, kind, reason, raw, sha256, seen) ON rejected
        TO datanommer_maintainer, datanommer_writer;
    GRANT EXECUTE ON FUNCTION datanommer_draw_ids(integer)
        TO datanommer_maintainer, datanommer_writer;
    -- What comes again is counted.
    GRANT UPDATE (seen) ON rejected TO datanommer_writer;

    GRANT UPDATE, DELETE ON rejected TO datanommer_maintainer;
    GRANT UPDATE (agent) ON messages TO datanommer_maintainer;
    GRANT DELETE ON users, packages, user_messages, package_messages, sync_events
        TO datanommer_maintainer;
END $$;

COMMIT;
