"""The site of the documentation has what its pages take from the code."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from datanommer import models
from datanommer.commands.cli import main
from datanommer.commands.command_list import COMMANDS
from datanommer.models import counts, errors
from shell import ROOT

DOCS = ROOT / "docs"
_OF_ALL_COMMANDS = {"--url", "--config-filename", "--version"}


def text_of(page: Path) -> str:
    """What a reader sees of a page of HTML."""
    return html.unescape(re.sub("<[^>]*>", "", page.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the two pages that Sphinx makes of the code."""
    pytest.importorskip("sphinx_click")
    folder = tmp_path_factory.mktemp("site")
    pages = [str(DOCS / name) for name in ("command-reference.rst", "python-api.rst")]
    command = [sys.executable, "-m", "sphinx", "-q", "-d", str(folder / "doctrees")]
    subprocess.run([*command, str(DOCS), str(folder), *pages], check=True)
    return folder


def test_each_command_is_there_with_its_options_and_examples(site: Path) -> None:
    page = site / "command-reference.html"
    source, text = page.read_text(encoding="utf-8"), text_of(page)
    for name in COMMANDS:
        assert f'<section id="datanommer-{name}">' in source
        command = main.get_command(click.Context(main), name)
        assert command is not None
        for each in [command, *getattr(command, "commands", {}).values()]:
            program = f"datanommer-{name}" + ("" if each is command else f" {each.name}")
            assert f"{program} {' '.join(each.collect_usage_pieces(click.Context(each)))}" in text
            assert all(example in text for example in getattr(each, "examples", ()))
            for option in options_of(each) - _OF_ALL_COMMANDS:
                assert f'id="cmdoption-{program.replace(" ", "-")}-{option[2:]}"' in source
    for option in _OF_ALL_COMMANDS:
        assert text.count(f"\n{option}") == 1


def options_of(command: click.Command) -> set[str]:
    return {name for each in command.params for name in each.opts if name.startswith("--")}


def test_each_public_name_of_the_models_is_there(site: Path) -> None:
    source = (site / "python-api.html").read_text(encoding="utf-8")
    known = {f"errors.{name}" for name, each in vars(errors).items() if is_error(each)}
    known |= {f"counts.{each.__name__}" for each in (counts.by, counts.categories, counts.topics)}
    for name in {*models.__all__, *known} - {"__version__", "counts"}:
        assert f'id="datanommer.models.{name}"' in source, name


def is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, errors.DatanommerError)
