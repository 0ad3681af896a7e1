"""The folder of a server: its data, its socket, its log and its lock.

::

    FOLDER/postgresql/             0700, made and owned by the user who starts the server
        lock                       held while the server is started or stopped
        startup.log                what PostgreSQL prints before it opens its own log
        data, log, run             0700, owned by the account of the server
        socket -> run              the socket directory; it is elsewhere if the path is too long

If root cannot give CAP_DAC_OVERRIDE to its server, `data` is a link into /var/lib/datanommer,
and the log and the socket directory lie beside the target of that link.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from datanommer.models.disk import synchronise
from datanommer.models.embedded import account as accounts
from datanommer.models.embedded.account import Account
from datanommer.models.embedded.binaries import Binaries
from datanommer.models.errors import EmbeddedError

#: Where root's data and binaries go if its server cannot reach them in root's home.
MOVED = Path("/var/lib/datanommer")

#: The role that we connect as: the only one, a superuser.
ROLE = "postgres"
#: The port; without a network it is only a part of the socket's file name.
PORT = 5432
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_LONGEST_SOCKET = 107  # bytes: sun_path of sockaddr_un, less the final NUL
# Short paths that outlive a login, unlike $XDG_RUNTIME_DIR.
_SHORT = (Path("/run"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - by mkdtemp, in mode 0700


class Cluster:
    """The paths of one server.

    Args:
        folder: the folder that an ``embedded:`` URL names, as an absolute path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = folder / "postgresql"
        self.startup_log = self.base / "startup.log"

    @property
    def data(self) -> Path:
        """The data directory, which need not exist yet."""
        link = self.base / "data"
        return link.readlink() if link.is_symlink() else link

    @property
    def data_parent(self) -> Path:
        """The directory that holds the data, the log and usually the socket directory."""
        return self.data.parent

    @property
    def moved(self) -> bool:
        """Whether the data lies in `MOVED`, outside the folder."""
        return self.data_parent != self.base

    @property
    def is_made(self) -> bool:
        """Whether a server was made here, even if its data was moved and is gone."""
        try:
            (self.base / "data").lstat()
        except FileNotFoundError:
            return False
        return True

    @property
    def log(self) -> Path:
        return self.data_parent / "log"

    @property
    def socket_directory(self) -> Path | None:
        """The socket directory; None if there is none, or none that we can trust."""
        try:
            directory = self.base / (self.base / "socket").readlink()
            owner = self.base.stat().st_uid
            parent = directory.parent.lstat()
        except OSError:
            return None
        # By now, the directory of this name in /tmp could be somebody else's.
        if parent.st_uid != owner or not stat.S_ISDIR(parent.st_mode) or parent.st_mode & 0o022:
            return None
        return directory if _can_hold_socket(directory) else None

    @property
    def socket(self) -> Path | None:
        directory = self.socket_directory
        return directory / _SOCKET_NAME if directory else None

    def owner(self) -> tuple[int, int] | None:
        """The uid and the gid of the data's owner; None if there is no data."""
        try:
            found = self.data.stat()
        except FileNotFoundError:
            return None
        return found.st_uid, found.st_gid

    def account(self) -> Account:
        """An account that can read the data even if this process cannot."""
        owner = self.owner()
        if owner is None or os.geteuid() != 0:
            return accounts.own()
        return Account(*owner, switches=True)

    def major(self) -> int | None:
        """The major version of PostgreSQL that made the data; None if there is no data.

        Raises:
            EmbeddedError: the data does not tell its version.
        """
        if self.owner() is None:
            return None
        text = self.account().read(self.data / "PG_VERSION") or ""
        number = text.strip().partition(".")[0]
        if not number.isdecimal():
            raise EmbeddedError(
                f"{self.data} is not the data of a PostgreSQL server: its PG_VERSION is missing "
                "or cannot be read. Put the data back, or move that folder away to start anew."
            )
        return int(number)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make every other process that would start or stop this server wait.

        Raises:
            EmbeddedError: the folder belongs to somebody else, or is open to other users.
            OSError: the folder cannot be written.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.base.mkdir(mode=0o700, exist_ok=True)
        self._check_owner()
        # The daemon cannot keep the lock: child processes do not inherit Python's descriptors.
        with (self.base / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _check_owner(self) -> None:
        found = self.base.lstat()
        if found.st_uid != os.geteuid():
            owner = accounts.name_of(found.st_uid)
            raise EmbeddedError(
                f"{self.base} belongs to {owner}, and only {owner} can start or stop "
                f"the server in it. Run this as {owner}, or name another folder."
            )
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
            raise EmbeddedError(
                f"{self.base} is open to other users, who could reach the data. "
                f"Close it: chmod 700 {self.base}"
            )

    def move(self, gid: int) -> None:
        """Make a directory in `MOVED`, and link `data` to where the data will be in it.

        Args:
            gid: the group of the server's account, which has to enter that directory.
        """
        if not MOVED.is_dir():
            MOVED.mkdir(parents=True)
            MOVED.chmod(0o755)  # whatever the umask is
        directory = Path(tempfile.mkdtemp(prefix="server-", dir=MOVED))
        os.chown(directory, -1, gid)
        directory.chmod(0o710)
        (self.base / "data").symlink_to(directory / "data")

    def initialise(self, account: Account, binaries: Binaries) -> None:
        """Make the data directory, completely or not at all.

        Raises:
            EmbeddedError: ``initdb`` failed, or the data was moved and is gone.
        """
        if not self.data_parent.is_dir():
            raise EmbeddedError(
                f"The data of {self.folder} was in {self.data}, which is gone. Put it back, "
                f"or start anew: rm {self.base / 'data'}"
            )
        temporary = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.data_parent))
        try:
            os.chown(temporary, account.uid, account.gid)
            _initdb(account, binaries, temporary)
            temporary.rename(self.data)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        synchronise(self.data_parent)

    def clean(self) -> None:
        """Remove what a killed ``initdb`` left behind."""
        for left in self.data_parent.glob("initdb-*"):
            shutil.rmtree(left, ignore_errors=True)

    def make_directories(self, account: Account) -> Path:
        """Make the directories of the log and the socket where they are missing.

        Returns:
            The socket directory.
        """
        _make_private(self.log, account)
        directory = self.data_parent / "run"
        if not _can_hold_socket(directory):
            known = self.socket_directory
            directory = known if known and known.is_dir() else _make_short_directory() / "run"
        _make_private(directory, account)
        if not os.access(directory, os.X_OK):
            # A root without CAP_DAC_OVERRIDE enters as a member of the group.
            directory.chmod(0o710)
        target = Path("run") if directory.parent == self.base else directory
        with tempfile.TemporaryDirectory(dir=self.base) as temporary:
            link = Path(temporary, "socket")
            link.symlink_to(target)
            link.rename(self.base / "socket")
        return directory


def _initdb(account: Account, binaries: Binaries, folder: Path) -> None:
    command = (
        *(binaries.folder / "initdb", "-D", folder, f"--username={ROLE}", "--encoding=UTF8"),
        # No password: the permissions of the socket directory decide who may connect, as those
        # of the data directory decide who may read the files.
        *("--auth-local=trust", "--auth-host=reject"),
    )
    done = account.run(*command, "--locale=C.UTF-8")
    if done.returncode and "invalid locale" in done.stderr:
        done = account.run(*command, "--locale=C")
    if done.returncode:
        raise EmbeddedError(
            f"PostgreSQL cannot make its data in {folder.parent}: {_errors_in(done.stderr)}. "
            "Fix that (is the disk full? can you write to the folder?), or name another folder."
        )


def _errors_in(output: str) -> str:
    # initdb repeats itself on the way out; its errors tell enough.
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    return "; ".join((errors or lines)[:3]) or "it does not say why"


def _can_hold_socket(directory: Path) -> bool:
    path = str(directory / _SOCKET_NAME)
    try:
        # For libpq, a comma ends the name of a host.
        return len(path.encode()) <= _LONGEST_SOCKET and "," not in path
    except UnicodeEncodeError:
        return False


def _make_short_directory() -> Path:
    for parent in _SHORT:
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="datanommer-", dir=parent))
    raise EmbeddedError(
        "The path of the folder is too long for a socket, and none of "
        f"{', '.join(map(str, _SHORT))} can be written. Name a folder with a shorter path."
    )


def _make_private(directory: Path, account: Account) -> None:
    if not directory.is_dir():
        directory.mkdir(mode=0o700)
        # The caller's group: a root without CAP_DAC_OVERRIDE enters by it.
        os.chown(directory, account.uid, os.getegid())
