"""Each command shows two examples in its help, and they work as they are typed."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from certificates import Authority
from classic import execute
from datanommer.commands.cli import main
from datanommer.commands.command import Command
from datanommer.commands.command_list import COMMANDS
from datanommer.commands.embedded import NOT_RUNNING
from datanommer.commands.exit_codes import INVALID
from datanommer.models import add, add_all, embedded
from datanommer.models.spooling.spool import Spool
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, received
from shell import Run
from syncs import Script, moment

#: What the examples find that is not well here, and how the command says so.
EXIT_CODES = {
    "datanommer-embedded status": NOT_RUNNING,
    "--all-signed": INVALID,
    "datanommer-status --check": 1,  # the certificate expires tomorrow
    "datanommer-spool check --spool-dir": INVALID,
}


def commands() -> Iterator[tuple[str, Command]]:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        if isinstance(command, click.Group):
            for sub_name, sub_command in command.commands.items():
                assert isinstance(sub_command, Command)
                yield f"datanommer-{name} {sub_name}", sub_command
        else:
            assert isinstance(command, Command)
            yield f"datanommer-{name}", command


EXAMPLES = [example for _, command in commands() for example in command.examples]


@pytest.mark.parametrize(("name", "command"), commands())
def test_the_help_has_two_examples(run: Run, name: str, command: Command) -> None:
    assert len(command.examples) == 2
    assert all(name in example for example in command.examples)
    shown = run(*name.split(), "--help").stdout
    assert shown.endswith("Examples:\n" + "".join(f"  {each}\n" for each in command.examples))


@pytest.fixture
def folder(bound: str, tmp_path: Path, run: Run) -> Iterator[Path]:
    """A folder with the files that the examples name; the archive has what they ask for."""
    add(envelope(BODHI_TOPIC, msg=BODHI_MSG, msg_id="2013-6f4dfec9-80d7-49e6-80e0-f2357b63422c"))
    add_all(Script("42", moment(2021, 7, 20)).say("start").sent)
    add({"topic": "org.example.dev.demo.hello", "body": "no message"})
    execute(bound, "UPDATE rejected SET id = 678")
    dump = run("datanommer-dump", "--url", bound).stdout
    for name in ("datanommer-dump.json", "messages.json"):
        (tmp_path / name).write_text(dump)
    table = run("datanommer-dump", "--url", bound, "--format", "csv").stdout
    for name, text in (("2013-02.json.gz", dump), ("2013-03.csv.gz", table)):
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    run("datanommer-export", "--url", bound, str(tmp_path / "datanommer-parquet"))
    (tmp_path / "fedmsg.d").mkdir()
    config = Authority(tmp_path).config
    (tmp_path / "fedmsg.d" / "test.py").write_text(f"config = {config!r}\n")
    spool = Spool(tmp_path / "spool")
    spool.put([received(envelope())])
    [segment] = spool.folder.glob("*.spool")
    for copy in (tmp_path / segment.name, spool.folder / f"{segment.name}.damaged"):
        copy.write_bytes(segment.read_bytes())
    yield tmp_path
    for server in (tmp_path / "archive", tmp_path / "home" / ".local" / "share" / "datanommer"):
        embedded.stop(server)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_works_as_it_is_typed(bound: str, folder: Path, example: str) -> None:
    typed = example.replace("/srv/archive", f"{folder}/archive")
    typed = typed.replace("/var/spool/datanommer", f"{folder}/spool")
    typed = typed.replace("/mnt/spool", str(folder))
    home = folder / "home"
    home.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", typed],
        cwd=folder,
        env={"PATH": path, "HOME": str(home), "DATANOMMER_SQLALCHEMY_URL": bound},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = next((code for words, code in EXIT_CODES.items() if words in example), 0)
    assert result.returncode == expected, result.stderr
