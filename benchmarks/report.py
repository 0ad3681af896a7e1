"""The figures of runs, as a table and a picture for people.

python -m benchmarks.report benchmarks/results/*.json    puts them into docs/performance.rst
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from benchmarks.measure import ROOT, Figure
from benchmarks.picture import svg
from datanommer.models import database

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
        engine = database.create_engine(server)
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


def table(runs: Sequence[Run]) -> str:
    """The figures of runs as a table in reStructuredText: a column of values for each size."""
    runs = sorted(runs, key=lambda run: run.messages)
    rows = ["   * - What", "     - Unit", "     - Beside it", "     - Must reach"]
    for run in runs:
        rows += [f"     - {run.messages:,}", "     - beside", "     - ratio"]
    for key, first in _in_order(runs).items():
        unit, target = first.unit, first.target or "reported"
        rows += [f"   * - {_rst(first.what)}", f"     - {unit}"]
        rows += [f"     - {_rst(first.peer)}", f"     - {target}"]
        for run in runs:
            rows += _cells(_by_key(run).get(key))
    return "\n".join([".. list-table::", "   :header-rows: 1", "", *rows, ""])


def growth(runs: Sequence[Run]) -> dict[str, list[tuple[int, float]]]:
    """What queries cost (ms) at each size: the lines of the picture."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for run in sorted(runs, key=lambda run: run.messages):
        for name in ("latest", "grep", "totals"):
            for figure in run.figures.get(name, []):
                if figure.unit == "ms" and figure.limit is not None:
                    lines.setdefault(figure.what, []).append((run.messages, figure.value))
    return lines


def _in_order(runs: Sequence[Run]) -> dict[tuple[str, str], Figure]:
    found: dict[tuple[str, str], Figure] = {}
    for run in runs:
        for key, figure in _by_key(run).items():
            # A target may hold from some size on, or up to one.
            if key not in found or not found[key].target:
                found[key] = figure
    return found


def _by_key(run: Run) -> dict[tuple[str, str], Figure]:
    return {
        (figure.what, figure.peer): figure for figures in run.figures.values() for figure in figures
    }


def _cells(figure: Figure | None) -> list[str]:
    if figure is None:
        return ["     -"] * 3
    mark = "" if figure.is_met in {None, True} else " (missed)"
    beside = "" if figure.peer_value is None else number(figure.peer_value)
    ratio = "" if figure.ratio is None else number(figure.ratio)
    return [f"     - {number(figure.value)}{mark}", f"     - {beside}", f"     - {ratio}"]


def _rst(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*")


def into(page: Path, runs: Sequence[Run], picture: str) -> None:
    """Put the table and the picture of runs into a page, between its two marks."""
    before, mark, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (mark and end):
        raise click.ClickException(f"{page} lacks the lines {_BEGIN!r} and {_END!r}")
    told = "\n".join(
        f"- {run.messages:,} messages: {run.machine}; {run.date}"
        for run in sorted(runs, key=lambda run: run.messages)
    )
    page.write_text(f"{before}{mark}\n\n{told}\n\n{table(runs)}\n{end}{after}", encoding="utf-8")
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
