"""Spark, DuckDB and the archive itself give the answers of docs/analysis.rst, asked as it says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

import analysis
import february
import spark
import winter
from analysis import ANSWERS, PAGE, QUESTIONS
from certificates import Authority
from classic import execute
from datanommer import models
from datanommer.models.database.binding import bound_engine
from services import leave_out
from shell import Run

_ENGINES = {"Spark", "DuckDB", "PostgreSQL"}


class Exported(NamedTuple):
    """An archive, and the folder of its data set."""

    url: str
    folder: Path


@pytest.fixture
def exported(database: str, tmp_path: Path, run: Run) -> Exported:
    """The archive that the page asks."""
    models.init(database)
    authority = Authority(tmp_path, february.YEAR)
    assert not models.add_all(winter.bus(authority)).rejected
    models.session.remove()
    bound_engine().dispose()
    folder = tmp_path / "archive"
    result = run("datanommer-export", str(folder), "--url", database)
    assert result.returncode == 0, result.stderr
    return Exported(database, folder)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[spark.Cluster]:
    """A Spark cluster; without Java or pyspark, as `needs_program` without a program."""
    if reason := spark.why_not():
        leave_out(reason)
    folder = tmp_path / "cluster"
    folder.mkdir()
    with spark.Cluster(folder) as cluster:
        yield cluster


def test_there_are_ten_questions_each_with_the_words_of_all_engines_and_an_answer() -> None:
    assert len(QUESTIONS) == 10
    assert all(blocks.keys() == _ENGINES | {"Answer"} for blocks in QUESTIONS.values())
    # None stands where no question is.
    assert PAGE.count("\nAnswer::\n") == len(QUESTIONS)


def test_spark_on_a_cluster_answers_as_the_page_says(
    cluster: spark.Cluster, exported: Exported, tmp_path: Path
) -> None:
    opening, questions = tmp_path / "archive.sql", tmp_path / "questions.sql"
    opening.write_text(analysis.opening("Spark", str(exported.folder)))
    questions.write_text(
        "".join(f"SELECT '{title}';\n{blocks['Spark']}\n" for title, blocks in QUESTIONS.items())
    )
    assert "spark-sql --master spark://" in PAGE
    assert "-i archive.sql -f question.sql" in PAGE
    result = cluster.run("spark-sql", "-i", str(opening), "-f", str(questions))
    assert result.returncode == 0, result.stderr
    assert _told_by_title(result.stdout) == ANSWERS
    assert cluster.busy_workers() == 2


def _told_by_title(output: str) -> dict[str, analysis.Rows]:
    told: dict[str, analysis.Rows] = {}
    rows: analysis.Rows = []
    for line in output.splitlines():
        if line in QUESTIONS:
            rows = told[line] = []
        else:
            rows.append(line.split("\t"))
    return told


@pytest.fixture
def laptop(exported: Exported) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB far from UTC, that has opened the data set as the page says."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        connection.execute(analysis.opening("DuckDB", str(exported.folder)))
        yield connection


def test_duckdb_answers_as_the_page_says(laptop: duckdb.DuckDBPyConnection) -> None:
    told = {
        title: analysis.texts(laptop.execute(blocks["DuckDB"]).fetchall())
        for title, blocks in QUESTIONS.items()
    }
    assert told == ANSWERS


def test_a_question_about_a_month_opens_no_file_of_another(
    laptop: duckdb.DuckDBPyConnection,
) -> None:
    query = "SELECT count(*) FROM messages WHERE year = 2013 AND month = 2"
    plan = laptop.execute(f"EXPLAIN ANALYZE {query}").fetchall()[0][1]
    assert "Scanning Files: 1/2" in plan


def test_the_archive_itself_answers_as_the_page_says(exported: Exported, run: Run) -> None:
    told = {
        title: _asked_itself(exported.url, blocks["PostgreSQL"], run)
        for title, blocks in QUESTIONS.items()
    }
    assert told == ANSWERS


def _asked_itself(url: str, question: str, run: Run) -> analysis.Rows:
    """What SQL in UTC finds, or what a command prints below the names of the columns."""
    if not question.startswith("$ "):
        return analysis.texts(execute(url, question))
    result = run(*shlex.split(question.removeprefix("$ ")), "--url", url)
    assert result.returncode == 0, result.stderr
    return [line.split("\t") for line in result.stdout.splitlines()[1:]]
