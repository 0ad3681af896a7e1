"""Console scripts in processes of a server that has imported what they need.

Nine tenths of the time of such a run are Python's start and imports, and the tests run a thousand,
besides hundreds of hubs. Here each is still a process of its own, with arguments, an environment,
pipes and an exit code. But what only a real start shows, such as a missing import, it does not
show. So CI starts each anew.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import datanommer.commands
import datanommer.models

# Scripts are run so where pytest-xdist runs the tests, and nobody wants to see the start.
_IN_USE = "PYTEST_XDIST_WORKER" in os.environ and not (
    {"COVERAGE_PROCESS_START", "REQUIRE_SERVICES"} & os.environ.keys()
)

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        *(
            module.name
            for package in (datanommer.models, datanommer.commands)
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
            if ".alembic" not in module.name
        ),
        *("alembic.config", "logging.config", "mako.template"),
        # Of a hub, not what imports Twisted's reactor, whose files no two processes may share.
        *("fedmsg.commands.hub", "moksha.common.lib.helpers", "pkg_resources", "setuptools"),
        *("twisted.internet.epollreactor", "twisted.web.http", "zmq"),
    ]
)

_TESTS = Path(__file__).parent


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    """What Python reads of an environment at its start, but for folders of the tests.

    Consumers of the tests are there. They hide no module that the server has imported.
    """
    return {
        key: value
        for key, value in environment.items()
        if key.startswith(("PYTHON", "L"))
        and not (key == "PYTHONPATH" and Path(value).is_relative_to(_TESTS))
    }


_AT_START = _of_python(os.environ)


def can_run(script: str, options: Mapping[str, Any]) -> bool:
    """Whether a script is to be run so: one in Python that would start as the server did.

    Args:
        script: its path.
        options: what `subprocess.run` would get; only those that `run` takes will do.
    """
    if not _IN_USE:
        return False
    with Path(script).open("rb") as file:
        first_line = file.readline()
    return (
        first_line.startswith(b"#!")
        and b"python" in first_line
        and options.keys() <= {"cwd", "env", "input", "timeout"}
        and _of_python(options.get("env", os.environ)) == _AT_START
    )


class Process:
    """A console script that runs; what it has of `subprocess.Popen` does the same."""

    def __init__(
        self,
        script: str,
        *arguments: str,
        cwd: str | Path = ".",
        env: Mapping[str, str] = os.environ,
        pipes: tuple[Connection, Connection, Connection],
    ) -> None:
        """Start it.

        Args:
            pipes: its standard input, output and error, which are closed here.
        """
        self.args = [os.fsdecode(word) for word in (script, *arguments)]
        self._process = _CONTEXT.Process(
            target=_become, args=(self.args, dict(env), str(Path(cwd).absolute()), *pipes)
        )
        self._process.start()
        for pipe in pipes:
            pipe.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            # It may have ended since.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    script: str,
    *arguments: str,
    cwd: str | Path = ".",
    env: Mapping[str, str] = os.environ,
    input: str = "",  # noqa: A002  as subprocess.run calls it
    timeout: float,
) -> subprocess.CompletedProcess[str]:
    """Run a console script, as `subprocess.run` does; without input, it has none.

    Raises:
        subprocess.TimeoutExpired: it takes longer than so many seconds.
    """
    stdin, to_stdin = _CONTEXT.Pipe(duplex=False)
    from_stdout, stdout = _CONTEXT.Pipe(duplex=False)
    from_stderr, stderr = _CONTEXT.Pipe(duplex=False)
    process = Process(script, *arguments, cwd=cwd, env=env, pipes=(stdin, stdout, stderr))
    with ThreadPoolExecutor(3) as threads:
        threads.submit(_write, to_stdin, input.encode())
        printed = [threads.submit(_read, end) for end in (from_stdout, from_stderr)]
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(
            process.args, code, *(future.result() for future in printed)
        )


def start(
    script: str, *arguments: str, cwd: str | Path, env: Mapping[str, str], log: Path
) -> Process:
    """Start a console script that has no input, and whose output and errors a file gets."""
    stdin = Connection(os.open(os.devnull, os.O_RDONLY), writable=False)
    stdout, stderr = (
        Connection(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), readable=False)
        for _ in range(2)
    )
    return Process(script, *arguments, cwd=cwd, env=env, pipes=(stdin, stdout, stderr))


def _write(end: Connection, data: bytes) -> None:
    # It may have ended without reading all.
    with end, contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(end.fileno(), data) :]


def _read(end: Connection) -> str:
    with end, open(end.fileno(), closefd=False) as stream:
        return stream.read()


def _become(words: list[str], environment: dict[str, str], folder: str, *pipes: Connection) -> None:
    """Be the console script from here on, in a process of the server."""
    for descriptor, pipe in enumerate(pipes):
        os.dup2(pipe.fileno(), descriptor)
        pipe.close()
    sys.stdin = _stream(0, "r", "<stdin>")
    sys.stdout = _stream(1, "w", "<stdout>")
    sys.stderr = _stream(2, "w", "<stderr>", 1, "backslashreplace")
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.argv = words
    sys.path[:1] = [str(Path(words[0]).parent), *filter(None, [environment.get("PYTHONPATH")])]
    # What ps calls it; fedmsg names a folder so.
    Path("/proc/self/comm").write_text(Path(words[0]).name[:15])
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()
        # alembic.config writes to the stdout that it was imported with: that of the server.
        if sys.__stdout__:
            sys.__stdout__.flush()


def _stream(
    descriptor: int, mode: str, name: str, buffering: int = -1, errors: str = "strict"
) -> Any:
    """A standard stream as Python opens it at its start."""
    stream: Any = open(  # noqa: SIM115  it stays open
        descriptor, mode, buffering, errors=errors, closefd=False
    )
    stream.buffer.raw.name = name
    return stream
