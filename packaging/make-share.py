#!/usr/bin/env python3
"""usage: packaging/make-share.py [FOLDER]

Writes what the package of the commands has below share/ anew: the manual pages, and the completion
of the shells. Run it after a change of the commands, with a Python that has what they need. What it
writes is kept in git, and a test holds it equal to the commands. A build could not make it: that
would need the commands with all that they import, and the datanommer.models of pip's index is other
people's.
"""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARE = ROOT / "datanommer.commands" / "share"
VERSION = runpy.run_path(str(ROOT / "distribution.py"))["VERSION"]

# The commands of this checkout, and not those that are installed.
sys.path[1:1] = [str(ROOT / "datanommer.commands"), str(ROOT / "datanommer.models")]

import man_pages  # noqa: E402

from datanommer.commands.command_list import COMMANDS  # noqa: E402
from datanommer.commands.shells import SCRIPTS  # noqa: E402


def write_completions(share: Path) -> None:
    """Write the scripts where the shells look for them, by the names of commands."""
    # zsh reads the names in its first line; the others look for a file of the command's name.
    write(share / "zsh" / "site-functions" / "_datanommer", SCRIPTS["zsh"])
    for shell, folder, suffix in (
        ("bash", share / "bash-completion" / "completions", ""),
        ("fish", share / "fish" / "vendor_completions.d", ".fish"),
    ):
        write(folder / f"datanommer{suffix}", SCRIPTS[shell])
        for name in COMMANDS:
            (folder / f"datanommer-{name}{suffix}").symlink_to(f"datanommer{suffix}")


def write_man_pages(share: Path) -> None:
    for name, page in man_pages.pages(VERSION):
        write(share / "man" / "man1" / f"{name}.1", page)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARE
    shutil.rmtree(target, ignore_errors=True)
    write_completions(target)
    write_man_pages(target)
