-- An index for `contains`, the filter of Message.grep that looks for a text in messages.
--
-- Without it, a text is looked for by reading every message that passes the other filters: quick
-- within a day or a topic, slow over the whole archive. With it, PostgreSQL reads only messages
-- that have all groups of three characters of the text; texts of fewer than three gain nothing.
-- It costs disk, and time for each message that is stored: docs/query-api.rst says how much.
--
-- It needs the extension pg_trgm, which comes with PostgreSQL (Debian: postgresql, Fedora:
-- postgresql-contrib). To be run by the owner of the tables, while the hub may go on:
--
--   psql -v ON_ERROR_STOP=1 -d datanommer -f contains.sql
--
-- and to be rid of it again: DROP INDEX CONCURRENTLY messages_msg_trgm_idx;

CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX CONCURRENTLY IF NOT EXISTS messages_msg_trgm_idx
    ON messages USING gin ((msg::text) gin_trgm_ops);
-- The planner learns how rare the texts are.
ANALYZE messages;
