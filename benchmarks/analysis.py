"""The questions of docs/analysis.rst, to DuckDB and to Spark, and how their time grows."""

from __future__ import annotations

import contextlib
import re
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

import analysis
import spark
from benchmarks.measure import Figure, alternate, run, seconds
from benchmarks.setting import Setting

#: Of each worker and of the driver.
_MEMORY = "1g"
#: Seconds, for all that Spark is asked.
_PATIENCE = 3600
#: Words in the questions of the page, and what the made-up bus has instead.
_WORDS = {"2013": "2023", "2014": "2024", "ralph": "user7"}
_TOOK = re.compile(r"^Time taken: ([\d.]+) seconds", re.MULTILINE)
#: Statements that open a data set.
_OPENING = 2
_GROWN = 10
_GROWN_NAME = f"{_GROWN} times the messages"

#: Seconds, by the titles of the questions.
Times = Mapping[str, float]


def questions(setting: Setting) -> Iterator[Figure]:
    """Each question, and the same of ten times the messages in the same two years."""
    with tempfile.TemporaryDirectory(prefix="datanommer-benchmarks-") as temporary:
        once, grown = Path(temporary, "once"), Path(temporary, "grown")
        run("datanommer-export", str(once), "--url", setting.filled)
        _grow(once, grown)
        duck = [_asked_of_duckdb(folder, setting.rounds) for folder in (once, grown)]
        yield from _growth("DuckDB", *duck)
        sparks = _asked_of_spark(once, grown, setting.rounds, Path(temporary))
        yield from _growth("Spark", *sparks)
        for title, took in sparks[1].items():
            yield Figure(f"Spark, {_GROWN_NAME}: {title}", took, "s", "DuckDB", duck[1][title])


def _growth(engine: str, once: Times, grown: Times) -> Iterator[Figure]:
    for title, took in grown.items():
        what = f"{engine}, {_GROWN_NAME}: {title}"
        yield Figure(what, took, "s", f"{engine}, once", once[title])


def _grow(folder: Path, grown: Path) -> None:
    """Copy each file `_GROWN` times into the folder of its month."""
    for file in folder.glob("messages/*/*/*.parquet"):
        month = grown / file.parent.relative_to(folder)
        month.mkdir(parents=True, exist_ok=True)
        for number in range(_GROWN):
            shutil.copyfile(file, month / f"{number}-{file.name}")


def _words(engine: str) -> dict[str, str]:
    """The questions in the words of an engine, by their titles."""
    words = {title: blocks[engine] for title, blocks in analysis.QUESTIONS.items()}
    for of_the_page, of_the_bus in _WORDS.items():
        words = {title: text.replace(of_the_page, of_the_bus) for title, text in words.items()}
    return words


@contextlib.contextmanager
def _duckdb(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(analysis.opening("DuckDB", str(folder)))
        yield connection


def _asked_of_duckdb(folder: Path, rounds: int) -> Times:
    with _duckdb(folder) as connection:
        ways = {
            title: lambda text=text: seconds(lambda: connection.execute(text).fetchall())
            for title, text in _words("DuckDB").items()
        }
        return alternate(rounds, ways)


def _answers(folder: Path) -> list[str]:
    """The lines of all answers, as Spark prints them."""
    with _duckdb(folder) as connection:
        asked = _words("DuckDB").values()
        rows = [row for text in asked for row in connection.execute(text).fetchall()]
    return ["\t".join(row) for row in analysis.texts(rows)]


def _asked_of_spark(once: Path, grown: Path, rounds: int, folder: Path) -> tuple[Times, Times]:
    """Ask in one session, and compare the answers with DuckDB's; a first round warms up Java."""
    asked = list(_words("Spark").values())
    file = folder / "questions.sql"
    first = [analysis.opening("Spark", str(once)), *asked * (rounds + 1), "DROP VIEW messages;"]
    then = [analysis.opening("Spark", str(grown)), *asked * rounds]
    file.write_text("\n".join([*first, *then]))
    (folder / "cluster").mkdir()
    with spark.Cluster(folder / "cluster", _MEMORY, java="") as cluster:
        told = cluster.run("spark-sql", "-f", str(file), timeout=_PATIENCE)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    for each, repeated in ((once, rounds + 1), (grown, rounds)):
        # The first line tells the time zone.
        expected = _answers(each) * repeated
        assert lines[1 : len(expected) + 1] == expected, told.stdout
        lines = lines[len(expected) + 1 :]
    times = [float(took) for took in _TOOK.findall(told.stderr)]
    measured = len(asked) * rounds
    warm = _OPENING + len(asked)
    return _medians(times[warm : warm + measured]), _medians(times[-measured:])


def _medians(times: list[float]) -> Times:
    """The medians of rounds of all questions."""
    titles = list(analysis.QUESTIONS)
    return {
        title: statistics.median(times[number :: len(titles)])
        for number, title in enumerate(titles)
    }
