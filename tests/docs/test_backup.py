"""The lines of docs/backup.rst, as they are typed, bring an archive back as it was."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import february
import roles
from backups import programs_of, text_of
from bus import Archive, Bus, eventually
from certificates import Authority
from classic import execute
from datanommer import models
from datanommer.models.database.binding import bound_engine
from envelopes import envelope
from ports import free_port
from postgres import ROLE, Postgres, Primary
from shell import ROOT, Run

PAGE = (ROOT / "docs" / "backup.rst").read_text(encoding="utf-8")
NAME, NEW = "datanommer", "datanommer_new"
_SECTION = re.compile(r"^(\S.*)\n([-~])\2+\n([\s\S]*?)(?=^\S.*\n[-~]{3,}$|\Z)", re.MULTILINE)
_LINE = re.compile(r"^ +([$#] .*)$", re.MULTILINE)

LINES = {title: _LINE.findall(text) for title, _, text in _SECTION.findall(PAGE)}
(UMASK,) = LINES["What to back up"]
DUMP = LINES["A dump"]
GLOBALS, *RESTORE, RIGHTS, BARRED, ENDED, ASIDE, NAMED = LINES["Restore a dump"]
*DATA_ALONE, RECOUNT = LINES["Data alone"]
*ARCHIVE_THE_LOG, BASE = LINES["A base backup"]
*GO_BACK, FORGET_MOMENT, FORGET_ACTION = LINES["Go back to a moment"]
*BEGIN_ANEW, FORGET_COMMAND = LINES["A snapshot of the disk"]
FROM_OLD, START_OLD, STOP_OLD, FROM_DATA_SET, FROM_OTHER, *_, REJECTS = LINES["What is missing now"]
COMPARE = LINES["Afterwards"]

COUNTS = """
    SELECT category, topic, day::text, topics.messages, topic_days.messages
    FROM topics JOIN topic_days USING (category, topic) ORDER BY category, topic, day
"""
IS_PRIMARY = "SELECT NOT pg_is_in_recovery()"
TIMELINE = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"


def test_no_line_of_the_page_is_left_out() -> None:
    assert sum(map(len, LINES.values())) == len(_LINE.findall(PAGE))


def fill(url: str, folder: Path) -> None:
    """Store messages that have everything, and rejects."""
    models.init(url)
    assert not models.add_all(february.bus(Authority(folder, february.YEAR))).rejected
    assert models.add_all(february.broken()).rejected
    models.session.remove()
    bound_engine().dispose()


def load(run: Run, url: str, *envelopes: dict[str, Any]) -> str:
    loaded = run("datanommer-load", "--url", url, input="".join(map(json.dumps, envelopes)))
    assert loaded.returncode == 0, loaded.stderr
    return str(loaded.stdout)


def stored(number: int, duplicates: int = 0) -> str:
    return f"stored {number}, duplicates {duplicates}, rejected 0\n"


class Machine:
    """A server of one's own whose admin types the lines of the page.

    Args:
        server: the server.
        backups: the folder of the page's ``BACKUP``, which the server's user can write.
    """

    def __init__(self, server: Postgres, backups: Path) -> None:
        self.server = server
        self.url = server.own_url(NAME)
        self._backups = backups
        # The server's user need not see where the tests have it from.
        self._roles = str(shutil.copy(roles.FILE, backups))

    def type(self, *lines: str, **variables: str) -> None:
        for line in lines:
            if line == "# systemctl stop postgresql":
                self.server.stop()
            elif line == "# systemctl start postgresql":
                self.server.start()
            elif line == "# systemctl restart postgresql":
                self.server.stop()
                self.server.start()
            else:
                assert line.startswith("$ ")
                typed = line[2:].replace("/usr/share/datanommer.models/roles.sql", self._roles)
                self.server.type(f"{UMASK[2:]}; {typed}", BACKUP=str(self._backups), **variables)


@pytest.fixture
def programs(server: sa.URL) -> Path:
    """The folder of PostgreSQL's programs, in the version that is tested."""
    return programs_of(server.set(drivername="postgresql").render_as_string(hide_password=False))


@pytest.fixture
def primary(programs: Path) -> Iterator[Primary]:
    """A server with an archive of the page's name and the four roles, where a hub may add."""
    with contextlib.closing(Primary(programs)) as server:
        name = server.create_database()
        server.execute(f"ALTER DATABASE {name} RENAME TO {NAME}")
        server.execute(f"ALTER DATABASE {NAME} OWNER TO postgres")
        server.execute(roles.FILE.read_text(), NAME)
        server.execute(f"REVOKE datanommer_owner FROM {ROLE}; GRANT datanommer_writer TO {ROLE}")
        yield server


@pytest.fixture
def backups(primary: Primary) -> Path:
    """The folder of the page's ``BACKUP``, where the user of a server may write."""
    folder = primary.folder / "backups"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def machine(primary: Primary, backups: Path) -> Machine:
    return Machine(primary, backups)


def test_a_dump_comes_back_as_it_was_on_a_new_server(
    machine: Machine, programs: Path, backups: Path, run: Run, tmp_path: Path
) -> None:
    fill(machine.url, tmp_path)
    machine.type(*DUMP)
    with contextlib.closing(Postgres(programs)) as new:
        there = Machine(new, backups)
        there.type(GLOBALS, *RESTORE, RIGHTS, NAMED)
        assert text_of(there.url) == text_of(machine.url)
        for command in ("datanommer-dump", "datanommer-stats", "datanommer-rejected export"):
            told = [run(*command.split(), "--url", each.url) for each in (machine, there)]
            assert told[0].stdout == told[1].stdout != ""
        for line in COMPARE:
            assert shell(line[2:], there.url) == shell(line[2:], machine.url)
        ((last,),) = execute(machine.url, "SELECT max(id) FROM messages")
        assert load(run, new.url(NAME), envelope(msg_id="2013-next")) == stored(1)
        is_next = "SELECT id > %s FROM messages WHERE msg_id = '2013-next'"
        assert execute(there.url, is_next, [last]) == [(True,)]


def test_the_hub_goes_on_while_a_dump_is_restored(machine: Machine, tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    bus.config["datanommer.sqlalchemy.url"] = machine.server.url(NAME)
    bus.config["datanommer.replay_seconds"] = 600
    saved, late, heard = ([envelope() for _ in range(3)] for _ in range(3))
    with contextlib.closing(bus), contextlib.closing(Archive(machine.url)) as archive:
        hub = bus.start_hub()
        bus.publisher.publish(*saved)
        archive.wait_for(saved[-1])
        machine.type(*DUMP)
        bus.publisher.publish(*late)
        archive.wait_for(late[-1])
        machine.type(*RESTORE, RIGHTS, BARRED, ENDED, ASIDE)
        bus.publisher.publish(*heard)
        eventually(lambda: list((tmp_path / "spool").glob("*.spool")), "messages in the spool")
        machine.type(NAMED)
        eventually(lambda: archive.count() == 9, "all messages")
        hub.wait_until_it_says("it was restored from a backup")
        assert {each.msg_id for each in archive.messages()} == {
            each["body"]["msg_id"] for each in (*saved, *late, *heard)
        }


def test_the_server_goes_back_to_a_moment(machine: Machine, run: Run, tmp_path: Path) -> None:
    fill(machine.url, tmp_path)
    machine.type(*ARCHIVE_THE_LOG, BASE)
    load(run, machine.url, envelope(msg_id="2013-good"))
    before = _rows(machine.url)
    ((moment,),) = machine.server.execute("SELECT clock_timestamp()::text")
    execute(machine.url, "DELETE FROM messages WHERE category = 'bodhi'")
    load(run, machine.url, envelope(msg_id="2013-later"))
    machine.type(*GO_BACK, MOMENT=moment)
    eventually(lambda: machine.server.execute(IS_PRIMARY) == [(True,)], "the end of recovery")
    assert _rows(machine.url) == before
    machine.type(FORGET_MOMENT, FORGET_ACTION)
    machine.server.stop()
    machine.server.start()
    port = free_port()
    machine.type(START_OLD.replace("-p 5433", f"-p {port} -k {machine.server.folder}"))
    try:
        old = f"postgresql://postgres@/{NAME}?host={machine.server.folder}&port={port}"
        assert shell(FROM_OLD[2:], machine.url, OLD=old).startswith("stored 1, duplicates ")
    finally:
        machine.type(STOP_OLD)


def test_a_snapshot_begins_a_new_timeline(machine: Machine) -> None:
    (before,) = machine.server.execute(TIMELINE)
    # As the disk was when the power went off.
    machine.server.stop(immediately=True)
    machine.type(*BEGIN_ANEW)
    eventually(lambda: machine.server.execute(IS_PRIMARY) == [(True,)], "the end of recovery")
    assert machine.server.execute(TIMELINE) > [before]
    machine.type(FORGET_COMMAND)


def _rows(url: str) -> list[str]:
    """All that a database is made of, but for where its sequences are.

    The log is 32 numbers ahead of a sequence, so that one skips some where a server recovers.
    """
    return [line for line in text_of(url).splitlines() if "setval" not in line]


def test_data_alone_is_linked_and_counted(
    machine: Machine, primary: Primary, tmp_path: Path
) -> None:
    fill(machine.url, tmp_path)
    machine.type(*DUMP)
    owner = _made_by_create_db(primary)
    machine.type(*DATA_ALONE, PGUSER=ROLE)
    # The rights and the owner are those of the database that was made.
    options = ("--no-owner", "--no-privileges")
    assert text_of(owner, *options) == text_of(machine.url, *options)
    before = execute(owner, COUNTS)
    execute(owner, "UPDATE topics SET messages = 7; DELETE FROM topic_days")
    machine.type(RECOUNT, PGUSER=ROLE)
    assert execute(owner, COUNTS) == before != []


def test_data_alone_that_would_be_counted_twice_is_refused_whole(
    machine: Machine, primary: Primary, tmp_path: Path
) -> None:
    fill(machine.url, tmp_path)
    machine.type(*DUMP)
    made = _made_by_create_db(primary)
    before = text_of(made)
    with pytest.raises(AssertionError, match=r"alembic_version|archive_has_one_row"):
        machine.type(
            f'$ pg_restore --data-only --single-transaction --dbname {NEW} "$BACKUP/{NAME}.dump"'
        )
    assert text_of(made) == before


def _made_by_create_db(server: Primary) -> str:
    """The URL of an empty archive of the page's name, for its owner, who is no superuser."""
    name = server.create_database()
    server.execute(f"ALTER DATABASE {name} RENAME TO {NEW}")
    return server.url(NEW)


def test_a_dump_of_an_older_version_is_upgraded_after_it_came_back(
    machine: Machine, run: Run, tmp_path: Path
) -> None:
    fill(machine.url, tmp_path)
    before = run("datanommer-dump", "--url", machine.url).stdout
    _alembic(machine.url, "downgrade", "-3")
    machine.type(*DUMP, *RESTORE, BARRED, ENDED, ASIDE, NAMED)
    _alembic(machine.url, "upgrade", "head")
    assert run("datanommer-dump", "--url", machine.url).stdout == before != ""


def _alembic(url: str, *arguments: str) -> None:
    ini = roles.FILE.with_name("alembic.ini")
    command = [sys.executable, "-m", "alembic", "-c", str(ini), "-x", f"url={url}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [FROM_OLD, FROM_DATA_SET, FROM_OTHER])
def test_what_is_missing_comes_back(
    line: str, database: str, second_database: str, run: Run, tmp_path: Path
) -> None:
    messages = [envelope() for _ in range(3)]
    load(run, database, messages[0])
    load(run, second_database, *messages)
    run("datanommer-export", "--url", second_database, str(tmp_path / "set")).check_returncode()
    typed = line[2:].replace("/srv/datanommer", str(tmp_path / "set"))
    told = shell(typed, database, OLD=second_database, OTHER=second_database)
    assert told.startswith(stored(2, duplicates=1))


def test_rejects_come_back(database: str, second_database: str, tmp_path: Path) -> None:
    fill(second_database, tmp_path)
    assert shell(REJECTS[2:], database, OLD=second_database).endswith("rejected 2\n")


def shell(line: str, url: str, **variables: str) -> str:
    """Type a line where a database is named; what it prints."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.environ["HOME"],
            "DATANOMMER_SQLALCHEMY_URL": url,
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout
