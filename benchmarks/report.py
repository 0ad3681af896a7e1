"""The figures of runs, as tables and a picture for people.

python -m benchmarks.report benchmarks/results/*.json    puts them into docs/performance.rst
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from benchmarks.measure import ROOT, Figure
from benchmarks.picture import Line, Panel, svg
from datanommer.models.database.engine import create_engine

_BEGIN, _END = ".. figures begin", ".. figures end"


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


def number(value: float) -> str:
    """A number with three digits that count."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.3g}"


def tables(runs: Sequence[Run]) -> str:
    """The figures of runs in reStructuredText: a table a benchmark, with columns for each size."""
    runs = sorted(runs, key=lambda run: run.messages)
    names = dict.fromkeys(name for run in runs for name in run.figures)
    return "\n".join(_table(name, [run for run in runs if name in run.figures]) for name in names)


def _table(name: str, runs: Sequence[Run]) -> str:
    figures = [_by_key(run.figures[name]) for run in runs]
    header = ["What", "Unit", "Beside it", "Must reach"]
    for run in runs:
        header += [f"{run.messages:,}", "beside", "ratio"]
    if len(runs) > 1:
        header.append("growth")
    rows = [
        _row(first, [of_run.get(key) for of_run in figures])
        for key, first in _first_of_each(figures).items()
    ]
    told = io.StringIO()
    csv.writer(told, lineterminator="\n").writerows([header, *rows])
    lines = textwrap.indent(told.getvalue(), "   ")
    return f".. csv-table:: ``{name}``\n   :header-rows: 1\n\n{lines}"


def _row(first: Figure, figures: Sequence[Figure | None]) -> list[str]:
    row = [_rst(first.what), first.unit, _rst(first.peer), first.target or "reported"]
    for figure in figures:
        row += _cells(figure, first.target)
    if len(figures) > 1:
        smallest, largest = figures[0], figures[-1]
        row.append(number(largest.value / smallest.value) if smallest and largest else "")
    return row


def growth(runs: Sequence[Run]) -> dict[str, Panel]:
    """What queries cost at each size: the panels of the picture."""
    panels: dict[str, Panel] = {}
    for run in sorted(runs, key=lambda run: run.messages):
        for name in ("latest", "grep", "totals"):
            panel = panels.setdefault(name, Panel())
            for figure in run.figures.get(name, []):
                if figure.unit == "ms":
                    _add(panel.lines, figure.what, run.messages, figure.value)
                    _add(
                        panel.peers, f"{figure.what} {figure.peer}", run.messages, figure.peer_value
                    )
    return panels


def _add(lines: dict[str, Line], name: str, messages: int, cost: float | None) -> None:
    line = lines.setdefault(name, [])
    # A figure that stands beside two peers is one point.
    if cost is not None and (messages, cost) not in line:
        line.append((messages, cost))


_Key = tuple[str, str]


def _first_of_each(figures: Sequence[Mapping[_Key, Figure]]) -> dict[_Key, Figure]:
    found: dict[_Key, Figure] = {}
    for of_run in figures:
        for key, figure in of_run.items():
            # A target may hold from some size on, or up to one.
            if key not in found or not found[key].target:
                found[key] = figure
    return found


def _by_key(figures: Sequence[Figure]) -> dict[_Key, Figure]:
    return {(figure.what, figure.peer): figure for figure in figures}


def _cells(figure: Figure | None, target: str) -> list[str]:
    if figure is None:
        return [""] * 3
    mark = " (missed)" if figure.is_met is False else ""
    if target and not figure.target:
        mark = " (reported)"
    beside = "" if figure.peer_value is None else number(figure.peer_value)
    ratio = "" if figure.ratio is None else number(figure.ratio)
    return [f"{number(figure.value)}{mark}", beside, ratio]


def _rst(text: str) -> str:
    return re.sub(r"([\\*_`|])", r"\\\1", text)


def into(page: Path, runs: Sequence[Run], picture: str) -> None:
    """Put the tables and the picture of runs into a page, between its two marks."""
    before, mark, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (mark and end):
        raise click.ClickException(f"{page} lacks the lines {_BEGIN!r} and {_END!r}")
    told = "\n".join(
        f"- {run.messages:,} messages: {run.machine}; {run.date}"
        for run in sorted(runs, key=lambda run: run.messages)
    )
    page.write_text(f"{before}{mark}\n\n{told}\n\n{tables(runs)}\n{end}{after}", encoding="utf-8")
    page.with_suffix(".svg").write_text(picture, encoding="utf-8")


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
    into(page, runs, svg(growth(runs)))


if __name__ == "__main__":
    main()
