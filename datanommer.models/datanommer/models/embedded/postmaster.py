"""The server's process: find it, start it, ask it, stop it."""

# Why not pg_ctl, which the wheel ships as well? We tried the one of PostgreSQL 18.4. It passes the
# tests and 20 rounds of five starters with random SIGKILLs, but saves only one line of 188, because
# whatever reads /proc below has to stay:
# - pg_ctl believes postmaster.pid. When a killed server's pid was another process's by now,
#   `stop` killed that process, `status` called it the server, and `start` gave up.
# - While another starter's server comes up, `start` fails, and no command waits for that server.
# - `stop` needs the binaries. Ours stops a server whose wheel was uninstalled.
# - `start` hands the paths in double quotes to /bin/sh, which expands a $HOME or `x` in them;
#   and its own output mixes with PostgreSQL's reasons why the server did not start.
# - It looks every 0.1 s: 0.17 s to start and 0.12 s to stop, where ours take 0.07 s and 0.02 s.

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
_STOP_SECONDS = 120.0  # so can the last checkpoint
_SOCKET_SECONDS = 3.0  # a server opens its socket at once, before any recovery

# These win over the PG* variables that the caller may have set for other servers.
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 10,  # seconds
    "options": "",
    "sslmode": "disable",
    "gssencmode": "disable",
    "client_encoding": "UTF8",
}

# The shell prints the server's pid and exits, so that init adopts the server and reaps it.
_DETACH = '"$@" >&2 & echo $!'


def connect(directory: Path, database: str) -> psycopg2.extensions.connection:
    """Connect to the server, in autocommit mode.

    Args:
        directory: the socket directory.
        database: the name of the database.

    Raises:
        psycopg2.OperationalError: the server does not answer.
    """
    connection = psycopg2.connect(
        host=str(directory), port=PORT, user=ROLE, dbname=database, **_CONNECTION
    )
    connection.autocommit = True
    return connection


def answers(directory: Path | None, database: str = ROLE) -> bool:
    """Whether a server answers ``SELECT 1`` on the socket in `directory`."""
    if directory is None:
        return False
    try:
        with contextlib.closing(connect(directory, database)) as connection:
            connection.cursor().execute("SELECT 1")
    except psycopg2.OperationalError as error:
        # It runs, and has as many clients as it allows.
        return any(text in str(error) for text in ("too many clients", "connection slots"))
    return True


def find_pid(cluster: Cluster) -> int | None:
    """The pid of the server; None if it does not run."""
    # The file outlives a server that was killed, and the pid may be another process's by now.
    text = cluster.account().read(cluster.data / "postmaster.pid") or ""
    first = text.partition("\n")[0].strip()
    if not first.isdecimal() or not _is_alive(int(first)):
        return None
    return int(first) if _is_postmaster(int(first), cluster.data) else None


def start(cluster: Cluster, account: Account, binaries: Binaries) -> None:
    """Start the server unless it runs, and wait until it answers.

    Raises:
        EmbeddedError: it does not start, or it does not answer in time.
    """
    began = since = time.monotonic()
    launched: int | None = None
    while not answers(cluster.socket_directory):
        now = time.monotonic()
        running = find_pid(cluster)
        if running is None and (launched is None or not _is_alive(launched)):
            if launched is not None:
                _raise_failure(cluster)
            launched, since = _launch(cluster, account, binaries), now
        elif running and now - since > _SOCKET_SECONDS and not _has_socket(cluster):
            # Somebody removed the socket, so nobody can reach this server any more.
            stop(running, cluster.folder)
        if now - began > _START_SECONDS:
            raise EmbeddedError(
                f"The embedded PostgreSQL in {cluster.folder} runs, but has not answered after "
                f"{_START_SECONDS:.0f} seconds; it may be recovering from a crash. "
                f"Look into {cluster.log}, and try again later."
            )
        time.sleep(_PAUSE)


def stop(pid: int, folder: Path) -> None:
    """Stop the server in PostgreSQL's fast mode, and wait until it is gone.

    Args:
        pid: the pid of the server.
        folder: the server's folder, for the message.

    Raises:
        EmbeddedError: it takes too long.
    """
    deadline = time.monotonic() + _STOP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    while _is_alive(pid):
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"The embedded PostgreSQL in {folder} has not stopped after "
                f"{_STOP_SECONDS:.0f} seconds; it may be writing its last checkpoint. "
                "Look again with datanommer-embedded status."
            )
        time.sleep(_PAUSE)


def _launch(cluster: Cluster, account: Account, binaries: Binaries) -> int:
    directory = cluster.make_directories(account)
    # `find_pid` knows that these are stale. PostgreSQL does not, and would not start if another
    # process had their pid by now.
    lock = directory / f".s.PGSQL.{PORT}.lock"
    account.run("rm", "-f", "--", cluster.data / "postmaster.pid", lock)
    command: list[str | Path] = [binaries.folder / "postgres", "-D", cluster.data]
    log = os.open(cluster.startup_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        done = subprocess.run(  # noqa: S603 - the shell reads only our script
            ["/bin/sh", "-c", _DETACH, "sh", *account.prefix, *command, *_settings(directory)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=True,
            # A Ctrl-C in the caller's terminal must not reach the server.
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
        "unix_socket_permissions": "0777",  # the socket directory decides who gets in
        "port": str(PORT),
        "cluster_name": "datanommer",
        # One log file for each day of the week, so there are never more than seven. Statements
        # are not logged, because they hold whole messages.
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


def _raise_failure(cluster: Cluster) -> None:
    """Raise why the server did not start, unless another try may work."""
    reason = _last_lines(cluster.startup_log)
    if "still in use" in reason:
        # Sessions of a killed server may still be busy, and their clients are gone. End them.
        for pid in _processes_in(cluster.data):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
        return
    if "redirecting log output" in reason:
        logs = sorted(_files(cluster.log), key=lambda path: path.stat().st_mtime)
        reason = _last_lines(logs[-1], "FATAL:", "PANIC:") if logs else ""
    raise EmbeddedError(
        f"The embedded PostgreSQL in {cluster.folder} does not start: "
        f"{reason or 'its log gives no reason, so it may have been killed'}. "
        f"More is in {cluster.startup_log} and {cluster.log}."
    )


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _last_lines(path: Path, *levels: str) -> str:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    # The log may tell of earlier servers as well, and each begins with this line.
    lines = text.rpartition("starting PostgreSQL")[2].splitlines()
    # Clients that came too early are no reason: "the database system is starting up", and so on.
    kept = [
        line.partition("] ")[2].strip() or line.strip()
        for line in lines
        if "the database system is " not in line
        and (not levels or any(level in line for level in levels))
    ]
    return "; ".join(kept[-3:])


def _has_socket(cluster: Cluster) -> bool:
    socket = cluster.socket
    return socket is not None and socket.exists()


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}  # a zombie that nobody has reaped is not alive


def _is_postmaster(pid: int, data: Path) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        return (process / "cwd").samefile(data)  # PostgreSQL never leaves its data directory
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
