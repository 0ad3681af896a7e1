"""Commands that are interrupted, or whose reader goes away, end at once and say nothing of it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from certificates import Authority
from classic import execute
from datanommer.models import add, add_all
from datanommer.models.database.binding import bound_engine
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received
from shell import into_head, script

# Seconds. A command that is not interrupted would wait for a lock for 30.
AT_ONCE = 5
_LOCKED = (
    "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE NOT granted AND datname = current_database()"
)
_WRITING = (
    "SELECT 1 FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event = 'ClientWrite'"
)
_OURS = (
    "SELECT 1 FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'datanommer'"
)


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The configuration of a bus, whose authority lies on this machine."""
    authority = Authority(tmp_path_factory.mktemp("pki"))
    file = authority.folder / "fedmsg.py"
    file.write_text(f"config = {authority.config!r}\n")
    return str(file)


@contextmanager
def started(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A console script that runs."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {**streams, "text": True, **options}
    with subprocess.Popen([script(command[0]), *command[1:]], **options) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """What comes of a process that gets a Ctrl-C: its exit code, and what it has said."""
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=AT_ONCE)
    return process.returncode, stdout, stderr


def wait_until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not in 30 s"
        time.sleep(0.02)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Let everything wait that reads or writes messages and rejects."""
    connection = psycopg2.connect(url)
    try:
        connection.cursor().execute("LOCK TABLE messages, rejected, topics, sync_events")
        yield
    finally:
        connection.close()


def is_waiting(url: str) -> bool:
    return bool(execute(url, _LOCKED))


def has_session(url: str) -> bool:
    """Whether a command is connected."""
    bound_engine().dispose()
    return bool(execute(url, _OURS))


class TestStartUp:
    @pytest.mark.parametrize("command", [["datanommer-dump"], ["datanommer", "stats"]])
    def test_an_interrupt_at_any_moment_leaves_no_traceback(
        self, archive: str, command: list[str]
    ) -> None:
        # It says on standard error what it has imported, so that we know when our code begins.
        environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
        for milliseconds in range(0, 500, 25):
            with started(*command, "--url", archive, env=environment) as process:
                assert process.stderr is not None
                while "datanommer.commands.script" not in process.stderr.readline():
                    assert process.poll() is None
                process.stderr.readline()
                time.sleep(milliseconds / 1000)
                code, _, told = interrupted(process)
            assert code in {130, 0, -signal.SIGINT}, told
            assert not [line for line in told.splitlines() if "import" not in line], milliseconds

    def test_an_interrupt_is_ignored_where_the_shell_lets_it_be(self, archive: str) -> None:
        def ignore() -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        with started(
            "datanommer-load", "--url", archive, stdin=subprocess.PIPE, preexec_fn=ignore
        ) as process:
            wait_until(lambda: has_session(archive), "connected")
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(json.dumps(envelope()), timeout=30)
        assert (process.returncode, stderr) == (0, "")
        assert stdout == "stored 1, duplicates 0, rejected 0\n"

    def test_who_imports_the_commands_keeps_their_signals(self) -> None:
        code = (
            "import signal\n"
            "from datanommer.commands import cli, dump, interruption, reindex, script\n"
            "script.dump, script.cli\n"
            "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
            "assert signal.set_wakeup_fd(-1) == -1\n"
            "interruption.hear_sigterm()\n"
            "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestWaiting:
    def test_for_a_server_that_does_not_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d"
            with started("datanommer-stats", "--url", url) as process:
                connection, _ = silent.accept()
                with connection:
                    assert interrupted(process) == (130, "", "")

    @pytest.mark.parametrize(
        "command",
        [
            *("dump", "latest", "reindex", "rejected export", "rejected list"),
            *("runs", "stats", "validate", "verify"),
        ],
    )
    def test_for_a_statement_which_is_cancelled(
        self, archive: str, configuration: str, command: str
    ) -> None:
        add(envelope())
        arguments = [*command.split(), "--url", archive, "--config-filename", configuration]
        with locked(archive), started("datanommer", *arguments) as process:
            wait_until(lambda: is_waiting(archive), "a statement that waits")
            code, stdout, stderr = interrupted(process)
            wait_until(lambda: not has_session(archive), "no session left")
        assert (code, stdout.strip("[\n"), stderr) == (130, "", "")

    def test_for_somebody_who_reads(self, archive: str) -> None:
        add_all([envelope(msg="x" * 100_000) for _ in range(300)])
        with started("datanommer-dump", "--url", archive) as process:
            wait_until(lambda: execute(archive, _WRITING), "a full pipe")
            code, _, stderr = interrupted(process)
            wait_until(lambda: not has_session(archive), "no session left")
        assert (code, stderr) == (130, "")


class TestLastWords:
    def test_a_load_keeps_what_is_stored_and_counts_it(self, archive: str) -> None:
        with started("datanommer-load", "--url", archive, stdin=subprocess.PIPE) as process:
            self.hand_over(process, archive)
            answer = interrupted(process)
        [(stored,)] = execute(archive, "SELECT count(*) FROM messages")
        assert answer == (130, f"stored {stored}, duplicates 0, rejected 0\n", "")
        # The test closes the pipe: what is left may just be stored before the end, or not.
        assert stored in {2000, 3000}

    def hand_over(self, process: subprocess.Popen[str], url: str) -> None:
        """Let a load store a batch of 2,000, and wait for more than the 1,000 that come next."""
        assert process.stdin is not None
        process.stdin.write("\n".join(json.dumps(envelope()) for _ in range(3000)))
        process.stdin.flush()
        wait_until(lambda: execute(url, "SELECT id FROM messages LIMIT 1"), "a batch")

    def test_a_load_that_is_storing(self, archive: str, tmp_path: Path) -> None:
        file = tmp_path / "messages.json"
        file.write_text("\n".join(json.dumps(envelope()) for _ in range(100)))
        answer = self.waiting(archive, "datanommer-load", str(file))
        assert answer == (130, "stored 0, duplicates 0, rejected 0\n", "")
        assert execute(archive, "SELECT count(*) FROM messages") == [(0,)]

    def test_a_load_shows_the_cursor_of_the_terminal_again(
        self, archive: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "messages.json"
        file.write_text("\n".join(json.dumps(envelope()) for _ in range(5000)))
        terminal, stderr = os.openpty()
        self.waiting(archive, "datanommer-load", str(file), stderr=stderr)
        os.close(stderr)
        shown = os.read(terminal, 10_000)
        os.close(terminal)
        assert b"\x1b[?25l" in shown
        assert shown.endswith(b"\x1b[?25h\r\n")

    def test_a_retry(self, archive: str) -> None:
        add(envelope(i=2**63))
        answer = self.waiting(archive, "datanommer-rejected", "retry", "--kind", "invalid")
        assert answer == (130, "stored 0, duplicates 0, still rejected 0\n", "")
        assert execute(archive, "SELECT count(*) FROM rejected") == [(1,)]

    def test_a_spool_that_is_drained(self, archive: str, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", min_free_bytes=0)
        spool.put([received(envelope())])
        folder = ["--spool-dir", str(spool.folder)]
        answer = self.waiting(archive, "datanommer-spool", "drain", *folder)
        assert answer == (130, "stored 0, duplicates 0, rejected 0\n", "")
        assert spool.waiting()[0] == 1

    def waiting(self, url: str, *command: str, **options: Any) -> tuple[int, str, str]:
        """What comes of a command that is interrupted while it waits to write."""
        with started(*command, "--url", url, **options) as process:
            connection = psycopg2.connect(url)
            try:
                connection.cursor().execute("LOCK TABLE messages, rejected IN SHARE MODE")
                wait_until(lambda: is_waiting(url), "a statement that waits")
                answer = interrupted(process)
                wait_until(lambda: not has_session(url), "no session left")
            finally:
                connection.close()
        return answer

    def test_a_second_interrupt_does_not_wait_for_them(self, archive: str) -> None:
        reading, writing = os.pipe()
        # Nobody reads, and no byte more fits.
        os.write(writing, b"x" * fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ))
        with started(
            "datanommer-load", "--url", archive, stdin=subprocess.PIPE, stdout=writing
        ) as process:
            self.hand_over(process, archive)
            process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            code, _, stderr = interrupted(process)
        assert (code, stderr) == (130, "")
        os.close(reading)
        os.close(writing)


class TestReader:
    @pytest.mark.parametrize("command", ["dump", "verify"])
    def test_one_that_goes_away_ends_a_statement(
        self, archive: str, configuration: str, command: str
    ) -> None:
        reading, writing = os.pipe()
        add(envelope())
        arguments = [command, "--url", archive, "--config-filename", configuration]
        with locked(archive), started("datanommer", *arguments, stdout=writing) as process:
            os.close(writing)
            wait_until(lambda: is_waiting(archive), "a statement that waits")
            os.close(reading)
            _, stderr = process.communicate(timeout=AT_ONCE)
            wait_until(lambda: not has_session(archive), "no session left")
        assert (process.returncode, stderr) == (0, "")

    @pytest.mark.parametrize(
        "command", ["latest", "rejected export", "rejected list", "runs", "stats", "verify"]
    )
    def test_of_many_lines_needs_one(self, archive: str, configuration: str, command: str) -> None:
        signed = {"certificate": "none", "signature": "none"}
        add_all([envelope(f"org.example.dev.c{n}.x", **signed) for n in range(2000)])
        add_all([envelope(i=2**63) for _ in range(2000)])
        arguments = f"{command} --url '{archive}' --config-filename '{configuration}'"
        result = into_head(f"'{script('datanommer')}' {arguments}", timeout=30)
        assert (result.returncode, result.stderr) == (0, "")
