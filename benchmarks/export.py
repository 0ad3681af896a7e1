"""The archive as Parquet: datanommer-export, beside datanommer-dump and beside the tables."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import storage
from benchmarks.measure import Figure, alternate, run
from benchmarks.setting import Setting


def export(setting: Setting) -> Iterator[Figure]:
    """All messages into a new data set, over datanommer-dump; and all of them looked up again."""
    memory = []
    with tempfile.TemporaryDirectory(prefix="datanommer-benchmarks-") as parent:
        folder = Path(parent, "data-set")

        def ours() -> float:
            shutil.rmtree(folder, ignore_errors=True)
            finished = run("datanommer-export", "--url", setting.filled, str(folder))
            memory.append(finished.megabytes)
            return setting.messages / finished.seconds

        def again() -> float:
            _forget(folder)
            finished = run("datanommer-export", "--url", setting.filled, str(folder))
            memory.append(finished.megabytes)
            return setting.messages / finished.seconds

        rates = alternate(
            setting.rounds,
            {
                "export": ours,
                "again": again,
                "dump": lambda: (
                    setting.messages / run("datanommer-dump", "--url", setting.filled).seconds
                ),
            },
        )
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    peer = "datanommer-dump"
    yield Figure(
        "datanommer-export", rates["export"], "messages/s", peer, rates["dump"], at_least=2
    )
    what = "datanommer-export that finds all in the data set"
    yield Figure(what, rates["again"], "messages/s", peer, rates["dump"])
    yield Figure("datanommer-export, peak memory", max(memory), "MB", limit=400)
    yield Figure(
        "Parquet a message",
        *(size / setting.messages, "bytes", "tables and indexes"),
        storage.size_of(setting.filled) / setting.messages,
        at_most=1 / 3,
    )


def _forget(folder: Path) -> None:
    """Change the timeline in the manifest, as if after a failover, so that all is looked up."""
    path = folder / "dataset.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["timeline"] = "another"
    path.write_text(json.dumps(manifest), encoding="utf-8")
