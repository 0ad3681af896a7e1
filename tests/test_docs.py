"""The documentation and the code agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from datanommer.commands.cli import main
from datanommer.commands.command_list import COMMANDS
from datanommer.models.configuration import URL_KEY, URL_VARIABLE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.rst").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "fedmsg.d" / "datanommer.py").read_text(encoding="utf-8")
COMMON = {"--url", "--config-filename", "--version", "--help"}


def section(title: str) -> str:
    """The text under a heading of the README, up to the next heading."""
    found = re.search(
        rf"^{re.escape(title)}\n([~-])\1+\n(.*?)(?=^[^\n]+\n[~=-]{{3,}}$|\Z)",
        README,
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"README.rst has no section {title}"
    return found[2]


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


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    text = section(f"datanommer-{name}")
    for sub_command, command in sub_commands_of(command_of(name)).items():
        assert documented_options(text, sub_command) == options_of(command) - COMMON, sub_command


@pytest.mark.parametrize("name", COMMANDS)
def test_each_sub_command_is_documented_with_its_arguments_and_no_other(name: str) -> None:
    documented = set(re.findall(r"^``([a-z][^`]*)``$", section(f"datanommer-{name}"), re.MULTILINE))
    assert documented == {
        " ".join([sub_command, *(each.metavar for each in arguments_of(command) if each.metavar)])
        for sub_command, command in sub_commands_of(command_of(name)).items()
        if sub_command
    }


def arguments_of(command: click.Command) -> list[click.Argument]:
    return [each for each in command.params if isinstance(each, click.Argument)]


def test_the_options_that_all_commands_have_are_documented() -> None:
    documented = set(
        re.findall(r"^``(--[a-z-]+)", section("The person at the shell"), re.MULTILINE)
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
        re.findall(r"^``(datanommer\.[a-z_.]+)``", section("The configuration"), re.MULTILINE)
    )
    assert documented == keys
    for key in keys:
        assert f'"{key}"' in EXAMPLE


def test_the_environment_variable_is_documented() -> None:
    assert URL_VARIABLE in section("Where the database is")


def test_the_exit_codes_are_documented() -> None:
    shell = " ".join(section("The person at the shell").split())
    for code in ("0 done", "1 failed", "2 a wrong option", "69 no", "74 the output", "130 inter"):
        assert code in shell
