"""Measure how fast datanommer is: medians and ratios, each figure beside a peer or a limit.

All of them, or those named. README.rst beside this file says how to run and read it.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from benchmarks.measure import ROOT, Figure
from benchmarks.report import Run, line
from benchmarks.setting import Setting, server

sys.path.insert(0, str(ROOT / "tests"))  # the bus and the classic schema of the tests

from benchmarks import (
    amqp,
    analysis,
    archive,
    batches,
    export,
    grep,
    hub,
    ingest,
    over_stomp,
    questions,
    scale,
    shell,
    signatures,
    storage,
)

Benchmark = Callable[[Setting], Iterator[Figure]]
BENCHMARKS: dict[str, Benchmark] = {
    "hub": hub.throughput,
    "stomp": over_stomp.throughput,
    "latency": hub.latency,
    "ending": hub.ending,
    "amqp": amqp.backlog,
    "prefetch": amqp.prefetch,
    "add_all": ingest.add_all,
    "batches": batches.batches,
    "extraction": ingest.extract,
    "signatures": signatures.signatures,
    "dump": archive.dump,
    "load": archive.load,
    "move": archive.move,
    "export": export.export,
    "latest": questions.latest_and_stats,
    "start-up": questions.start_up,
    "first-line": shell.first_line,
    "search": shell.search,
    "show": shell.show,
    "follow": shell.follow,
    "activity": shell.activity,
    "report": shell.report,
    "grep": grep.newest,
    "pages": grep.pages,
    "totals": grep.totals,
    "contains": grep.contains,
    "disk": storage.disk,
    "growth": scale.growth,
    "wal": scale.wal,
    "cold": scale.cold,
    "migration": storage.migration,
    "analysis": analysis.questions,
}


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)), metavar="[NAME]...")
@click.option("--messages", type=int, default=100_000, show_default=True, help="How many.")
@click.option("--rounds", type=int, default=5, show_default=True, help="The median of how many.")
@click.option("--url", help="A PostgreSQL where databases may be made; default: the embedded one.")
@click.option("--keep", is_flag=True, help="Leave the filled database for the next run.")
@click.option("--json", "file", type=Path, help="Write the figures to this file, too.")
def main(
    names: tuple[str, ...],
    messages: int,
    rounds: int,
    url: str | None,
    keep: bool,
    file: Path | None,
) -> None:
    # The processors of fedmsg.meta log at length what they cannot read.
    logging.getLogger().addHandler(logging.NullHandler())
    with server(url) as server_url:
        setting = Setting(server_url, messages, rounds)
        run = Run.of_this_machine(messages, server_url)
        try:
            for name in names or BENCHMARKS:
                for figure in BENCHMARKS[name](setting):
                    run.add(name, figure)
                    click.echo(line(figure))
                if file:
                    file.write_text(json.dumps(run.as_dict(), indent=1) + "\n", encoding="utf-8")
        finally:
            if not keep:
                setting.drop_filled()


if __name__ == "__main__":
    main()
