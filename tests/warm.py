"""Console scripts in processes of a server that has imported what they need.

Nine tenths of the time of such a run are Python's start and imports, and the tests run a thousand.
Here each is still a process of its own, with arguments, an environment, pipes and an exit code. But
what only a real start shows, such as a missing import, it does not show. So CI starts each anew.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pkgutil
import runpy
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

#: Whether scripts are run so: where pytest-xdist runs the tests, and nobody wants to see the start.
IN_USE = "PYTEST_XDIST_WORKER" in os.environ and not (
    {"COVERAGE_PROCESS_START", "REQUIRE_SERVICES"} & os.environ.keys()
)

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        module.name
        for package in (datanommer.models, datanommer.commands)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if ".alembic" not in module.name
    ]
)


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    """What Python reads of an environment at its start."""
    return {key: value for key, value in environment.items() if key.startswith(("PYTHON", "L"))}


_AT_START = _of_python(os.environ)


def can_run(script: str, options: Mapping[str, Any]) -> bool:
    """Whether it is in Python, with options that `run` takes, and would start as the server did."""
    with Path(script).open("rb") as file:
        first_line = file.readline()
    return (
        first_line.startswith(b"#!")
        and b"python" in first_line
        and options.keys() <= {"cwd", "env", "input", "timeout"}
        and _of_python(options.get("env", os.environ)) == _AT_START
    )


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
    words = [os.fsdecode(word) for word in (script, *arguments)]
    stdin, to_stdin = _CONTEXT.Pipe(duplex=False)
    from_stdout, stdout = _CONTEXT.Pipe(duplex=False)
    from_stderr, stderr = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(
        target=_become, args=(words, dict(env), str(Path(cwd).absolute()), stdin, stdout, stderr)
    )
    process.start()
    for end in (stdin, stdout, stderr):
        end.close()
    with ThreadPoolExecutor(3) as threads:
        threads.submit(_write, to_stdin, input.encode())
        printed = [threads.submit(_read, end) for end in (from_stdout, from_stderr)]
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, timeout)
        return subprocess.CompletedProcess(
            words, process.exitcode, *(future.result() for future in printed)
        )


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
    sys.path[0] = str(Path(words[0]).parent)
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()


def _stream(
    descriptor: int, mode: str, name: str, buffering: int = -1, errors: str = "strict"
) -> Any:
    """A standard stream as Python opens it at its start."""
    stream: Any = open(  # noqa: SIM115  it stays open
        descriptor, mode, buffering, errors=errors, closefd=False
    )
    stream.buffer.raw.name = name
    return stream
