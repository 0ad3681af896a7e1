"""What the package of the commands has below share/: manual pages, and completion for shells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from datanommer.commands import grep
from datanommer.commands.command_list import COMMANDS
from shell import ROOT, script
from tab import tab

SHARE = ROOT / "datanommer.commands" / "share"
BASH = SHARE / "bash-completion" / "completions"
ZSH = SHARE / "zsh" / "site-functions"
MAN = SHARE / "man" / "man1"
FISH = SHARE / "fish" / "vendor_completions.d"
NAMES = ["datanommer", *(f"datanommer-{name}" for name in COMMANDS)]


def test_it_is_what_the_commands_make_of_it(tmp_path: Path) -> None:
    make = ROOT / "packaging" / "make-share.py"
    subprocess.run([sys.executable, str(make), str(tmp_path)], check=True)
    kept, made = (
        {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.is_file()}
        for folder in (SHARE, tmp_path)
    )
    assert kept == made, "Type packaging/make-share.py, and add what it writes to the commit."


def test_there_is_a_manual_page_for_each_command() -> None:
    assert sorted(path.stem for path in MAN.iterdir()) == sorted(NAMES)


def sections(page: str) -> dict[str, str]:
    """The sections of a manual page, as a terminal of 200 columns shows them."""
    found = subprocess.run(
        ["man", "--local-file", str(MAN / f"{page}.1")],
        env={**os.environ, "MANWIDTH": "200", "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    _, *parts = re.split(r"^(?=[A-Z])(.*)\n", re.sub(".\b", "", found.stdout), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=False))


@pytest.mark.needs_program("man")
class TestAManualPage:
    def test_says_all_that_the_help_says(self) -> None:
        page = sections("datanommer-grep")
        assert page["NAME"].split()[:3] == ["datanommer-grep", "-", "find"]
        assert page["SYNOPSIS"].strip() == "datanommer-grep [OPTIONS]"
        assert "A message must match all filters." in page["DESCRIPTION"]
        assert re.search(r"^ +-n, --limit N\n +Only the N newest\.", page["OPTIONS"], re.MULTILINE)
        assert re.search(r"^ +-h, --help\n", page["OPTIONS"], re.MULTILINE)
        assert page["EXAMPLES"].split("\n\n")[0].strip() == grep.main.examples[0]
        assert re.search(r"^ +65 +Something is invalid", page["EXIT STATUS"], re.MULTILINE)
        assert {"DATANOMMER_SQLALCHEMY_URL", "NO_COLOR"} <= set(page["ENVIRONMENT"].split())
        assert "datanommer(1), datanommer-dump(1)" in page["SEE ALSO"]

    def test_of_a_group_has_its_commands(self) -> None:
        page = sections("datanommer-rejected")
        assert "datanommer-rejected retry [OPTIONS] [ID]...\n" in page["COMMANDS"]
        assert "Try to store rejects again" in page["COMMANDS"]
        assert "--all" in page["COMMANDS"]
        assert "--url" not in page["COMMANDS"]
        assert "--url" in page["OPTIONS"]
        assert "datanommer-rejected retry --all" in page["EXAMPLES"]

    def test_of_the_umbrella_leads_to_all_others(self) -> None:
        page = sections("datanommer")
        for name in COMMANDS:
            assert f"datanommer-{name}" in page["COMMANDS"].split()
            assert f"datanommer-{name}(1)" in page["SEE ALSO"]
            assert f"datanommer-{name}" in page["EXAMPLES"]


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            ["groff", "-man", "-ww", "-z"], marks=pytest.mark.needs_program("groff"), id="groff"
        ),
        pytest.param(
            ["mandoc", "-T", "lint", "-W", "warning"],
            marks=pytest.mark.needs_program("mandoc"),
            id="mandoc",
        ),
    ],
)
def test_nothing_is_wrong_with_the_manual_pages(check: list[str]) -> None:
    pages = sorted(map(str, MAN.iterdir()))
    result = subprocess.run([*check, *pages], capture_output=True, text=True, check=False)
    said = (result.stdout + result.stderr).splitlines()
    # A page is as old as the version of the package.
    assert [line for line in said if "missing date" not in line] == []


def test_bash_and_fish_find_a_file_by_the_name_of_each_command() -> None:
    assert sorted(path.name for path in BASH.iterdir()) == sorted(NAMES)
    assert sorted(path.stem for path in FISH.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", ["datanommer", "datanommer-grep"])
def test_bash_completes_with_the_file_that_it_finds(name: str) -> None:
    assert tab("bash", f"{name} --vers", setup=f". {BASH / name}") == ["--version"]


@pytest.mark.needs_program("zsh")
@pytest.mark.parametrize("name", ["datanommer", "datanommer-grep"])
def test_zsh_completes_with_the_file_that_it_finds(name: str) -> None:
    setup = f"fpath=({ZSH} $fpath); autoload -Uz compinit; compinit -u -D"
    assert tab("zsh", f"{name} --vers", setup=setup) == ["--version"]


@pytest.mark.needs_program("fish")
@pytest.mark.parametrize("name", ["datanommer", "datanommer-grep"])
def test_fish_completes_with_the_file_that_it_finds(name: str) -> None:
    setup = f"set --prepend fish_complete_path {FISH}"
    assert tab("fish", f"{name} --vers", setup=setup) == ["--version"]


def test_shellcheck_finds_nothing_in_the_script_of_bash() -> None:
    check = [script("shellcheck"), "--norc", "--shell=bash", str(BASH / "datanommer")]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
