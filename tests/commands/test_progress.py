"""What takes longer than two seconds says on a terminal how far it is, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess

import psycopg2
import pytest

from datanommer.models import add
from envelopes import envelope
from shell import script


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["grep", "--count", "--contains", "x"], "counting, 2 s"),
        (["grep", "--count", "--field", "a=1"], "0 found, 2 s"),
        (["latest"], "waiting for the database, 2 s"),
        (["grep"], "0 lines, 2 s"),
        (["dump"], "0 MB, 2 s"),
        (["dump", "--format", "csv"], "1 lines, 2 s"),
        (["report", "-"], "counting, 2 s"),
    ],
)
def test_a_terminal_shows_how_far_it_is(bound: str, words: list[str], shown: str) -> None:
    add(envelope(msg={"a": 1, "b": "x"}))
    with psycopg2.connect(bound) as other:
        other.cursor().execute("LOCK TABLE messages")
        leader, follower = pty.openpty()
        command = [script("datanommer"), *words, "--url", bound]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower) as process:
            os.close(follower)
            said = os.read(leader, 1000).decode()
            other.rollback()
            assert process.stdout
            output = process.stdout.read()
        assert said == f"\r\x1b[K{shown}"
        assert b"x" in output or output == b"1\n"
    said = os.read(leader, 1000).decode()
    assert said.endswith("\r\x1b[K")
    os.close(leader)


def test_nothing_is_said_elsewhere(bound: str) -> None:
    with psycopg2.connect(bound) as other:
        other.cursor().execute("LOCK TABLE messages")
        command = [script("datanommer-grep"), "--url", bound]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)
            other.rollback()
            assert process.stderr
            assert process.stderr.read() == ""
