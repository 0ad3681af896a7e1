"""A PostgreSQL server of one's own that can be stopped, killed, paused, filled and shut."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg2

from bus import PATIENCE, eventually
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from datanommer.models.embedded import account as accounts
from datanommer.models.embedded import binaries as installations
from datanommer.models.embedded.account import Account

from .disk import Disk

#: Whom the hub connects as: no superuser, so that the slots kept for those are not its.
ROLE = "hub"
_HOST = "127.0.0.1"
#: The size in MiB of the disk of a server that is to be filled.
_DISK_SIZE = 160
_SETTINGS = {
    "listen_addresses": _HOST,
    "max_connections": "20",
    "shared_buffers": "32MB",
    "max_wal_size": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "log_min_error_statement": "panic",
}
_ADMITTED = f"local all all trust\nhost all {ROLE} {_HOST}/32 trust\n"
_REFUSED = f"local all all trust\nhost all {ROLE} {_HOST}/32 reject\n"


class Server:
    """A server with data in a new folder, which `close` takes away.

    Args:
        has_own_disk: whether the data is on a small disk of its own, which `fill` fills.

    Raises:
        OSError: such a disk cannot be made here.
    """

    def __init__(self, *, has_own_disk: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="faults-"))
        self.port = free_port()
        self._disk: Disk | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = installations.find().folder
        try:
            if has_own_disk:
                self._disk = Disk(self.folder / "disk", _DISK_SIZE)
            self._data = (self._disk.folder if self._disk else self.folder) / "data"
            self._account = self._arrange()
            self._initialise()
            self.start()
            self._template = self._make_template()
        except BaseException:
            self.close()
            raise

    def _arrange(self) -> Account:
        """The account that it runs as, for which the folders are made."""
        if os.geteuid() != 0:
            return accounts.own()
        uid, gid = accounts.unprivileged()
        for folder in {self.folder, self._data.parent}:
            os.chown(folder, uid, gid)
        candidates = [Account(uid, gid, switches=True), *accounts.with_capability(uid, gid)]
        return next(who for who in candidates if who.can_use(self._binaries, self.folder))

    def _initialise(self) -> None:
        done = self._account.run(
            *(self._binaries / "initdb", "-D", self._data, "--username=postgres"),
            *("--encoding=UTF8", "--locale=C", "--wal-segsize=1", "--auth=trust"),
        )
        assert done.returncode == 0, done.stderr
        self._write_hba(_ADMITTED)

    def _make_template(self) -> str:
        self.execute(f"CREATE ROLE {ROLE} LOGIN")
        name = self._create_database("template1")
        engine = create_engine(self.url(name))
        migrations.upgrade(engine)
        engine.dispose()
        return name

    def create_database(self, *, is_empty: bool = False) -> str:
        """The name of a new database, at head unless it is to be empty. The hub's role owns it."""
        return self._create_database("template1" if is_empty else self._template)

    def _create_database(self, template: str) -> str:
        name = f"faults_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {ROLE}")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str, port: int | None = None) -> str:
        """The URL of a database, for the hub's role, maybe by way of another port."""
        return f"postgresql://{ROLE}@{_HOST}:{port or self.port}/{name}"

    def own_url(self, name: str) -> str:
        """The URL of a database for a superuser, by the socket, which no fault reaches."""
        return f"postgresql://postgres@/{name}?host={self.folder}&port={self.port}"

    def connect(self, name: str = "postgres") -> Any:
        """A connection as superuser, by the socket."""
        connection = psycopg2.connect(self.own_url(name))
        connection.autocommit = True
        return connection

    def execute(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as superuser; its rows, if it has any."""
        with contextlib.closing(self.connect(name)) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if not (self._process and self._process.poll() is None):
            self._launch()
        eventually(self._answers, "PostgreSQL to answer")

    def _launch(self) -> None:
        settings = {
            **_SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._account.prefix, self._binaries / "postgres", "-D", self._data, *words],
                stdout=log,
                stderr=log,
                **self._account.options(),
            )

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop it in order; sessions are ended."""
        self._signal(signal.SIGINT)
        assert self._process
        self._process.wait(60)

    def kill(self) -> None:
        """Kill all its processes at once."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert self._process
        self._process.wait()

    def _end(self) -> None:
        """End it without a thought for its data."""
        self._signal(signal.SIGQUIT)
        assert self._process
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def pause(self) -> None:
        """Stop all its processes where they are; the kernel still accepts connections for it."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Let them go on."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def admit(self, is_admitted: bool) -> None:
        """Let the hub's role in, or refuse it."""
        self._write_hba(_ADMITTED if is_admitted else _REFUSED)
        self.execute("SELECT pg_reload_conf()")
        if not is_admitted:
            refused = f"host {ROLE} reject"
            rules = "SELECT concat_ws(' ', type, user_name[1], auth_method) FROM pg_hba_file_rules"
            eventually(lambda: (refused,) in self.execute(rules), refused)

    def disconnect(self, name: str) -> None:
        """End all sessions of the hub's role in a database."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE usename = '{ROLE}' AND datname = '{name}'"
        )

    def crash(self, name: str) -> None:
        """Kill a session of the hub, for which PostgreSQL restarts all others too."""
        pids = self.execute(
            f"SELECT pid FROM pg_stat_activity WHERE usename = '{ROLE}' AND datname = '{name}'"
        )
        for (pid,) in pids[:1]:
            os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def exhausted(self, name: str) -> Iterator[None]:
        """All connections taken, and the hub's among them."""
        taken: list[Any] = []
        self._take_all(taken, name)
        mine = ",".join(str(connection.info.backend_pid) for connection in taken)
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE usename = '{ROLE}' AND pid NOT IN ({mine})"
        )
        self._take_all(taken, name)
        try:
            yield
        finally:
            for connection in taken:
                connection.close()

    def _take_all(self, taken: list[Any], name: str) -> None:
        with contextlib.suppress(psycopg2.OperationalError):
            while True:
                taken.append(psycopg2.connect(self.url(name)))

    def fill(self) -> None:
        """Leave no room on its disk."""
        assert self._disk
        self._disk.fill()

    def empty(self) -> None:
        """Take away what fills its disk; it is started again where that ended it."""
        assert self._disk
        self._disk.empty()
        self.start()

    def close(self) -> None:
        """End it, and take its data away."""
        if self._process and self._process.poll() is None:
            self.resume()
            self._end()
        if self._disk:
            self._disk.close()
        shutil.rmtree(self.folder)

    def _write_hba(self, rules: str) -> None:
        file = self._data / "pg_hba.conf"
        file.write_text(rules)

    def _signal(self, number: int) -> None:
        assert self._process
        os.kill(self._process.pid, number)

    def _processes(self) -> list[psutil.Process]:
        """The postmaster first, so that it makes no new ones meanwhile."""
        assert self._process
        try:
            postmaster = psutil.Process(self._process.pid)
            return [postmaster, *postmaster.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def free_port() -> int:
    with socket.create_server((_HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port
