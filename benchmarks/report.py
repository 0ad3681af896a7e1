"""The figures of runs, as tables and pictures for people.

python -m benchmarks.report benchmarks/results/*.json    puts them into docs/performance.rst
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from benchmarks.measure import ROOT, Figure, number
from benchmarks.picture import Growth, Rate, bars, charts
from benchmarks.tables import Sizes, tables
from datanommer.models.database.engine import create_engine

_BEGIN, _END = ".. figures begin", ".. figures end"
# The benchmarks whose messages a second are drawn, and those whose growth is.
_RATES = ("hub", "stomp", "amqp", "add_all", "load", "move", "dump", "export", "signatures")
_GROWTHS = ("latest", "grep", "totals")
_PICTURES = """\
How many messages a second
--------------------------

.. image:: throughput.svg
   :alt: Messages a second as bars, each above those of its peers.

How cost grows
--------------

Each chart shows one query at several sizes of the archive. The axes are logarithmic. A flat line
means that the query takes as long in a large archive as in a small one.

A page of ``datanommer-grep``
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~

.. image:: growth-grep.svg
   :alt: The time of a page at each size, by mixture of filters, compared with the classic way.

How many messages match
~~~~~~~~~~~~~~~~~~~~~~~

.. image:: growth-totals.svg
   :alt: The time of a total at each size, by mixture of filters, compared with count(*).

``datanommer-latest`` and ``datanommer-stats``
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~

.. image:: growth-latest.svg
   :alt: The time of each query at each size, compared with one index lookup.

All figures
-----------
"""


@dataclass
class Run:
    """The figures of one run.

    Attributes:
        messages: how many the filled database had.
        machine: where it ran, in words.
        date: when, in ISO 8601.
        figures: what was measured, by the name of the benchmark.
    """

    messages: int
    machine: str
    date: str
    figures: dict[str, list[Figure]] = field(default_factory=dict)

    @classmethod
    def of_this_machine(cls, messages: int, server: str) -> Run:
        engine = create_engine(server)
        with engine.connect() as connection:
            version = connection.scalar(sa.text("SHOW server_version"))
        engine.dispose()
        machine = (
            f"{os.cpu_count()} cores, Python {platform.python_version()}, PostgreSQL {version}"
        )
        return cls(messages, machine, datetime.now(UTC).date().isoformat())

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Run:
        figures = {
            name: [Figure(**figure) for figure in figures]
            for name, figures in stored["figures"].items()
        }
        return cls(stored["messages"], stored["machine"], stored["date"], figures)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def add(self, name: str, figure: Figure) -> None:
        self.figures.setdefault(name, []).append(figure)


def line(figure: Figure) -> str:
    """A figure on a line."""
    told = f"{figure.what:58} {number(figure.value):>9} {figure.unit}"
    if figure.peer_value is not None:
        told += f"; {figure.peer}: {number(figure.peer_value)}; ratio {number(figure.ratio or 0)}"
    if figure.target:
        told += f" ({'' if figure.is_met else 'NOT '}{figure.target})"
    return told


def by_benchmark(runs: Sequence[Run]) -> dict[str, dict[int, list[Figure]]]:
    """The figures of runs by benchmark and number of messages; the newest, where two have one."""
    found: dict[str, dict[int, list[Figure]]] = {}
    for run in sorted(runs, key=lambda run: (run.messages, run.date)):
        for name, figures in run.figures.items():
            found.setdefault(name, {})[run.messages] = figures
    return found


def rates(benchmarks: Mapping[str, Sizes]) -> list[Rate]:
    """The messages a second that stand beside a peer, at the largest size that has them."""
    found: dict[tuple[str, str, float], Rate] = {}
    for name in _RATES:
        newest = {_key(figure): figure for each in _sizes(benchmarks, name) for figure in each}
        for figure in newest.values():
            if figure.unit == "messages/s" and figure.peer_value is not None:
                # A figure with two peers is drawn once.
                rate = found.setdefault(
                    (name, figure.what, figure.value), Rate(figure.what, figure.value)
                )
                rate.peers[figure.peer] = figure.peer_value
    return list(found.values())


def growths(sizes: Sizes) -> list[Growth]:
    """The milliseconds of a benchmark at each size."""
    found: dict[tuple[str, str], Growth] = {}
    for messages, figures in sizes.items():
        for figure in figures:
            if figure.unit != "ms":
                continue
            growth = found.setdefault(_key(figure), Growth(*_key(figure)))
            growth.limit = growth.limit or figure.limit
            growth.ours.append((messages, figure.value))
            if figure.peer_value is not None:
                growth.theirs.append((messages, figure.peer_value))
    return list(found.values())


def _key(figure: Figure) -> tuple[str, str]:
    return figure.what, figure.peer


def _sizes(benchmarks: Mapping[str, Sizes], name: str) -> Iterable[Sequence[Figure]]:
    return benchmarks.get(name, {}).values()


def machines(runs: Sequence[Run]) -> str:
    """When and where runs were, in one sentence."""
    dates = sorted({run.date for run in runs})
    days = dates[0] if len(dates) == 1 else f"from {dates[0]} to {dates[-1]}"
    # What Debian calls its package of PostgreSQL is left out.
    parts = zip(*(re.sub(r" \(.*?\)", "", run.machine).split(", ") for run in runs), strict=True)
    return f"Measured {days}: {', '.join(' or '.join(sorted(set(each))) for each in parts)}."


def into(page: Path, runs: Sequence[Run]) -> None:
    """Put the tables of runs into a page, between its two marks, and the pictures beside it."""
    before, mark, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (mark and end):
        raise click.ClickException(f"{page} lacks the lines {_BEGIN!r} and {_END!r}")
    benchmarks = by_benchmark(runs)
    pictures = {"throughput": bars(rates(benchmarks))}
    pictures |= {f"growth-{name}": charts(growths(benchmarks.get(name, {}))) for name in _GROWTHS}
    for name, picture in pictures.items():
        (page.parent / f"{name}.svg").write_text(picture, encoding="utf-8")
    told = f"{machines(runs)}\n\n{_PICTURES}\n{tables(benchmarks)}"
    page.write_text(f"{before}{mark}\n\n{told}\n{end}{after}", encoding="utf-8")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--page",
    type=click.Path(exists=True, path_type=Path),
    default=ROOT / "docs" / "performance.rst",
    help="Default: docs/performance.rst.",
)
def main(files: tuple[Path, ...], page: Path) -> None:
    """Put the figures of runs (the files that --json wrote) into a page of the docs."""
    runs = [Run.from_dict(json.loads(file.read_text(encoding="utf-8"))) for file in files]
    into(page, runs)


if __name__ == "__main__":
    main()
