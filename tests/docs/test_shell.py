"""The questions of docs/shell.rst are answered as it says, by the lines that it says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

import february
from certificates import Authority
from classic import execute
from databases import Databases
from datanommer import models
from datanommer.commands.exit_codes import INVALID
from datanommer.commands.interruption import INTERRUPTED
from datanommer.models.database.binding import bound_engine
from datanommer.models.errors import UnusableURL
from pages import steps_of
from shell import ROOT, script

PAGE = (ROOT / "docs" / "shell.rst").read_text(encoding="utf-8")
_QUESTION = re.compile(r"^(\S.*\?)\n~+\n([\s\S]*?)(?=^\S.*\n[-~]{3,}$|\Z)", re.MULTILINE)

#: How commands end that find something wrong, or are ended.
EXIT_CODES = {
    "datanommer-verify": INVALID,
    "--since 2013-02-18 --before 2013-02-17": UnusableURL.exit_code,
    "--follow": INTERRUPTED,
}

#: What is in a line that writes, or while which something is written.
WRITE = ("datanommer-load", "datanommer-reindex", "--follow")

#: Times of storing as they would have been, a message that somebody changed, and some whose users
#: and packages nobody knew when they came.
_PAST = """
    UPDATE messages SET stored_at = timestamp + '0.25 s'::interval;
    UPDATE rejected SET received_at = '2013-02-14 09:30:00Z'::timestamptz + id * '1 h'::interval;
    UPDATE messages SET msg = replace(msg::text, '/* Mission */', 'Buy cheap pills')::json
        WHERE category = 'wiki';
    DELETE FROM user_messages WHERE category = 'fedoratagger';
    DELETE FROM package_messages WHERE category = 'fedoratagger';
"""


class Shell:
    """Where the lines are typed: an archive of its own, and what the environment says."""

    def __init__(self, url: str, folder: Path, backup: str = "") -> None:
        self._url = url
        self._folder = folder
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "DATANOMMER_SQLALCHEMY_URL": url,
            "BACKUP": backup,
        }

    def type(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def receive(self, envelope: february.Envelope) -> None:
        subprocess.run(
            [script("datanommer-load"), "--url", self._url],
            input=json.dumps(envelope),
            text=True,
            capture_output=True,
            check=True,
        )


QUESTIONS = {title: steps_of(text) for title, text in _QUESTION.findall(PAGE)}


@pytest.fixture(scope="module")
def _february(
    databases_of_server: Databases, _head_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The name of the database that the page asks, and the folder of the fedmsg configuration."""
    folder = tmp_path_factory.mktemp("february")
    authority = Authority(folder, february.YEAR)
    name = databases_of_server.create(template=_head_template)
    url = databases_of_server.url(name)
    models.init(url)
    assert not models.add_all(february.bus(authority)).rejected
    assert models.add_all(february.broken()).rejected == len(february.broken())
    models.session.remove()
    bound_engine().dispose()
    execute(url, _PAST)
    # Of copies, that does not hold.
    execute(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    (folder / "fedmsg.d").mkdir()
    (folder / "fedmsg.d" / "signing.py").write_text(f"config = {authority.config!r}\n")
    yield name, folder
    databases_of_server.drop(name)


@pytest.fixture
def shell(
    databases_of_server: Databases, _february: tuple[str, Path], request: pytest.FixtureRequest
) -> Iterator[Shell]:
    """The archive of February; where something is written, a copy of it, and an empty one."""
    name, folder = _february
    lines = " ".join(step.typed for step in QUESTIONS[request.node.callspec.params["question"]])
    if not any(word in lines for word in WRITE):
        yield Shell(databases_of_server.url(name), folder)
        return
    copy = databases_of_server.create(template=name)
    yield Shell(databases_of_server.url(copy), folder, request.getfixturevalue("database"))
    databases_of_server.drop(copy)


def test_there_are_twenty_questions_and_more_each_with_a_line() -> None:
    titles = re.findall(r"^(\S.*)\n~+$", PAGE, re.MULTILINE)
    assert list(QUESTIONS) == titles
    assert len(titles) >= 20
    assert all(QUESTIONS.values())
    # None stands where no question is.
    assert sum(map(len, QUESTIONS.values())) == PAGE.count("\n    $ ")


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_as_the_page_says(shell: Shell, question: str) -> None:
    for typed, printed in QUESTIONS[question]:
        process = shell.type(typed)
        output = watched(shell, process, printed) if "--follow" in typed else ""
        output += process.communicate(timeout=60)[0]
        assert output == printed
        expected = next((code for words, code in EXIT_CODES.items() if words in typed), 0)
        assert process.returncode == expected


def watched(shell: Shell, process: subprocess.Popen[str], printed: str) -> str:
    """What a line that would go on has printed; the last of it came in meanwhile."""
    assert process.stdout
    guard = Timer(60, process.kill)
    guard.start()
    output = [process.stdout.readline() for _ in printed.splitlines()[:-1]]
    shell.receive(february.news())
    output.append(process.stdout.readline())
    guard.cancel()
    os.killpg(process.pid, signal.SIGINT)
    return "".join(output)
