"""A pgbouncer of a test's own, from Debian's package, with the defaults of its makers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import sqlalchemy as sa

from bus import PATIENCE, happens
from datanommer.models.embedded import account as accounts
from datanommer.models.embedded.account import Account
from ports import free_port

_HOST = "127.0.0.1"


class PgBouncer:
    """A pgbouncer in transaction mode, on a port of its own.

    Args:
        server: the PostgreSQL that it leads to.
        settings: of pgbouncer, beside its defaults.
    """

    def __init__(self, server: sa.URL, **settings: object) -> None:
        self._port = free_port()
        self._user = server.username
        self._folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        arguments = server.get_dialect()().create_connect_args(_psycopg2(server))[1]
        arguments.pop("dbname", None)
        words = " ".join(f"{name}='{value}'" for name, value in arguments.items())
        lines = {
            "listen_addr": _HOST,
            "listen_port": self._port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            **settings,
        }
        ini = self._folder / "pgbouncer.ini"
        ini.write_text(
            f"[databases]\n* = {words}\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        program = shutil.which("pgbouncer")
        assert program
        account = _account(self._folder, arguments.get("host", ""))
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [*account.prefix, program, ini], stdout=log, stderr=log, **account.options()
            )
        happens(lambda: self._answers() or self._process.poll() is not None, PATIENCE)
        assert self._answers(), (self._folder / "log").read_text()

    def url(self, database: str) -> str:
        """The URL of a database of the server, by way of this.

        Args:
            database: its URL.
        """
        name = sa.make_url(database).database
        return f"postgresql://{self._user}@{_HOST}:{self._port}/{name}"

    def _answers(self) -> bool:
        try:
            socket.create_connection((_HOST, self._port)).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)


def _psycopg2(url: sa.URL) -> sa.URL:
    return url.set(drivername="postgresql+psycopg2")


def _account(folder: Path, host: str) -> Account:
    """Whom it runs as: it refuses root, and an embedded server lets nobody else near its socket."""
    if os.geteuid() != 0:
        return accounts.own()
    uid, gid = accounts.unprivileged()
    os.chown(folder, uid, gid)
    needed = host if host.startswith("/") else folder
    candidates = [Account(uid, gid, switches=True), *accounts.with_capability(uid, gid)]
    return next(who for who in candidates if who.run("ls", needed).returncode == 0)
