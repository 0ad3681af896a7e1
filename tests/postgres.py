"""A PostgreSQL server of one's own, which can be stopped, killed, paused and asked."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
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
from ports import free_port

#: Whom a hub connects as: no superuser, so that the slots kept for those are not its.
ROLE = "hub"
HOST = "127.0.0.1"
_SETTINGS = {
    "listen_addresses": HOST,
    "max_connections": "20",
    "shared_buffers": "32MB",
    "max_wal_size": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "log_min_error_statement": "panic",
}
#: Who may connect: the superuser by the socket, also as a standby, and the hub's role.
ADMITTED = f"local all,replication all trust\nhost all {ROLE} {HOST}/32 trust\n"


class Postgres:
    """A server with data in a new folder, which `close` takes away.

    Attributes:
        folder: its own; the socket is in it.
        port: of TCP and of the socket.

    Args:
        programs: the folder of PostgreSQL's programs; that of the newest by default.
    """

    def __init__(self, programs: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = programs or installations.find().folder
        try:
            self._data = self._data_parent() / "data"
            self._account = self._arrange()
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def _data_parent(self) -> Path:
        """The folder that the data is to be in."""
        return self.folder

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
        """Make the data."""
        self._run(
            *("initdb", "-D", self._data, "--username=postgres"),
            *("--encoding=UTF8", "--locale=C", "--wal-segsize=1", "--auth=trust"),
        )
        self._write_hba(ADMITTED)

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = self._account.run(self._binaries / program, *arguments)
        assert done.returncode == 0, done.stderr

    def type(self, line: str, **variables: str) -> str:
        """Run a line of the shell as an admin of the server would; what it prints."""
        options = self._account.options()
        options["env"] = {
            **options["env"],
            "PATH": f"{self._binaries}:{os.environ['PATH']}",
            "PGDATA": str(self._data),
            "PGHOST": str(self.folder),
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            **variables,
        }
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*self._account.prefix, "bash", "-o", "pipefail", "-c", line],
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout

    def url(self, name: str, port: int | None = None) -> str:
        """The URL of a database, for the hub's role, maybe by way of another port."""
        return f"postgresql://{ROLE}@{HOST}:{port or self.port}/{name}"

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

    def set(self, setting: str, value: str) -> None:
        """Change a setting of the server that runs; none of those that it is started with."""
        self.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def require_password(self, password: str) -> None:
        """Let the hub's role in by TCP with this password alone."""
        self.execute(f"ALTER ROLE {ROLE} PASSWORD '{password}'")
        self._write_hba(ADMITTED.replace(f"{HOST}/32 trust", f"{HOST}/32 scram-sha-256"))
        self.execute("SELECT pg_reload_conf()")
        methods = "SELECT auth_method FROM pg_hba_file_rules WHERE type = 'host'"
        eventually(lambda: self.execute(methods) == [("scram-sha-256",)], "another pg_hba.conf")

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

    def stop(self, *, immediately: bool = False) -> None:
        """Stop it; sessions are ended.

        Args:
            immediately: as a crash does, so that it recovers when it starts.
        """
        self._signal(signal.SIGQUIT if immediately else signal.SIGINT)
        assert self._process
        self._process.wait(60)

    def kill(self) -> None:
        """Kill all its processes at once.

        It waits until they are gone: another server would find their shared memory in use.
        """
        self.pause()  # or it could start another one meanwhile
        processes = self._processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, PATIENCE)
        assert self._process
        self._process.wait()

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

    def close(self) -> None:
        """End it, and take its data away."""
        self._end()
        shutil.rmtree(self.folder)

    def _end(self) -> None:
        """End it if it runs, without a thought for its data."""
        if not (self._process and self._process.poll() is None):
            return
        self.resume()
        self._signal(signal.SIGQUIT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

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


class Primary(Postgres):
    """A server with the hub's role, where databases may be made.

    Args:
        programs: the folder of PostgreSQL's programs; that of the newest by default.
    """

    def __init__(self, programs: Path | None = None) -> None:
        super().__init__(programs)
        try:
            self._template = self._make_template()
        except BaseException:
            self.close()
            raise

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
