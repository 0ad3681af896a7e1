"""A data set goes on after a failover or a restore, and has each message once."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pyarrow.parquet as pq

import backups
from databases import Databases
from envelopes import envelope
from postgres import Primary
from shell import Run
from standby import Standby


def test_after_a_failover_nothing_is_missed_or_appended_twice(run: Run, tmp_path: Path) -> None:
    with contextlib.ExitStack() as servers:
        primary = servers.enter_context(contextlib.closing(Primary()))
        standby = servers.enter_context(contextlib.closing(Standby(primary)))
        name = primary.create_database()

        def add(url: str, number: int) -> None:
            messages = "".join(json.dumps(envelope()) for _ in range(number))
            run("datanommer-load", "--url", url, input=messages)

        def export(url: str) -> str:
            return str(run("datanommer-export", "--url", url, str(tmp_path)).stdout)

        add(primary.own_url(name), 3)
        standby.wait_for_replay()
        standby.fall_behind()
        # These are exported, and then lost with the primary.
        add(primary.own_url(name), 2)
        export(primary.own_url(name))
        primary.kill()
        standby.promote()
        add(standby.own_url(name), 40)
        appended = export(standby.own_url(name))
    assert appended == "messages 40, files 1, in the data set already 3\n"
    ids = ids_of(tmp_path)
    assert len(ids) == len({*ids}) == 45


def test_after_a_restore_on_the_same_server_nothing_is_missed_either(
    run: Run, databases_of_server: Databases, database: str, tmp_path: Path
) -> None:
    def add(url: str, *numbers: int) -> None:
        messages = "".join(json.dumps(envelope(msg_id=f"2013-{each}")) for each in numbers)
        run("datanommer-load", "--url", url, input=messages)

    add(database, 1)
    backups.save(database, tmp_path / "dump")
    add(database, 2, 3)
    folder = tmp_path / "set"
    run("datanommer-export", "--url", database, str(folder))
    name = databases_of_server.create()
    restored = databases_of_server.url(name)
    backups.restore(tmp_path / "dump", restored)
    # The last message that was exported has its id again, and before it is one that was not.
    add(restored, 4, 3)
    appended = run("datanommer-export", "--url", restored, str(folder)).stdout
    databases_of_server.drop(name)
    assert appended == "messages 1, files 1, in the data set already 2\n"
    assert sorted(ids_of(folder)) == [f"2013-{each}" for each in range(1, 5)]


def ids_of(folder: Path) -> list[str]:
    """The ids of all messages of a data set, as often as they are in it."""
    files = (folder / "messages").rglob("*.parquet")
    return [each for path in files for each in pq.read_table(path)["msg_id"].to_pylist()]
