"""The documentation and the code agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from datanommer.commands.cli import main
from datanommer.commands.command_list import COMMANDS
from datanommer.commands.exit_codes import MEANINGS
from datanommer.models.configuration import READ_URL_VARIABLE, URL_KEY, URL_VARIABLE
from datanommer.models.errors import DatabaseUnavailable, UnusableURL
from shell import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.rst"), *DOCS.glob("*.rst"), *ROOT.glob("*/README.rst")])
MODELS = ROOT / "datanommer.models" / "datanommer" / "models"
CONSUMER = ROOT / "datanommer.consumer" / "datanommer" / "consumer"
COMMAND_LINE = ROOT / "datanommer.commands" / "datanommer" / "commands"
# Where the paths that pages name begin.
STARTS = (ROOT, ROOT / "datanommer.models", MODELS, CONSUMER, COMMAND_LINE)
EXAMPLE = (ROOT / "fedmsg.d" / "datanommer.py").read_text(encoding="utf-8")
COMMON = {"--url", "--config-filename", "--version", "--help"}


def text_of(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """The text under a heading of a page, up to the next heading."""
    found = re.search(
        rf"^{re.escape(title)}\n([~=-])\1+\n(.*?)(?=^[^\n]+\n[~=-]{{3,}}$|\Z)",
        text_of("docs", page),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"docs/{page} has no section {title}"
    return found[2]


def section_of(name: str) -> str:
    return section("commands.rst", f"datanommer-{name}")


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as docutils writes them in HTML."""
    titles = re.findall(r"^(\S.*)\n([=~-])\2{2,}$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {slug(title) for title, _ in titles}


def links(page: Path) -> list[tuple[Path, str]]:
    """The files of the checkout that a page links to, each with the anchor, or without one."""
    text = page.read_text(encoding="utf-8")
    targets = ["".join(each.split()) for each in re.findall(r"`[^`<]+<([^`>]+)>`_", text)]
    within = [each.partition("#") for each in targets if not each.startswith("https://")]
    own = [slug(title) for title in re.findall(r"(?<!`)`([^`<>]+)`_", text)]
    return [
        *((page.parent / path if path else page, anchor) for path, _, anchor in within),
        *((page, anchor) for anchor in own),
    ]


def command_of(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


def options_of(command: click.Command) -> set[str]:
    return {name for option in command.params for name in option.opts if name.startswith("--")}


def sub_commands_of(command: click.Command) -> Mapping[str, click.Command]:
    """The commands of a group by their names; of any other command, itself, without a name."""
    return command.commands if isinstance(command, click.Group) else {"": command}


def documented_options(text: str, sub_command: str) -> set[str]:
    """The options that a section defines for a sub-command: those that name it, or none."""
    terms = re.findall(r"^``(--[a-z-]+)[^`]*``(?: \((.*)\))?$", text, re.MULTILINE)
    return {option for option, of in terms if not of or f"``{sub_command}``" in of}


def test_each_command_is_documented_and_no_other() -> None:
    titles = re.findall(r"^datanommer-(.*)\n-+$", text_of("docs", "commands.rst"), re.MULTILINE)
    assert sorted(titles) == sorted(COMMANDS)


def test_the_readme_of_the_commands_names_all_of_them() -> None:
    named = re.findall(r"``datanommer-([^`]+)``", text_of("datanommer.commands", "README.rst"))
    assert sorted(named) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    text = section_of(name)
    for sub_command, command in sub_commands_of(command_of(name)).items():
        assert documented_options(text, sub_command) == options_of(command) - COMMON, sub_command


@pytest.mark.parametrize("name", COMMANDS)
def test_each_sub_command_is_documented_with_its_arguments_and_no_other(name: str) -> None:
    documented = set(re.findall(r"^``([a-z][^`]*)``$", section_of(name), re.MULTILINE))
    assert documented == {
        " ".join([sub_command, *(each.metavar for each in arguments_of(command) if each.metavar)])
        for sub_command, command in sub_commands_of(command_of(name)).items()
        if sub_command
    }


def arguments_of(command: click.Command) -> list[click.Argument]:
    return [each for each in command.params if isinstance(each, click.Argument)]


def test_the_options_that_all_commands_have_are_documented() -> None:
    documented = set(
        re.findall(r"^``(--[a-z-]+)", section("commands.rst", "The commands"), re.MULTILINE)
    )
    assert documented == COMMON


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_and_option_has_help(name: str) -> None:
    assert command_of(name).help
    for sub_command, command in sub_commands_of(command_of(name)).items():
        assert command.help, sub_command
        for option in command.params:
            assert isinstance(option, click.Argument) or option.help, (sub_command, option.name)


def test_each_key_of_the_configuration_is_documented_and_in_the_example() -> None:
    code = "".join(
        file.read_text(encoding="utf-8")
        for package in ("models", "consumer", "commands")
        for file in (ROOT / f"datanommer.{package}" / "datanommer").rglob("*.py")
    )
    used = set(re.findall(r"""["'](datanommer\.(?:[a-z_.]+))["']""", code))
    keys = {key for key in used if not key.startswith(("datanommer.models", "datanommer.commands"))}
    assert {"datanommer.enabled", "datanommer.topic", URL_KEY} <= keys
    documented = set(
        re.findall(
            r"^``(datanommer\.[a-z_.]+)``",
            section("configuration.rst", "The configuration"),
            re.MULTILINE,
        )
    )
    assert documented == keys
    for key in keys:
        assert f'"{key}"' in EXAMPLE


def test_the_environment_variables_are_documented() -> None:
    assert URL_VARIABLE in section("configuration.rst", "Where the database is")
    assert READ_URL_VARIABLE in section("configuration.rst", "A replica")


def test_the_exit_codes_are_documented_as_in_the_manual_pages() -> None:
    terms = re.findall(
        r"^``(\d+)``\n((?: +.*\n)+)", section("commands.rst", "The commands"), re.MULTILINE
    )
    documented = {
        int(code): re.sub(r"`+([^`<]*?)(?: <.*?>`_|`+)", r"\1", text) for code, text in terms
    }
    assert {code: " ".join(text.split()) for code, text in documented.items()} == MEANINGS
    assert {UnusableURL.exit_code, DatabaseUnavailable.exit_code} <= MEANINGS.keys()


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    for linked, anchor in links(page):
        assert linked.is_file(), linked
        assert not anchor or anchor in anchors(linked), (linked, anchor)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_each_path_that_a_page_names_is_there(page: Path) -> None:
    for path in re.findall(r"``([\w.-]+/[\w./@-]*)``", page.read_text(encoding="utf-8")):
        # Admins find that one below the prefix.
        is_installed = path.startswith("share/datanommer.models")
        assert is_installed or any((start / path).exists() for start in STARTS), path


def test_the_rooms_that_contributors_hear_of_are_those_of_the_models() -> None:
    named = re.findall(r"^``([a-z_]+)`` {2,}\S", text_of("CONTRIBUTING.rst"), re.MULTILINE)
    assert sorted(named) == sorted(each.parent.name for each in MODELS.glob("*/__init__.py"))


def test_the_readme_leads_to_each_page() -> None:
    linked = {path.resolve() for path, _ in links(ROOT / "README.rst")}
    assert {*DOCS.glob("*.rst")} <= linked


def test_what_is_linted_before_a_commit_is_what_the_suite_lints() -> None:
    suite = text_of("runtests.sh")
    packages = re.search(r"^PACKAGES=\((.*)\)$", suite, re.MULTILINE)
    assert packages
    checks = re.findall(r'^    start_check "[^"]*" ((?:.*\\\n)*.*)$', suite, re.MULTILINE)
    typed = {
        " ".join(check.replace("\\\n", " ").replace('"', "").split())
        .replace("$VENV", ".venv-tests")
        .replace("${PACKAGES[@]}", packages[1])
        for check in checks
    }
    hooks = re.findall(
        r"^ +entry: \.venv-tests/bin/(.*)$", text_of(".pre-commit-config.yaml"), re.MULTILINE
    )
    # A test of the suite runs shellcheck.
    assert set(hooks) == {*typed, "shellcheck --norc"}
