"""A data set goes on after a failover, and has each message once."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pyarrow.parquet as pq

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
    files = list((tmp_path / "messages").rglob("*.parquet"))
    ids = [each for path in files for each in pq.read_table(path)["msg_id"].to_pylist()]
    assert len(ids) == len({*ids}) == 45
