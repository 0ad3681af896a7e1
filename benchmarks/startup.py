"""How long a command takes to start, over the least program that asks a database something.

    python benchmarks/startup.py URL

URL is a database at head, best an empty one: what is measured is not the query. Each figure is the
median of twenty fresh processes, in turns, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

RUNS = 20
PEER = "a program that asks SELECT 1"
PEER_WITH_CONFIG = f"{PEER}, with load_config of fedmsg"
_LEAST = """
import click
import sqlalchemy as sa

@click.command()
@click.argument("url")
@click.argument("config", required=False)
def main(url, config):
    if config:
        from fedmsg.config import load_config

        load_config([], filenames=[config])
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg2"))
    with engine.connect() as connection:
        click.echo(connection.execute(sa.text("SELECT 1")).scalar())

main()
"""


def peer(*arguments: str) -> list[str]:
    """The command line of the least program that asks a database something.

    Args:
        arguments: the URL of a database, and maybe a file of fedmsg's configuration.
    """
    return [sys.executable, "-W", "ignore", "-c", _LEAST, *arguments]


def measure(url: str, runs: int = RUNS) -> dict[str, float]:
    """The median time of each command in seconds, and of its peer, by name.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    latest = str(Path(sys.executable).with_name("datanommer-latest"))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.py")
        settings = {"datanommer.sqlalchemy.url": url, "endpoints": {}}
        config.write_text(f"config = {settings!r}\n")
        commands = {
            PEER: peer(url),
            PEER_WITH_CONFIG: peer(url, str(config)),
            "datanommer-latest --url": [latest, "--url", url],
            "datanommer-latest --config-filename": [latest, "--config-filename", str(config)],
            "datanommer-latest --help": [latest, "--help"],
            "datanommer-latest --fo<Tab>": _tab(latest, "--fo"),
            "datanommer-latest --category <Tab>": _tab(latest, f"--url {url} --category "),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def _tab(command: str, typed: str) -> list[str]:
    """What bash runs for Tab."""
    line = f"COMP_WORDS=datanommer-latest {typed}"
    return ["env", "_DATANOMMER_LATEST_COMPLETE=bash_complete", line, command]


@click.command()
@click.argument("url")
def main(url: str) -> None:
    """Measure, and print a table."""
    medians = measure(url)
    click.echo(f"{'command':<58} {'ms':>6} {'ratio':>6}")
    for name, median in medians.items():
        beside = medians[PEER_WITH_CONFIG if "--config-filename" in name else PEER]
        click.echo(f"{name:<58} {median * 1000:>6.0f} {median / beside:>6.2f}")


if __name__ == "__main__":
    main()
