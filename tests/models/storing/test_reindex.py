"""``datanommer-reindex``: users and packages, extracted anew."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from classic import execute
from datanommer.models import Message, session
from datanommer.models.database.binding import bound_engine
from datanommer.models.filtering.filters import Filters
from datanommer.models.preparing.preparation import Item, prepare
from datanommer.models.storing import extractions, reindex
from datanommer.models.storing.batch import Batch, store
from datanommer.models.storing.reindex import Progress
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope
from halfway import Halfway
from shell import Run, script

UNKNOWN = "org.example.dev.nobody.knows"
NAMES = """
    SELECT m.msg_id, a.name FROM user_messages a JOIN messages m ON m.id = a.msg
    WHERE a.timestamp = m.timestamp AND a.category = m.category ORDER BY 1, 2
"""


def put(msg_id: str, *, users: tuple[str, ...] = (), topic: str = BODHI_TOPIC, **body: Any) -> None:
    """Store a message as a fedmsg.meta of long ago knew it; that of today says ralph."""
    store(bound_engine(), Batch.of([known(msg_id, users=users, topic=topic, **body)]))


def known(
    msg_id: str, *, users: tuple[str, ...] = (), topic: str = BODHI_TOPIC, **body: Any
) -> Item:
    """A message that is to be stored with these users."""
    item = prepare(envelope(topic, msg_id=msg_id, **{"msg": BODHI_MSG, **body}))
    item.users = users  # type: ignore[union-attr]
    return item


def reindexed() -> list[Progress]:
    return list(reindex.reindex(bound_engine(), Filters()))


def test_what_is_known_today_replaces_what_was_known(archive: str, run: Run) -> None:
    put("missing")
    put("right", users=("ralph",))
    put("wrong", users=("lmacken", "toshio"))
    put("unknown", users=("toshio",), topic=UNKNOWN)
    before = execute(archive, "SELECT * FROM messages ORDER BY id")
    result = run("datanommer-reindex", "--url", archive)
    assert (result.returncode, result.stdout) == (0, "messages 4, changed 2\n")
    assert execute(archive, NAMES) == [
        ("missing", "ralph"),
        ("right", "ralph"),
        ("unknown", "toshio"),
        ("wrong", "ralph"),
    ]
    assert execute(archive, "SELECT * FROM messages ORDER BY id") == before
    assert run("datanommer-reindex", "--url", archive).stdout == "messages 4, changed 0\n"


def test_packages_are_extracted_as_well(archive: str, run: Run) -> None:
    put("it")
    message = Message.from_msg_id("it")
    assert message is not None
    known = [package.name for package in message.packages]
    assert known
    execute(archive, "DELETE FROM package_messages")
    run("datanommer-reindex", "--url", archive)
    session.expire_all()
    assert [package.name for package in message.packages] == known


def test_agents_are_found_as_well(archive: str, run: Run) -> None:
    put("bodhi", users=("ralph",))
    put("unknown", topic=UNKNOWN)
    execute(archive, "UPDATE messages SET agent = NULL WHERE msg_id = 'bodhi'")
    execute(archive, "UPDATE messages SET agent = 'toshio' WHERE msg_id = 'unknown'")
    assert run("datanommer-reindex", "--url", archive).stdout == "messages 2, changed 1\n"
    agents = execute(archive, "SELECT msg_id, agent FROM messages ORDER BY msg_id")
    assert agents == [("bodhi", "ralph"), ("unknown", "toshio")]
    assert run("datanommer-reindex", "--url", archive).stdout == "messages 2, changed 0\n"


def test_what_a_package_would_know_that_is_not_installed_is_kept(archive: str, run: Run) -> None:
    headers = {
        "fedora_messaging_schema": "nowhere.v1",
        "fedora_messaging_schema_package": "nowhere-messages",
        "fedora_messaging_user_ralph": True,
    }
    put("nowhere", users=("lmacken",), topic=UNKNOWN, headers=headers)
    put("too", users=("lmacken",), headers={"fedora_messaging_schema": "elsewhere.v1"})
    put("told", headers={"fedora_messaging_schema": "elsewhere.v1"})
    execute(archive, "UPDATE messages SET agent = 'toshio' WHERE msg_id IN ('nowhere', 'told')")
    execute(archive, "UPDATE messages SET agent = NULL WHERE msg_id = 'too'")
    result = run("datanommer-reindex", "--url", archive)
    assert result.stdout == "messages 3, changed 3\n"
    assert sorted(result.stderr.splitlines()) == [
        "Kept as they are: 1. Install nowhere-messages to know more about them.",
        "Kept as they are: 2. Install the package with elsewhere.v1 to know more about them.",
    ]
    assert execute(archive, NAMES) == [
        *(("nowhere", "lmacken"), ("nowhere", "ralph")),
        *(("told", "ralph"), ("too", "lmacken"), ("too", "ralph")),
    ]
    agents = execute(archive, "SELECT msg_id, agent FROM messages ORDER BY msg_id")
    assert agents == [("nowhere", "toshio"), ("told", "toshio"), ("too", "ralph")]


def test_only_those_that_are_asked_for(archive: str, run: Run) -> None:
    for second in range(4):
        put(f"{second}", timestamp=second)
    put("wiki", topic="org.fedoraproject.stg.wiki.article.edit", timestamp=2)
    window = ("--since", "1970-01-01T00:00:01", "--before", "1970-01-01T00:00:02")
    result = run("datanommer-reindex", "--category", "bodhi", *window, "--url", archive)
    assert result.stdout == "messages 2, changed 2\n"
    assert execute(archive, NAMES) == [("1", "ralph"), ("2", "ralph")]
    result = run("datanommer-reindex", "--topic", BODHI_TOPIC, "--url", archive)
    assert result.stdout == "messages 4, changed 2\n"


def test_messages_of_one_second_are_each_looked_at_once(archive: str) -> None:
    items = [known(f"{number}", users=("lmacken",)) for number in range(1001)]
    store(bound_engine(), Batch.of(items))
    progress = reindexed()
    counted = [(each.messages, each.changed) for each in progress]
    assert counted == [(500, 500), (1000, 1000), (1001, 1001)]
    assert progress[-1].timestamp == datetime(2013, 2, 18, 5, 55, 18)  # noqa: DTZ001  naive UTC
    assert {name for _, name in execute(archive, NAMES)} == {"ralph"}


def test_a_row_that_somebody_broke_is_left_alone(archive: str) -> None:
    put("broken", users=("lmacken",))
    put("good")
    execute(archive, "UPDATE messages SET extra = '[1]' WHERE msg_id = 'broken'")
    assert reindexed()[-1][:2] == (2, 1)
    assert execute(archive, NAMES) == [("broken", "lmacken"), ("good", "ralph")]


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An application on the archive, installed as pip would, with an extraction of its own."""
    (tmp_path / "demo_application.py").write_text(
        "inserted, renewed = [], []\n"
        "def insert(cursor, stored):\n"
        "    inserted.extend(row.msg_id for _, row in stored)\n"
        "def renew(cursor, stored):\n"
        "    cursor.execute('CREATE TEMPORARY TABLE extracted ON COMMIT DROP AS SELECT 1')\n"
        "    renewed.extend(row.envelope() for _, row in stored)\n"
        "    return {row_id for row_id, _ in stored}\n"
    )
    info = tmp_path / "demo_application-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-application\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{extractions.GROUP}]\ndemo = demo_application\n")
    monkeypatch.syspath_prepend(tmp_path)
    extractions.installed.cache_clear()
    yield importlib.import_module("demo_application")
    sys.modules.pop("demo_application")
    extractions.installed.cache_clear()


@pytest.mark.usefixtures("archive")
def test_an_application_extracts_from_new_and_from_stored_messages(application: Any) -> None:
    # No other extraction has anything to change.
    put("a", timestamp=5, topic=UNKNOWN)
    assert application.inserted == ["a"]
    (progress,) = reindexed()
    assert progress.changed == 1
    (received,) = application.renewed
    assert received["body"]["msg_id"] == "a"
    assert received["body"]["msg"] == BODHI_MSG


def test_an_empty_archive_is_soon_done(archive: str, run: Run) -> None:
    result = run("datanommer-reindex", "--url", archive)
    assert (result.returncode, result.stdout) == (0, "messages 0, changed 0\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_broken_off_says_where_to_go_on(
    archive: str, run: Run, number: signal.Signals
) -> None:
    numbers = range(reindex._BATCH + 1)
    items = [known(f"{n:04}", users=("lmacken",), timestamp=1000 + n) for n in numbers]
    store(bound_engine(), Batch.of(items))
    with (
        # The message that the second batch begins with.
        Halfway(
            archive, "DELETE ON user_messages", "OLD.timestamp >= to_timestamp(1000 + 500)"
        ) as second_batch,
        subprocess.Popen(
            [script("datanommer-reindex"), "--url", archive],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        second_batch.wait()
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    where = "1970-01-01T00:24:59Z"
    assert told.splitlines()[-1] == f"messages 500, changed 500. Go on with --since {where}"
    result = run("datanommer-reindex", "--since", where, "--url", archive)
    assert result.stdout == "messages 2, changed 1\n"
    assert {name for _, name in execute(archive, NAMES)} == {"ralph"}
