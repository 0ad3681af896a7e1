"""The server's process: is it there, does it answer, start it, stop it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

from datanommer.models.embedded.account import Account
from datanommer.models.embedded.binaries import Binaries
from datanommer.models.embedded.cluster import PORT, ROLE, Cluster
from datanommer.models.errors import EmbeddedError

_PAUSE = 0.01  # seconds between two looks
_START_SECONDS = 300.0  # the recovery after a crash can take minutes
_STOP_SECONDS = 120.0  # the last checkpoint, too
_SOCKET_SECONDS = 3.0  # a server opens its socket at once, before any recovery

# Whatever PG* variables the caller has for other servers, this one is asked in the same way.
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 10,  # seconds
    "options": "",
    "sslmode": "disable",
    "gssencmode": "disable",
    "client_encoding": "UTF8",
}

# The shell leaves the server to init, which collects it when it ends, and says its number.
_DETACH = '"$@" >&2 & echo $!'


def connect(directory: Path, database: str) -> psycopg2.extensions.connection:
    """A connection, in autocommit mode.

    Raises:
        psycopg2.OperationalError: the server does not answer.
    """
    connection = psycopg2.connect(
        host=str(directory), port=PORT, user=ROLE, dbname=database, **_CONNECTION
    )
    connection.autocommit = True
    return connection


def answers(directory: Path | None, database: str = ROLE) -> bool:
    """Whether the server on the socket in `directory` answers ``SELECT 1``."""
    if directory is None:
        return False
    try:
        with contextlib.closing(connect(directory, database)) as connection:
            connection.cursor().execute("SELECT 1")
    except psycopg2.OperationalError as error:
        # It runs, and has as many clients as it takes.
        return any(text in str(error) for text in ("too many clients", "connection slots"))
    return True


def number(cluster: Cluster) -> int | None:
    """The number of the server's process, None where it does not run."""
    # The file outlives a server that was killed, and its number may be another process's by now.
    text = cluster.account().read(cluster.data / "postmaster.pid") or ""
    first = text.partition("\n")[0].strip()
    if not first.isdecimal() or not _is_alive(int(first)):
        return None
    return int(first) if _is_postmaster(int(first), cluster.data) else None


def ensure(cluster: Cluster, account: Account, binaries: Binaries) -> None:
    """Start the server where it does not run, and wait until it answers.

    Raises:
        EmbeddedError: it does not start, or not in time.
    """
    began = since = time.monotonic()
    launched: int | None = None
    while not answers(cluster.socket_directory):
        now = time.monotonic()
        running = number(cluster)
        if running is None and (launched is None or not _is_alive(launched)):
            if launched is not None:
                _judge_failure(cluster)
            launched, since = _launch(cluster, account, binaries), now
        elif running and now - since > _SOCKET_SECONDS and not _has_socket(cluster):
            # Somebody cleaned the folder of the socket: nobody reaches this server any more.
            stop(running, cluster.folder)
        if now - began > _START_SECONDS:
            raise EmbeddedError(
                f"The embedded PostgreSQL in {cluster.folder} runs and does not answer after "
                f"{_START_SECONDS:.0f} seconds; it may be recovering from a crash. "
                f"Look into {cluster.log}, and try again later."
            )
        time.sleep(_PAUSE)


def stop(pid: int, folder: Path) -> None:
    """Stop the server in PostgreSQL's fast mode, and wait until it is gone.

    Raises:
        EmbeddedError: it takes too long.
    """
    deadline = time.monotonic() + _STOP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    while _is_alive(pid):
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"The embedded PostgreSQL in {folder} was told to stop and has not after "
                f"{_STOP_SECONDS:.0f} seconds; it may be writing its last checkpoint. "
                "Look again with datanommer-embedded status."
            )
        time.sleep(_PAUSE)


def _launch(cluster: Cluster, account: Account, binaries: Binaries) -> int:
    directory = cluster.make_folders(account)
    # `number` has seen that they are nobody's; PostgreSQL itself stops at them where their
    # number is in use again.
    lock = directory / f".s.PGSQL.{PORT}.lock"
    account.run("rm", "-f", "--", cluster.data / "postmaster.pid", lock)
    command: list[str | Path] = [binaries.folder / "postgres", "-D", cluster.data]
    log = os.open(cluster.startup_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        done = subprocess.run(  # noqa: S603 - the shell reads the script of ours alone
            ["/bin/sh", "-c", _DETACH, "sh", *account.prefix, *command, *_settings(directory)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=True,
            # A Ctrl-C in the terminal of the caller is not for the server.
            start_new_session=True,
            **account.options(),
        )
    finally:
        os.close(log)
    return int(done.stdout)


def _settings(directory: Path) -> Iterator[str]:
    quoted = str(directory).replace('"', '""')
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{quoted}"',
        "unix_socket_permissions": "0777",  # the folder decides who comes in
        "port": str(PORT),
        "cluster_name": "datanommer",
        # The log: a file a day of the week, so never more than seven, without the statements,
        # which hold whole messages.
        "logging_collector": "on",
        "log_directory": "../log",
        "log_filename": "postgresql-%a.log",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "log_min_error_statement": "panic",
        # /dev/shm is small in containers, and systemd empties it when a user logs out.
        "dynamic_shared_memory_type": "mmap",
    }
    for name, value in settings.items():
        yield from ("-c", f"{name}={value}")


def _judge_failure(cluster: Cluster) -> None:
    """Raise what kept the server from starting, unless it passes by itself."""
    said = _last_words(cluster.startup_log)
    if "still in use" in said:
        # Sessions of a server that was killed may be busy yet. Nobody can hear them.
        for pid in _processes_in(cluster.data):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
        return
    if "redirecting log output" in said:
        logs = sorted(_files(cluster.log), key=lambda path: path.stat().st_mtime)
        said = _last_words(logs[-1], "FATAL:", "PANIC:") if logs else ""
    raise EmbeddedError(
        f"The embedded PostgreSQL in {cluster.folder} does not start: "
        f"{said or 'no reason can be read in its log, so it may have been killed'}. "
        f"More is in {cluster.startup_log} and {cluster.log}."
    )


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _last_words(path: Path, *levels: str) -> str:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    # The log may tell of earlier servers as well, and each begins with this line.
    lines = text.rpartition("starting PostgreSQL")[2].splitlines()
    # Clients that came too early are no reason: "the database system is starting up", and so on.
    told = [
        line.partition("] ")[2].strip() or line.strip()
        for line in lines
        if "the database system is " not in line
        and (not levels or any(level in line for level in levels))
    ]
    return "; ".join(told[-3:])


def _has_socket(cluster: Cluster) -> bool:
    socket = cluster.socket
    return socket is not None and socket.exists()


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}  # not a zombie that nobody collected


def _is_postmaster(pid: int, data: Path) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        return (process / "cwd").samefile(data)  # where PostgreSQL works, all its life
    except PermissionError:
        command = (process / "cmdline").read_bytes().split(b"\0")
        return os.fsencode(data) in command
    except OSError:
        return False


def _processes_in(data: Path) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "exe").readlink().name.startswith("postgres") and (
                process / "cwd"
            ).samefile(data):
                yield int(process.name)
