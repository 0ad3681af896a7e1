"""Figures as tables of reStructuredText: a table a benchmark."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.measure import ROOT, Figure, number

#: The figures of a benchmark at each number of messages, from the smallest on.
Sizes = Mapping[int, Sequence[Figure]]

_Key = tuple[str, str]
_ROW = re.compile(r"^``([\w-]+)`` +(\S.*(?:\n +\S.*)*)", re.MULTILINE)


def tables(benchmarks: Mapping[str, Sizes]) -> str:
    """The tables of benchmarks, by their names, each below what the README says of it."""
    readme = (ROOT / "benchmarks" / "README.rst").read_text(encoding="utf-8")
    about = {name: " ".join(text.split()) for name, text in _ROW.findall(readme)}
    return "\n".join(_section(name, about[name], sizes) for name, sizes in benchmarks.items())


def _section(name: str, about: str, sizes: Sizes) -> str:
    sentence = re.split(r"(?<=\.) |; ", about)[0].rstrip(".")
    said = textwrap.fill(f"**{name}**: {sentence}.", 100, break_on_hyphens=False)
    table = _of_one_size(*sizes.values()) if len(sizes) == 1 else _of_sizes(sizes)
    return f"{said}\n\n{table}"


def _of_one_size(figures: Sequence[Figure]) -> str:
    rows = [
        [
            _rst(figure.what),
            _with_unit(figure.value, figure),
            _rst(figure.peer),
            "" if figure.peer_value is None else _with_unit(figure.peer_value, figure),
            "" if figure.ratio is None else number(figure.ratio),
            _target(figure) + _mark(figure),
        ]
        for figure in figures
    ]
    header = ["What", "datanommer", "Compared with", "Its figure", "Ratio", "Target"]
    used = [any(row[column] for row in rows) for column in range(len(header))]
    return _list_table(
        [[cell for cell, keep in zip(row, used, strict=True) if keep] for row in (header, *rows)]
    )


def _of_sizes(sizes: Sizes) -> str:
    by_key = {size: {_key(figure): figure for figure in each} for size, each in sizes.items()}
    keys = dict.fromkeys(key for figures in by_key.values() for key in figures)
    rows = [list(_row(key, [figures.get(key) for figures in by_key.values()])) for key in keys]
    for row, key in zip(rows, keys, strict=True):
        row.append(_target_at({size: figures.get(key) for size, figures in by_key.items()}))
    header = ["What", *(f"{size:,}" for size in sizes), "Target"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return _list_table([header, *rows])


def _row(key: _Key, figures: Sequence[Figure | None]) -> Iterator[str]:
    """A row: the name above its peer's, and each figure above the peer's."""
    what, peer = map(_rst, key)
    yield _lines(what, f"compared with {peer}" if peer else "")
    for figure in figures:
        if figure is None:
            yield ""
            continue
        beside = ""
        if figure.peer_value is not None:
            ratio = number(figure.ratio or 0)
            beside = f"{ratio} × {_with_unit(figure.peer_value, figure)}"  # noqa: RUF001
        yield _lines(f"**{_with_unit(figure.value, figure)}**{_mark(figure)}", beside)


def _lines(first: str, second: str) -> str:
    return f"| {first}\n| {second}" if second else first


def _key(figure: Figure) -> _Key:
    return figure.what, figure.peer


def _target_at(figures: Mapping[int, Figure | None]) -> str:
    """What must be reached; with the sizes, if it holds only at some."""
    measured = {size: figure for size, figure in figures.items() if figure}
    targets = {size: _target(figure) for size, figure in measured.items() if figure.target}
    told = ", ".join(dict.fromkeys(targets.values()))
    if told and len(targets) < len(measured):
        told += " at " + " and ".join(f"{size:,}" for size in targets)
    return told


def _target(figure: Figure) -> str:
    return figure.target.replace(">=", "≥").replace("<=", "≤")


def _mark(figure: Figure) -> str:
    return " (missed)" if figure.is_met is False else ""


def _with_unit(value: float, figure: Figure) -> str:
    return f"{number(value)} {figure.unit.replace('us', 'µs')}"


def _list_table(rows: Sequence[Sequence[str]]) -> str:
    told = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for place, cell in enumerate(row):
            mark = "*" if place == 0 else " "
            first, *others = cell.split("\n")
            told.append(f"   {mark} - {first}".rstrip())
            told += [f"       {line}" for line in others]
    return "\n".join(told) + "\n"


def _rst(text: str) -> str:
    """A text as it is: what would be markup is escaped."""
    return re.sub(r"([\\`|]|_(?!\w)|(?<!\()\*)", r"\\\1", text)
