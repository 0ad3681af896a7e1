"""What each of the four roles may do, and what the server refuses it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa
from psycopg2.extras import execute_values

import datanommer.models
from bus import Archive, Bus
from classic import execute, make
from datanommer.consumer.failure import is_of_database
from datanommer.models import Message, add_all, session, tables
from datanommer.models.database import migrations
from datanommer.models.database.binding import bound_engine
from datanommer.models.database.engine import create_engine, reason
from datanommer.models.errors import ConfigurationError
from datanommer.models.filtering.filters import Filters
from datanommer.models.spooling.spool import Spool
from datanommer.models.storing.reindex import reindex
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, received
from roles import FILE, GROUPS, Roles, remove_unused
from roles import may_be_made as roles_may_be_made
from shell import Run
from syncs import three_nights

INI = str(FILE.with_name("alembic.ini"))
TABLES = sorted({*tables.metadata.tables, "alembic_version"})
VIEWS = [
    "classic.messages",
    'classic."user"',
    "classic.package",
    "classic.user_messages",
    "classic.package_messages",
]
INSERT = (
    "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
    "VALUES ('x', 0, 't', 'c', now(), '1')"
)
INSERT_WITH_TIME = (
    "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg, stored_at) "
    "VALUES ('x', 0, 't', 'c', now(), '1', now())"
)
#: Refused to everybody but the owner.
FOR_THE_OWNER = [
    "UPDATE messages SET topic = 'x'",
    "UPDATE messages SET stored_at = now()",
    "DELETE FROM messages",
    "TRUNCATE messages CASCADE",
    f"{INSERT} ON CONFLICT (msg_id) DO UPDATE SET i = 1",
    "INSERT INTO topics VALUES ('c', 't', 1, now(), now())",
    "UPDATE topics SET messages = 0",
    "DELETE FROM topics",
    "INSERT INTO topic_days VALUES ('c', 't', '2013-02-18', 1)",
    "UPDATE topic_days SET messages = 0",
    "DELETE FROM topic_days",
    "UPDATE archive SET id = gen_random_uuid()",
    "DELETE FROM archive",
    "SELECT datanommer_recount_topics()",
    "UPDATE certificates SET body = 'x'",
    "UPDATE alembic_version SET version_num = 'x'",
    "ALTER TABLE messages DISABLE TRIGGER USER",
    "DROP TABLE messages CASCADE",
    "CREATE TABLE another ()",
    "SET ROLE datanommer_owner",
    "SELECT setval('messages_id_seq', 1)",
    "SELECT nextval('messages_id_seq')",
    "SELECT nextval('certificates_id_seq')",
    "SELECT nextval('rejected_id_seq')",
    INSERT_WITH_TIME,
    "INSERT INTO certificates (id, body, sha256) VALUES (5, '', sha256(''))",
    "INSERT INTO rejected (id, kind, reason, raw, sha256) VALUES (5, '', '', '', '')",
    "INSERT INTO rejected (received_at, kind, reason, raw, sha256) VALUES (now(), '', '', '', '')",
    "UPDATE sync_events SET run_id = 'x'",
    "INSERT INTO classic.\"user\" VALUES ('x')",
    "DELETE FROM classic.package_messages",
    "DROP VIEW classic.messages",
    "CREATE TABLE classic.another ()",
    "CREATE SCHEMA another",
]
FOR_THE_MAINTAINER = [
    "DELETE FROM rejected",
    "UPDATE rejected SET reason = 'x'",
    "UPDATE rejected SET raw = ''",
    "DELETE FROM user_messages",
    "DELETE FROM package_messages",
    "DELETE FROM users",
    "DELETE FROM packages",
    "DELETE FROM sync_events",
]
FOR_THE_WRITER = [
    INSERT,
    "INSERT INTO users VALUES ('x')",
    "INSERT INTO certificates (body, sha256) VALUES ('', sha256(''))",
    "INSERT INTO rejected (kind, reason, raw, sha256) VALUES ('', '', '', '')",
    "UPDATE rejected SET seen = 2",
    f"{INSERT}; INSERT INTO sync_events SELECT id, now(), 'start' FROM messages",
    "SELECT datanommer_draw_ids(1)",
]


@pytest.fixture(autouse=True)
def _no_role_is_left_behind(server: sa.URL) -> Iterator[None]:
    # The first of all fixtures, so that in the end the database is gone when this goes on.
    if not roles_may_be_made(server):
        missing = "the tests are not connected as a superuser"
        (pytest.fail if os.environ.get("REQUIRE_SERVICES") else pytest.skip)(missing)
    yield
    remove_unused(server)


def roles_in(server: sa.URL, url: str) -> Iterator[Roles]:
    roles = Roles(server, url)
    yield roles
    session.remove()
    with contextlib.suppress(ConfigurationError):  # not every test binds the models
        bound_engine().dispose()
    roles.remove()


@pytest.fixture
def roles(server: sa.URL, database: str) -> Iterator[Roles]:
    """The roles in a database at head, with nothing in it."""
    for roles in roles_in(server, database):
        roles.install()
        yield roles


@pytest.fixture
def roles_before_tables(server: sa.URL, empty_database: str) -> Iterator[Roles]:
    """The roles in a database without tables."""
    for roles in roles_in(server, empty_database):
        roles.install()
        yield roles


@pytest.fixture
def no_roles_yet(server: sa.URL, empty_database: str) -> Iterator[Roles]:
    """A database without tables where the file has not run."""
    yield from roles_in(server, empty_database)


def refused(url: str, sql: str) -> bool:
    try:
        execute(url, f"{sql}; ROLLBACK")
    except psycopg2.errors.InsufficientPrivilege:
        return True
    return False


# Uses the id of a row between the draw and the insert, as another transaction could. A sequence
# counts, because it does not go back with a transaction.
_ROB = """
    CREATE SEQUENCE robberies;
    CREATE FUNCTION rob() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE
        robber messages := NEW;
    BEGIN
        IF nextval('robberies') <= {times} THEN
            robber.msg_id := 'of the robber';
            robber.topic := 'robber';
            INSERT INTO messages SELECT robber.*;
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER rob BEFORE INSERT ON messages
    FOR EACH ROW WHEN (NEW.topic <> 'robber') EXECUTE FUNCTION rob();
"""


class TestTheWriter:
    def test_stores_messages_and_they_are_counted(self, roles: Roles, database: str) -> None:
        datanommer.models.init(roles.member("datanommer_writer"))
        few = [
            envelope(BODHI_TOPIC, msg=BODHI_MSG, certificate="c", msg_id=f"2013-{n}")
            for n in range(3)
        ]
        many = [envelope(certificate=f"c{n}") for n in range(300)]
        assert add_all(few) == (3, 0, 0)
        assert add_all(many) == (300, 0, 0)
        assert add_all(many[:200]) == (0, 200, 0)
        counted = execute(database, "SELECT category, messages FROM topics ORDER BY category")
        assert counted == [("bodhi", 3), ("demo", 300)]
        assert execute(database, "SELECT name FROM users") == [("ralph",)]

    def test_keeps_and_counts_what_is_rejected(self, roles: Roles, database: str) -> None:
        datanommer.models.init(roles.member("datanommer_writer"))
        first, other = envelope(msg_id="2013-x", msg=1), envelope(msg_id="2013-x", msg=2)
        for _ in range(2):
            add_all([first, other, envelope(topic="", msg_id="2013-y", i=1, msg=1)])
        assert execute(database, "SELECT kind, seen FROM rejected ORDER BY kind") == [
            ("conflict", 2),
            ("invalid", 2),
        ]

    def test_is_enough_for_datanommer_load(self, roles: Roles, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "messages.json"
        file.write_text(json.dumps([envelope() for _ in range(1200)]))
        loaded = run("datanommer-load", "--url", roles.member("datanommer_writer"), str(file))
        assert (loaded.returncode, loaded.stderr) == (0, "")
        assert loaded.stdout == "stored 1200, duplicates 0, rejected 0\n"

    def test_is_enough_to_drain_the_spool(self, roles: Roles, run: Run, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool")
        spool.put([received(envelope()) for _ in range(100)])
        options = ["--url", roles.member("datanommer_writer"), "--spool-dir", str(spool.folder)]
        drained = run("datanommer-spool", "drain", *options)
        assert drained.stdout == "stored 100, duplicates 0, rejected 0\n"

    def test_is_enough_for_the_hub(self, roles: Roles, database: str, tmp_path: Path) -> None:
        bus = Bus(tmp_path)
        archive = Archive(database)
        try:
            bus.config["datanommer.sqlalchemy.url"] = roles.member("datanommer_writer")
            bus.start_hub()
            sent = [envelope() for _ in range(100)]
            bus.publisher.publish(*sent)
            archive.wait_for(sent[-1])
        finally:
            bus.close()
            archive.close()

    def test_may_neither_change_nor_delete(self, roles: Roles) -> None:
        url = roles.member("datanommer_writer")
        for sql in FOR_THE_WRITER:
            assert not refused(url, sql), sql
        for sql in FOR_THE_OWNER + FOR_THE_MAINTAINER:
            assert refused(url, sql), sql


class TestAWriterThatMeansHarm:
    @pytest.fixture
    def attacker(self, roles: Roles) -> str:
        return roles.member("datanommer_writer")

    @pytest.mark.parametrize("row_id", [None, 2**63 - 1, 0, -1])
    @pytest.mark.parametrize("is_copy", [False, True])
    def test_cannot_use_an_id_that_the_sequence_has_not_given_out(
        self, roles: Roles, database: str, attacker: str, row_id: int | None, is_copy: bool
    ) -> None:
        datanommer.models.init(roles.member("datanommer_writer"))
        add_all([envelope() for _ in range(3)])
        ids = range(4, 14) if row_id is None else [row_id]  # None: the next ones
        assert not with_ids(attacker, ids, is_copy=is_copy)
        honest = [envelope() for _ in range(10)]
        assert add_all(honest) == (10, 0, 0)
        found = Message.page(by="id").messages
        assert [message.id for message in found] == list(range(1, 14))
        assert execute(database, "SELECT count(*) FROM rejected") == [(0,)]

    def test_cannot_use_the_first_id_of_an_empty_archive(self, roles: Roles, attacker: str) -> None:
        datanommer.models.init(roles.member("datanommer_writer"))
        assert not with_ids(attacker, [1])
        assert add_all([envelope()]).stored == 1

    @pytest.mark.parametrize("number", [1, 200])
    def test_who_uses_ids_that_somebody_else_has_drawn_puts_nothing_among_the_rejected(
        self, roles: Roles, database: str, number: int
    ) -> None:
        execute(database, _ROB.format(times=1))
        datanommer.models.init(roles.member("datanommer_writer"))
        assert add_all([envelope() for _ in range(number)]) == (number, 0, 0)
        assert execute(database, "SELECT count(*) FROM rejected") == [(0,)]
        assert execute(database, "SELECT last_value > 1 OR is_called FROM robberies") == [(True,)]

    def test_who_uses_them_every_time_does_not_make_a_hub_drop_a_message(
        self, roles: Roles, database: str
    ) -> None:
        execute(database, _ROB.format(times=1000))
        datanommer.models.init(roles.member("datanommer_writer"))
        with pytest.raises(psycopg2.Error) as failure:
            add_all([envelope() for _ in range(2)])
        # So the hub puts them into the spool, and tries again.
        assert is_of_database(failure.value)
        assert "messages_pkey" in reason(failure.value)

    def test_cannot_store_something_else_under_the_hash_of_a_certificate(
        self, roles: Roles, attacker: str
    ) -> None:
        datanommer.models.init(roles.member("datanommer_writer"))
        with pytest.raises(psycopg2.errors.CheckViolation):
            execute(
                attacker,
                "INSERT INTO certificates (body, sha256) VALUES ('forged', sha256('honest'))",
            )
        sent = envelope(certificate="honest")
        add_all([sent])
        stored = Message.from_msg_id(sent["body"]["msg_id"])
        assert stored is not None
        assert stored.certificate == "honest"


def with_ids(url: str, ids: Iterable[int], *, is_copy: bool = False) -> bool:
    """Try to insert messages with ids of one's own choice; whether the server lets that through."""
    columns = "id, msg_id, i, topic, category, timestamp, msg"
    rows = [(row_id, f"forged-{uuid.uuid4()}", "0", "t", "c", "2013-02-18", "1") for row_id in ids]
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            if is_copy:
                lines = "".join("\t".join(map(str, row)) + "\n" for row in rows)
                cursor.copy_expert(f"COPY messages ({columns}) FROM STDIN", io.StringIO(lines))
            else:
                template = "(%s, %s, %s::int, %s, %s, %s::timestamptz, %s::json)"
                insert = f"INSERT INTO messages ({columns}) VALUES %s"
                execute_values(cursor, insert, rows, template)
    except psycopg2.errors.InsufficientPrivilege:
        return False
    finally:
        connection.close()
    return True


class TestTheReader:
    @pytest.mark.parametrize(
        "command",
        ["dump", "latest", "stats", "rejected list", "rejected show 1", "rejected export"],
    )
    def test_is_enough_for_the_commands_that_read(
        self, roles: Roles, database: str, run: Run, command: str
    ) -> None:
        datanommer.models.init(database)
        add_all(
            [envelope(BODHI_TOPIC, msg=BODHI_MSG, certificate="c"), envelope(BODHI_TOPIC, i=2**63)]
        )
        url = roles.member("datanommer_reader")
        result = run("datanommer", *command.split(), "--url", url)
        assert (result.returncode, result.stderr) == (0, "")
        assert "bodhi" in result.stdout

    def test_is_enough_to_look_at_runs(self, roles: Roles, database: str, run: Run) -> None:
        datanommer.models.init(roles.member("datanommer_writer"))
        nights = three_nights()
        assert add_all(nights).stored == len(nights)
        result = run("datanommer-runs", "--url", roles.member("datanommer_reader"))
        assert (result.returncode, result.stderr) == (0, "")
        assert "skipped: Synced host unknown" in result.stdout

    def test_may_do_nothing_else(self, roles: Roles) -> None:
        url = roles.member("datanommer_reader")
        for table in TABLES + VIEWS:
            assert not refused(url, f"SELECT * FROM {table}")
        assert not refused(url, "SELECT approximate_row_count('messages')")
        for sql in FOR_THE_OWNER + FOR_THE_MAINTAINER + FOR_THE_WRITER:
            assert refused(url, sql), sql

    def test_is_told_by_datanommer_load_that_it_may_not(self, roles: Roles, run: Run) -> None:
        url = roles.member("datanommer_reader")
        result = run("datanommer-load", "--url", url, input=json.dumps(envelope()))
        assert result.returncode == 1
        assert result.stdout == "stored 0, duplicates 0, rejected 0\n"
        assert "permission denied" in result.stderr
        assert "Traceback" not in result.stderr


class TestTheMaintainer:
    def test_may_renew_the_users_of_messages(self, roles: Roles, database: str, run: Run) -> None:
        datanommer.models.init(database)
        add_all([envelope(BODHI_TOPIC, msg=BODHI_MSG), *(envelope() for _ in range(100))])
        execute(
            database,
            "DELETE FROM user_messages; DELETE FROM users; INSERT INTO users VALUES ('lmacken'); "
            "INSERT INTO user_messages SELECT 'lmacken', timestamp, category, id FROM messages",
        )
        url = {group: roles.member(group) for group in GROUPS}
        refused = run("datanommer-reindex", "--url", url["datanommer_writer"])
        assert (refused.returncode, "permission denied" in refused.stderr) == (1, True)
        renewed = run("datanommer-reindex", "--url", url["datanommer_maintainer"])
        assert renewed.stdout == "messages 101, changed 1\n"
        query = "SELECT name, count(*) FROM user_messages GROUP BY 1 ORDER BY 1"
        assert execute(database, query) == [("lmacken", 100), ("ralph", 1)]

    def test_may_read_anew_what_is_known_of_syncs(self, roles: Roles, database: str) -> None:
        datanommer.models.init(roles.member("datanommer_maintainer"))
        nights = three_nights()
        add_all(nights)
        execute(database, "DELETE FROM sync_events WHERE msg % 2 = 0")
        assert [progress.changed for progress in reindex(bound_engine(), Filters())] == [
            len(nights) // 2
        ]
        assert execute(database, "SELECT count(*) FROM sync_events") == [(len(nights),)]

    def test_may_retry_rejects(self, roles: Roles, database: str, run: Run) -> None:
        raw = json.dumps(envelope(BODHI_TOPIC, msg=BODHI_MSG, certificate="c"))
        for text in (raw, "[]"):
            execute(
                database,
                "INSERT INTO rejected (kind, reason, raw, sha256) "
                "VALUES ('invalid', '', convert_to(%s, 'UTF8'), sha256(convert_to(%s, 'UTF8')))",
                [text, text],
            )
        retried = {
            group: run("datanommer-rejected", "retry", "--all", "--url", roles.member(group))
            for group in ("datanommer_writer", "datanommer_maintainer")
        }
        assert "permission denied" in retried["datanommer_writer"].stderr
        shown = retried["datanommer_maintainer"].stdout
        assert shown == "stored 1, duplicates 0, still rejected 1\n"

    def test_may_take_rejects_away_and_no_more(self, roles: Roles) -> None:
        url = roles.member("datanommer_maintainer")
        for sql in FOR_THE_MAINTAINER + FOR_THE_WRITER:
            assert not refused(url, sql), sql
        for sql in FOR_THE_OWNER:
            assert refused(url, sql), sql


class TestTheOwner:
    def test_makes_the_tables_and_others_use_them(
        self, roles_before_tables: Roles, run: Run
    ) -> None:
        url = roles_before_tables.member("datanommer_owner")
        assert run("datanommer-create-db", "--url", url).returncode == 0
        roles_before_tables.install()
        datanommer.models.init(roles_before_tables.member("datanommer_writer"))
        assert add_all([envelope() for _ in range(100)]).stored == 100
        shown = run("datanommer-stats", "--url", roles_before_tables.member("datanommer_reader"))
        assert shown.stdout == "demo has 100 entries\n"

    def test_migrates_whichever_member_made_the_tables(
        self, roles_before_tables: Roles, run: Run
    ) -> None:
        first = roles_before_tables.member("datanommer_owner")
        assert run("datanommer-create-db", "--url", first).returncode == 0
        roles_before_tables.install()
        second = roles_before_tables.member("datanommer_owner")
        for step in (["downgrade", "-1"], ["upgrade", "+1"]):
            moved = run("alembic", "-c", INI, "-x", f"url={second}", *step)
            assert moved.returncode == 0, moved.stderr
        roles_before_tables.install()
        datanommer.models.init(roles_before_tables.member("datanommer_writer"))
        assert add_all([envelope()]).stored == 1

    def test_is_told_what_to_type_where_it_may_make_no_schema(
        self, roles_before_tables: Roles, empty_database: str, run: Run
    ) -> None:
        execute(
            empty_database,
            f"REVOKE CREATE ON DATABASE {sa.make_url(empty_database).database} "
            "FROM datanommer_owner",
        )
        url = roles_before_tables.member("datanommer_owner")
        told = run("datanommer-create-db", "--url", url)
        assert told.returncode == 1
        typed = re.search("Type as a superuser: (.*)\\. Then run", told.stderr)
        assert typed, told.stderr
        execute(empty_database, typed[1])
        assert run("datanommer-create-db", "--url", url).returncode == 0

    def test_may_do_anything(self, roles: Roles) -> None:
        url = roles.member("datanommer_owner")
        for sql in FOR_THE_OWNER + FOR_THE_MAINTAINER + FOR_THE_WRITER:
            assert not refused(url, sql), sql


class TestTheFile:
    @pytest.mark.needs_program("psql")
    def test_runs_in_psql_and_again_changes_nothing(self, roles: Roles, database: str) -> None:
        before = rights(database)
        psql = ["psql", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", str(FILE)]
        result = subprocess.run(psql, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
        assert rights(database) == before

    def test_takes_away_what_was_given_beyond_it(self, roles: Roles, database: str) -> None:
        before = rights(database)
        execute(
            database,
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO datanommer_writer;"
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO datanommer_writer;"
            "GRANT ALL ON SCHEMA classic TO datanommer_reader;"
            "GRANT ALL ON ALL TABLES IN SCHEMA classic TO datanommer_maintainer;"
            "GRANT UPDATE (reason) ON rejected TO datanommer_reader",
        )
        roles.install()
        assert rights(database) == before

    def test_who_may_read_all_tables_of_a_view_may_read_the_view_after_the_upgrade(
        self, no_roles_yet: Roles, empty_database: str
    ) -> None:
        engine = create_engine(empty_database)
        migrations.upgrade(engine, "8be41d7c3f06")
        everything, less = no_roles_yet.member(None), no_roles_yet.member(None)
        for url, granted in ((everything, "messages, certificates, users"), (less, "messages")):
            name = sa.make_url(url).username
            execute(empty_database, f"GRANT SELECT ON {granted} TO {name}")
        migrations.upgrade(engine)
        engine.dispose()
        assert not refused(everything, 'SELECT * FROM classic.messages, classic."user"')
        assert refused(everything, "SELECT * FROM classic.package")
        for view in VIEWS:
            assert refused(less, f"SELECT * FROM {view}")

    def test_what_it_gave_before_the_upgrade_is_put_right_by_the_upgrade(
        self, roles: Roles, database: str, run: Run
    ) -> None:
        before = rights(database)
        writer = roles.member("datanommer_writer")
        owner = roles.member("datanommer_owner")
        for row_id, step, is_refused in (
            (2**62, ["downgrade", "c2f4816b9d05"], False),
            (2**61, ["upgrade", "head"], True),
        ):
            moved = run("alembic", "-c", INI, "-x", f"url={owner}", *step)
            assert moved.returncode == 0, moved.stderr
            assert refused(writer, INSERT_WITH_TIME) is is_refused
            assert with_ids(writer, [row_id]) is not is_refused
        assert rights(database) == before

    def test_who_was_given_the_right_to_add_by_somebody_else_keeps_it_in_an_upgrade(
        self, roles: Roles, database: str, run: Run
    ) -> None:
        owner = roles.member("datanommer_owner")
        alembic = ("alembic", "-c", INI, "-x", f"url={owner}")
        assert run(*alembic, "downgrade", "c2f4816b9d05").returncode == 0
        url = roles.member(None)
        name = sa.make_url(url).username
        execute(
            database,
            f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {name};"
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name};",
        )
        assert run(*alembic, "upgrade", "head").returncode == 0
        datanommer.models.init(url)
        assert add_all([envelope(certificate="c")]).stored == 1

    def test_an_owner_so_far_keeps_its_rights(
        self, no_roles_yet: Roles, empty_database: str, run: Run
    ) -> None:
        url = no_roles_yet.member(None)
        name = sa.make_url(url).username
        execute(empty_database, f"GRANT ALL ON SCHEMA public TO {name}")
        execute(empty_database, f"CREATE SCHEMA classic AUTHORIZATION {name}")
        assert run("datanommer-create-db", "--url", url).returncode == 0
        no_roles_yet.install()
        owners = execute(
            empty_database,
            "SELECT DISTINCT relowner::regrole::text FROM pg_class "
            "WHERE relkind IN ('r', 'S', 'v') "
            "AND relnamespace::regnamespace::text IN ('public', 'classic') "
            "UNION SELECT proowner::regrole::text FROM pg_proc "
            "WHERE pronamespace = 'public'::regnamespace "
            "UNION SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'classic'",
        )
        assert owners == [("datanommer_owner",)]
        datanommer.models.init(url)
        assert add_all([envelope() for _ in range(100)]).stored == 100
        assert not refused(url, "DELETE FROM messages")
        # What the admin does when the new logins are in use.
        execute(empty_database, f"REVOKE datanommer_owner FROM {name}")
        assert refused(url, "DELETE FROM messages")

    @pytest.mark.parametrize("behind", ["classic", "a step"])
    def test_says_to_upgrade_first_and_changes_nothing(
        self, no_roles_yet: Roles, empty_database: str, behind: str
    ) -> None:
        if behind == "classic":
            make(empty_database)
        else:
            migrations.upgrade(create_engine(empty_database), "head-1")
        before = rights(empty_database)
        with pytest.raises(psycopg2.errors.RaiseException, match="alembic upgrade head"):
            no_roles_yet.install()
        assert rights(empty_database) == before


def rights(url: str) -> list[tuple[object, ...]]:
    # In one order, whoever was given what first.
    in_order = "(SELECT array_agg(each ORDER BY each) FROM unnest({}::text[]) AS each)::text"
    return execute(
        url,
        "SELECT pg_class.oid::regclass::text, relowner::regrole::text, "
        f"{in_order.format('relacl')} FROM pg_class "
        "JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname IN ('public', 'classic') "
        f"UNION ALL SELECT attrelid::regclass || '.' || attname, '', {in_order.format('attacl')} "
        "FROM pg_attribute WHERE attacl IS NOT NULL AND NOT attisdropped "
        f"UNION ALL SELECT nspname, nspowner::regrole::text, {in_order.format('nspacl')} "
        "FROM pg_namespace WHERE nspname IN ('public', 'classic') "
        f"UNION ALL SELECT '', '', {in_order.format('datacl')} FROM pg_database "
        "WHERE datname = current_database() "
        f"UNION ALL SELECT proname, proowner::regrole::text, {in_order.format('proacl')} "
        "FROM pg_proc WHERE starts_with(proname, 'datanommer_') "
        "OR proname = 'approximate_row_count' "
        "ORDER BY 1",
    )
