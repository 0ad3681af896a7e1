"""Start, stop and look at the server in a folder."""

from __future__ import annotations

import contextlib
import os
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

DATABASE = "datanommer"


class Status(NamedTuple):
    """What there is to know about a server.

    Attributes:
        folder: the folder that names it.
        running: whether it answers.
        version: of PostgreSQL: the server's (``18.4``) where it runs, else that which made the
            data (``18``); None where there is no data.
        data: the folder of its data, None where there is none.
        moved: whether the data is in /var/lib/datanommer, because the server of this root could
            not reach it in `folder`.
        socket_directory: the folder of its socket, None where it does not run.
        log: the folder of its log, None where there is no data.
        url: the URL that SQLAlchemy takes, None where it does not run.
        psql: the command, as a list of words, that opens a shell on the database; None where it
            does not run or where there is no psql.
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


def start(folder: Path) -> str:
    """Make sure that the server whose data lives in `folder` runs; any number may ask at once.

    The folder and the data are made where they are missing.

    Returns:
        The URL of the database, for SQLAlchemy.

    Raises:
        EmbeddedError: there is no PostgreSQL, it is not the version that made the data, it does
            not start, or the folder cannot be used.
    """
    cluster = Cluster(folder.absolute())
    directory = cluster.socket_directory
    if not postmaster.answers(directory, DATABASE):
        with _in_words(cluster.folder), cluster.locked():
            # Another process may have started it while this one waited.
            if not postmaster.answers(cluster.socket_directory, DATABASE):
                _start(cluster)
        directory = cluster.socket_directory
    assert directory is not None
    return _url(directory)


def stop(folder: Path) -> bool:
    """Stop the server whose data lives in `folder`, and wait until it is gone.

    Returns:
        Whether it ran.

    Raises:
        EmbeddedError: it does not stop, or belongs to somebody else.
    """
    cluster = Cluster(folder.absolute())
    with _in_words(cluster.folder):
        if not cluster.base.is_dir():
            return False
        with cluster.locked():
            pid = postmaster.number(cluster)
            if pid is None:
                return False
            postmaster.stop(pid, cluster.folder)
            return True


def status(folder: Path) -> Status:
    """Look at the server whose data lives in `folder`; nothing is made or started.

    Raises:
        EmbeddedError: the folder cannot be looked into.
    """
    cluster = Cluster(folder.absolute())
    with _in_words(cluster.folder):
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
def _in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise EmbeddedError(
            f"The embedded PostgreSQL in {folder} cannot be used: {error.strerror}{where}. "
            "Check that the folder is yours, that it can be written and that its disk is not "
            "full, or name another one with --url embedded:///path."
        ) from error


def _start(cluster: Cluster) -> None:
    account, binaries = _arrange(cluster)
    cluster.clean()
    if cluster.owner() is None:
        cluster.initialise(account, binaries)
    postmaster.ensure(cluster, account, binaries)
    _create_database(cluster)


def _arrange(cluster: Cluster) -> tuple[Account, Binaries]:
    """Which binaries run the server, and as whom."""
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
                f"The data in {cluster.data} is reached with the capability CAP_DAC_OVERRIDE, "
                "which cannot be handed on here: install setpriv (util-linux), or let this "
                "container keep the capabilities DAC_OVERRIDE, SETUID, SETGID and SETPCAP."
            )
        _check_switch(uid, gid)
        cluster.move(gid)
    return _arrange_moved(cluster, Account(uid, gid, switches=True), binaries)


def _check_switch(uid: int, gid: int) -> None:
    try:
        Account(uid, gid, switches=True).run("true")
    except OSError as error:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and this process cannot become "
            f"{accounts.name_of(uid)}: {error.strerror}. Run datanommer as an ordinary user, or "
            "name a database that runs with --url."
        ) from error


def _arrange_moved(
    cluster: Cluster, account: Account, binaries: Binaries
) -> tuple[Account, Binaries]:
    if cluster.area.is_dir() and not account.can_use(binaries.folder, cluster.area):
        binaries = installations.copy(binaries, MOVED)
        if not account.can_use(binaries.folder, cluster.area):
            raise EmbeddedError(
                f"{accounts.name_of(account.uid)}, who runs PostgreSQL for root, cannot use "
                f"{cluster.area} or {binaries.folder}: check that it may enter every folder "
                f"above them, {MOVED} included."
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
    # The port is named because PGPORT would count otherwise.
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
