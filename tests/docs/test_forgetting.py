"""The lines of docs/forgetting.rst make an archive forget somebody, and nobody else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

import analysis
from classic import execute
from datanommer import models
from datanommer.models.database.binding import bound_engine
from envelopes import envelope
from roles import Roles, may_be_made, remove_unused
from services import leave_out
from shell import ROOT, Run

PAGE = (ROOT / "docs" / "forgetting.rst").read_text(encoding="utf-8")
FOLDER = "/srv/datanommer"
_BLOCK = re.compile(r"::\n\n((?:    .*\n|\n)+)")
BLOCKS = [re.sub("^    ", "", each, flags=re.MULTILINE).strip() for each in _BLOCK.findall(PAGE)]

MONTHS, LOAD, SEE, COPY, PSQL, SQL, REWRITE = BLOCKS

RALPH = {"fedora_messaging_user_ralph": True}
LUKE = {"fedora_messaging_user_luke": True}
_JANUARY = 1_358_000_000
_MILLISECONDS = 1_361_166_918_000
(_MENTION,) = re.findall(r"'(2013-[0-9a-f-]{36})'", SQL)

GOES = [
    envelope(msg_id="2013-concerns", headers=RALPH | LUKE),
    envelope("org.example.dev.alone.hello", msg_id="2013-agent", timestamp=_JANUARY),
    envelope("org.example.dev.ralph.sent", msg_id="2013-sent", username="ralph"),
    envelope(msg_id="2013-for-luke", username="ralph"),
    envelope(msg_id=_MENTION, msg="ask ralph"),
]
STAYS = [
    envelope(msg_id="2013-luke", headers=LUKE, timestamp=1_361_166_000),
    envelope(msg_id="2013-ralphie", msg="ask ralphie", username="ralphie"),
    envelope("org.example.dev.other.hello", msg_id="2013-january", timestamp=_JANUARY),
]
REJECTED = [
    envelope(msg_id="2013-bad", headers=RALPH, timestamp=_MILLISECONDS),
    envelope(msg_id="2013-worse", timestamp=_MILLISECONDS),
]
COUNTS = """
    SELECT category, topic, first_seen, last_seen, topics.messages, day, topic_days.messages
    FROM topics JOIN topic_days USING (category, topic) ORDER BY category, topic, day
"""
# Where a name may be, in all tables and in what the planner knows of them.
_TEXTS = """
    SELECT string_agg(t::text, ' ') FROM (
        SELECT to_json(m)::text FROM messages m UNION ALL
        SELECT to_json(u)::text FROM user_messages u UNION ALL
        SELECT to_json(u)::text FROM users u UNION ALL
        SELECT to_json(t)::text FROM topics t UNION ALL
        SELECT to_json(d)::text FROM topic_days d UNION ALL
        SELECT convert_from(raw, 'UTF8') || reason FROM rejected UNION ALL
        SELECT concat(most_common_vals, histogram_bounds) FROM pg_stats
        WHERE schemaname = 'public'
    ) AS t
"""


class Failed(Exception):
    """A line that failed, or that warned."""


class Admin:
    """Somebody who types the lines of the page.

    Args:
        url: of the archive, as a member of its owner.
        folder: where they are typed; the data set is in it.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self.folder = folder
        self.data_set = folder / "data set"
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "DATANOMMER_SQLALCHEMY_URL": url,
        }

    def type(self, block: str, text: str | None = None) -> list[str]:
        """Type the lines of a block, the first with a text on standard input; what they print."""
        return [self._type(line, text) for line in block.splitlines()]

    def _type(self, line: str, text: str | None) -> str:
        assert line.startswith("$ ")
        typed = line[2:].replace(FOLDER, f"'{self.data_set}'").replace("-d datanommer", '-d "$URL"')
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", typed],
            cwd=self.folder,
            env={**self._environment, "URL": self._url},
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or done.stderr:
            raise Failed(f"{line}\n{done.stderr}")
        return done.stdout

    def delete(self) -> str:
        return self.type(PSQL, SQL)[0]

    def months(self) -> set[tuple[int, int]]:
        """In which months the data set has the name."""
        with duckdb.connect() as connection:
            connection.execute(analysis.opening("DuckDB", str(self.data_set)))
            return set(connection.execute(MONTHS).fetchall())

    def exported(self) -> set[str]:
        files = f"{self.data_set}/messages/*/*/*.parquet"
        with duckdb.connect() as connection:
            rows = connection.execute(f"SELECT msg_id FROM '{files}'").fetchall()
        return {each for (each,) in rows}


@pytest.fixture
def admin(server: sa.URL, database: str, tmp_path: Path) -> Iterator[Admin]:
    """A member of the owner's role, with an archive of those messages."""
    if not may_be_made(server):
        leave_out("the tests are not connected as a superuser")
    models.init(database)
    assert models.add_all([*GOES, *STAYS]).stored == len(GOES) + len(STAYS)
    assert models.add_all(REJECTED).rejected == len(REJECTED)
    models.session.remove()
    bound_engine().dispose()
    execute(database, "UPDATE messages SET agent = 'ralph' WHERE msg_id = '2013-agent'")
    execute(database, "UPDATE messages SET agent = 'luke' WHERE msg_id = '2013-for-luke'")
    roles = Roles(server, database)
    roles.install()
    yield Admin(roles.member("datanommer_owner"), tmp_path)
    roles.remove()
    remove_unused(server)


pytestmark = pytest.mark.needs_program("psql")


def ids_of(messages: list[dict[str, Any]]) -> set[str]:
    return {each["body"]["msg_id"] for each in messages}


def stored(url: str) -> set[str]:
    return {each for (each,) in execute(url, "SELECT msg_id FROM messages")}


def test_what_there_is_is_seen_and_copied(admin: Admin) -> None:
    concerned, done, mentions, topics, rejected = admin.type(SEE)
    assert len(concerned.splitlines()) == 1
    assert len(done.splitlines()) == 2
    assert [each.split("\t")[0] for each in mentions.splitlines()[1:]] == [
        _MENTION,
        "2013-ralphie",
    ]
    assert [each.split("\t")[0] for each in topics.splitlines()[1:]] == ["2013-sent"]
    assert json.loads(rejected)["rejected"]["msg_id"] == "2013-bad"
    admin.type(COPY)
    (copied,) = (admin.folder / "ralph.ndjson").read_text().splitlines()
    assert json.loads(copied)["msg_id"] == "2013-concerns"


def test_the_archive_forgets_one_and_no_other(admin: Admin, database: str, run: Run) -> None:
    execute(database, "ANALYZE")
    printed = admin.delete().splitlines()
    assert printed == [
        "BEGIN",
        *("DELETE 1", "DELETE 3", "DELETE 1", "DELETE 1", "DELETE 1"),
        "COMMIT",
        "VACUUM",
    ]
    assert stored(database) == ids_of(STAYS)
    ((texts,),) = execute(database, _TEXTS)
    assert "ralphie" in texts
    assert "luke" in texts
    assert not re.search(r"ralph(?!ie)", texts)
    assert execute(database, "SELECT msg_id FROM rejected") == [("2013-worse",)]
    told = run("datanommer-stats", "--url", database).stdout
    assert told.split() == ["demo", "has", "2", "entries", "other", "has", "1", "entries"]
    newest = run("datanommer-latest", "--url", database, "--overall").stdout
    assert "ask ralphie" in newest
    counted = execute(database, COUNTS)
    execute(database, "SELECT datanommer_recount_topics()")
    assert execute(database, COUNTS) == counted != []


def test_nothing_is_deleted_while_a_message_needs_the_name(admin: Admin, database: str) -> None:
    (first,) = re.findall(r"DELETE FROM messages WHERE id IN .*\n", SQL)
    with pytest.raises(Failed, match="foreign key"):
        admin.type(PSQL, SQL.replace(first, ""))
    assert stored(database) == ids_of([*GOES, *STAYS])


@pytest.mark.parametrize("is_pruned", [False, True])
def test_the_data_set_forgets(is_pruned: bool, admin: Admin, database: str) -> None:
    admin.type(f"$ datanommer-export {FOLDER}")
    if is_pruned:
        admin.type(f"$ datanommer-prune --before 2014 --exported {FOLDER} --yes")
        assert stored(database) == set()
    months = admin.months()
    assert months == {(2013, 1), (2013, 2)}
    loads = [of_month(LOAD, month) for _, month in months]
    assert all("rejected 0" in told for load in loads for told in admin.type(load))
    assert stored(database) == ids_of([*GOES, *STAYS])
    admin.delete()
    for _, month in months:
        admin.type(of_month(REWRITE, month))
    assert admin.exported() == stored(database) == ids_of(STAYS)
    (again,) = admin.type(f"$ datanommer-export {FOLDER}")
    assert again.startswith("messages 0, files 0, ")
    if is_pruned:
        admin.type(f"$ datanommer-prune --before 2014 --exported {FOLDER} --yes")
        assert stored(database) == set()


def test_a_month_with_nothing_left_is_gone(admin: Admin, database: str) -> None:
    execute(database, "DELETE FROM messages WHERE msg_id = '2013-january'")
    admin.type(f"$ datanommer-export {FOLDER}")
    admin.delete()
    admin.type(of_month(REWRITE, 1))
    assert admin.months() == {(2013, 2)}


def test_rewriting_alone_forgets_nothing(admin: Admin) -> None:
    admin.type(f"$ datanommer-export {FOLDER}")
    admin.delete()
    _, rewrite, _ = of_month(REWRITE, 2).splitlines()
    admin.type(rewrite)
    assert admin.exported() == ids_of([*GOES, *STAYS])


def test_what_is_loaded_again_is_there_again(admin: Admin, database: str) -> None:
    admin.delete()
    admin.type("$ datanommer-load", json.dumps(GOES[0]))
    assert stored(database) == ids_of([GOES[0], *STAYS])


def of_month(block: str, month: int) -> str:
    """Lines of the page for another month."""
    return block.replace("2013-02", f"2013-{month:02}").replace("month=02", f"month={month:02}")
