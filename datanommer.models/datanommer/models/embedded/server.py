"""Start, stop and look at the server in a folder."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg2
import sqlalchemy as sa

from datanommer.models.embedded import account as accounts
from datanommer.models.embedded import binaries as installations
from datanommer.models.embedded import postmaster
from datanommer.models.embedded.account import Account
from datanommer.models.embedded.binaries import Binaries
from datanommer.models.embedded.cluster import MOVED, PORT, ROLE, Cluster
from datanommer.models.errors import EmbeddedError

#: The only database of ours in the server.
DATABASE = "datanommer"


class Status(NamedTuple):
    """What there is to know about a server.

    Attributes:
        folder: the folder that an ``embedded:`` URL names.
        running: whether the server answers.
        version: the version of PostgreSQL: the server's (``18.4``) if it runs, else the major
            version that made the data (``18``); None if there is no data.
        data: the data directory; None if there is no data.
        moved: whether the data is in /var/lib/datanommer, because root's server could not reach
            it in `folder`.
        socket_directory: the directory of the socket; None if the server does not run.
        log: the directory of the log; None if there is no data.
        url: the URL for SQLAlchemy; None if the server does not run.
        psql: the words of the command that opens a shell on the database; None if the server
            does not run, or if there is no psql.
    """

    folder: Path
    running: bool = False
    version: str | None = None
    data: Path | None = None
    moved: bool = False
    socket_directory: Path | None = None
    log: Path | None = None
    url: str | None = None
    psql: tuple[str, ...] | None = None


def start(folder: Path, *, create: bool = True) -> str:
    """Start the server of a folder unless it runs already.

    Any number of processes may call this at the same time: they share one server.

    Args:
        folder: the folder that an ``embedded:`` URL names.
        create: whether to make the folder and the data if they are missing.

    Returns:
        The URL of the database, for SQLAlchemy.

    Raises:
        EmbeddedError: there is no PostgreSQL, or not of the version that made the data; the
            server does not start, or is not there; or the folder cannot be used.
    """
    cluster = Cluster(folder.absolute())
    directory = cluster.socket_directory
    if not postmaster.answers(directory, DATABASE):
        with _explained(cluster.folder):
            if not create:
                _require_server(cluster)
            with cluster.locked():
                # Another process may have started it while this one waited for the lock.
                if not postmaster.answers(cluster.socket_directory, DATABASE):
                    _start(cluster)
        directory = cluster.socket_directory
    assert directory is not None
    return _url(directory)


def stop(folder: Path) -> bool:
    """Stop the server of a folder, and wait until it is gone.

    Args:
        folder: the folder that an ``embedded:`` URL names.

    Returns:
        Whether it was running.

    Raises:
        EmbeddedError: it does not stop, or it belongs to somebody else.
    """
    cluster = Cluster(folder.absolute())
    with _explained(cluster.folder):
        if not cluster.base.is_dir():
            return False
        with cluster.locked():
            pid = postmaster.find_pid(cluster)
            if pid is None:
                return False
            postmaster.stop(pid, cluster.folder)
            return True


def status(folder: Path) -> Status:
    """Look at the server of a folder without making or starting anything.

    Args:
        folder: the folder that an ``embedded:`` URL names.

    Raises:
        EmbeddedError: the folder cannot be read.
    """
    cluster = Cluster(folder.absolute())
    with _explained(cluster.folder):
        major = cluster.major()
        if major is None:
            return Status(cluster.folder)
        found = Status(
            cluster.folder,
            version=str(major),
            data=cluster.data,
            moved=cluster.moved,
            log=cluster.log,
        )
        directory = cluster.socket_directory
        if directory is None or not postmaster.answers(directory, DATABASE):
            return found
        return found._replace(
            running=True,
            version=_version(directory) or found.version,
            socket_directory=directory,
            url=_url(directory),
            psql=_psql(major, directory),
        )


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system into one that tells the user what to do."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise EmbeddedError(
            f"The embedded PostgreSQL in {folder} cannot be used: {error.strerror}{where}. "
            "Check that the folder is yours, that you can write to it and that its disk is not "
            "full, or name another folder with --url embedded:///path."
        ) from error


def _require_server(cluster: Cluster) -> None:
    if not cluster.is_made:
        url = shlex.quote(f"embedded://{cluster.folder}")
        raise EmbeddedError(
            f"There is no embedded PostgreSQL in {cluster.folder}. If the folder is the right one, "
            f"make a server and its tables with: datanommer-create-db --url {url}"
        )


def _start(cluster: Cluster) -> None:
    account, binaries = _choose(cluster)
    cluster.clean()
    if cluster.owner() is None:
        cluster.initialise(account, binaries)
    postmaster.start(cluster, account, binaries)
    _create_database(cluster)


def _choose(cluster: Cluster) -> tuple[Account, Binaries]:
    """The account and the binaries that the server runs with."""
    binaries = installations.find(cluster.major())
    if os.geteuid() != 0:
        return accounts.own(), binaries
    uid, gid = cluster.owner() or accounts.unprivileged()
    if not cluster.moved:
        for account in accounts.with_capability(uid, gid):
            if account.can_use(binaries.folder, cluster.base):
                return account, binaries
        if cluster.owner() is not None:
            raise EmbeddedError(
                f"To reach its data in {cluster.data}, the server needs the capability "
                "CAP_DAC_OVERRIDE, and root cannot pass it on here. Install setpriv (util-linux), "
                "or let this container keep the capabilities DAC_OVERRIDE, SETUID, SETGID and "
                "SETPCAP."
            )
        _check_switch(uid, gid)
        cluster.move(gid)
    return _choose_for_moved(cluster, Account(uid, gid, switches=True), binaries)


def _check_switch(uid: int, gid: int) -> None:
    try:
        Account(uid, gid, switches=True).run("true")
    except OSError as error:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and this process cannot become "
            f"{accounts.name_of(uid)}: {error.strerror}. Run datanommer as an ordinary user, or "
            "name a database that runs with --url."
        ) from error


def _choose_for_moved(
    cluster: Cluster, account: Account, binaries: Binaries
) -> tuple[Account, Binaries]:
    directory = cluster.data_parent
    if directory.is_dir() and not account.can_use(binaries.folder, directory):
        binaries = installations.copy(binaries, MOVED)
        if not account.can_use(binaries.folder, directory):
            name = accounts.name_of(account.uid)
            raise EmbeddedError(
                f"For root, PostgreSQL runs as {name}, who cannot use {directory} or "
                f"{binaries.folder}. Check that {name} may enter every folder above them, "
                f"{MOVED} included."
            )
    return account, binaries


def _create_database(cluster: Cluster) -> None:
    directory = cluster.socket_directory
    assert directory is not None
    with contextlib.closing(postmaster.connect(directory, ROLE)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE DATABASE {DATABASE}")


def _url(directory: Path) -> str:
    # Without a port in the URL, libpq would take the caller's PGPORT.
    query = {"host": str(directory), "port": str(PORT)}
    url = sa.URL.create("postgresql+psycopg2", username=ROLE, database=DATABASE, query=query)
    path, _, rest = url.render_as_string().partition("?")
    # libpq, unlike SQLAlchemy, does not read a plus as a space.
    return f"{path}?{rest.replace('+', '%20')}"


def _version(directory: Path) -> str | None:
    try:
        with contextlib.closing(postmaster.connect(directory, DATABASE)) as connection:
            return "{}.{}".format(*divmod(connection.server_version, 10000))
    except psycopg2.OperationalError:
        return None


def _psql(major: int, directory: Path) -> tuple[str, ...] | None:
    try:
        program = installations.psql(installations.find(major))
    except EmbeddedError:
        program = installations.psql(None)
    if program is None:
        return None
    return (program, "-h", str(directory), "-p", str(PORT), "-U", ROLE, "-d", DATABASE)
