"""What the READMEs of the packages say that one types works: it is what people see first."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import envelopes
from bus import Archive, Bus
from datanommer import models
from datanommer.models.database import location
from datanommer.models.database.binding import bound_engine
from pages import steps_of
from shell import ROOT

PACKAGES = ("datanommer.models", "datanommer.consumer", "datanommer.commands")
#: The database of all of them.
_URL = "embedded:///tmp/archive"
_MOST_LINES = 60


def readme(package: str) -> str:
    return (ROOT / package / "README.rst").read_text(encoding="utf-8")


@pytest.mark.parametrize("package", PACKAGES)
def test_it_is_short_and_leads_to_pages(package: str) -> None:
    text = readme(package)
    assert text.count("\n") <= _MOST_LINES
    paths = [urlsplit(url).path for url in re.findall(r"<(https://[^>]+)>", text)]
    pages = [path.partition("/blob/develop/")[2] for path in paths if "/blob/" in path]
    assert pages
    assert all((ROOT / page).is_file() for page in pages)


@pytest.fixture
def to_bind(empty_database: str) -> Iterator[str]:
    """The URL of an empty database that the test binds."""
    yield empty_database
    models.session.remove()
    bound_engine().dispose()


def test_python_says_what_the_readme_of_the_models_says(to_bind: str) -> None:
    text = readme("datanommer.models").replace(_URL, to_bind)
    example = doctest.DocTestParser().get_doctest(text, {}, "README", "README.rst", 0)
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0
    assert len(example.examples) == text.count(">>> ")


def test_the_shell_says_what_the_readme_of_the_commands_says(
    empty_database: str, tmp_path: Path
) -> None:
    _installing, naming, *typed = steps_of(readme("datanommer.commands"))
    assert naming.typed == f"export DATANOMMER_SQLALCHEMY_URL={_URL}"
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "DATANOMMER_SQLALCHEMY_URL": empty_database,
    }
    for step in typed:
        result = subprocess.run(
            ["bash", "-c", step.typed],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        assert result.stdout == step.printed.replace(_URL, location.describe(empty_database))


def test_a_hub_with_the_configuration_of_the_readme_of_the_consumer_stores(
    database: str, tmp_path: Path
) -> None:
    found = re.search(r"config = \{\n.*?\n    \}\n", readme("datanommer.consumer"), re.DOTALL)
    assert found
    names: dict[str, dict[str, object]] = {}
    exec(re.sub("^    ", "", found[0], flags=re.MULTILINE), names)
    bus, archive = Bus(tmp_path), Archive(database)
    try:
        of_the_test = {key: bus.config[key] for key in ("endpoints", "datanommer.spool_dir")}
        assert names["config"]["datanommer.sqlalchemy.url"] == _URL
        bus.config = {**names["config"], **of_the_test, "datanommer.sqlalchemy.url": database}
        bus.start_hub("--config-filename", str(tmp_path / "fedmsg.d" / "test.py"))
        sent = envelopes.envelope("org.example.dev.bodhi.update.comment")
        bus.publisher.publish(sent)
        assert archive.wait_for(sent).body == sent["body"]
    finally:
        bus.close()
        archive.close()
