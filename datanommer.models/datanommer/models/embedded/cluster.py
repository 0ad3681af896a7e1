"""The folder of a server: where its data, its socket, its log and its lock lie.

::

    FOLDER/postgresql/             0700, made and owned by whoever starts the server
        lock                       held while the server is started or stopped
        startup.log                what PostgreSQL says before it opens its own log
        data, log, run             0700, owned by the account of the server
        socket -> run              the folder of the socket; elsewhere where the path is too long

For a root whose server may not have CAP_DAC_OVERRIDE, `data` is a link into /var/lib/datanommer,
and the log and the socket lie beside what it points to.
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

from datanommer.models.embedded import account as accounts
from datanommer.models.embedded.account import Account
from datanommer.models.embedded.binaries import Binaries
from datanommer.models.errors import EmbeddedError

#: Where data and binaries go that the server could not reach in the home of root.
MOVED = Path("/var/lib/datanommer")

#: The role that the server is asked as; it is the only one, and it may do everything.
ROLE = "postgres"
#: The port, which on a socket is but a part of the name of a file.
PORT = 5432
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_LONGEST_SOCKET = 107  # bytes: sun_path of sockaddr_un, less the final NUL
# Short folders that outlive a login, unlike $XDG_RUNTIME_DIR.
_SHORT = (Path("/run"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - by mkdtemp, in mode 0700


class Cluster:
    """The paths of one server, and what makes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = folder / "postgresql"
        self.startup_log = self.base / "startup.log"

    @property
    def data(self) -> Path:
        """The folder of the data, which may not be there yet."""
        link = self.base / "data"
        return link.readlink() if link.is_symlink() else link

    @property
    def area(self) -> Path:
        """Where the data, the log and, mostly, the socket lie."""
        return self.data.parent

    @property
    def moved(self) -> bool:
        """Whether the data lies outside the folder, in `MOVED`."""
        return self.area != self.base

    @property
    def log(self) -> Path:
        return self.area / "log"

    @property
    def socket_directory(self) -> Path | None:
        """The folder of the socket, None where there is none, or none that can be trusted."""
        try:
            directory = self.base / (self.base / "socket").readlink()
            owner = self.base.stat().st_uid
            around = directory.parent.lstat()
        except OSError:
            return None
        # In /tmp, a folder of this name could be anybody's by now.
        if around.st_uid != owner or not stat.S_ISDIR(around.st_mode) or around.st_mode & 0o022:
            return None
        return directory if _fits(directory) else None

    @property
    def socket(self) -> Path | None:
        directory = self.socket_directory
        return directory / _SOCKET_NAME if directory else None

    def owner(self) -> tuple[int, int] | None:
        """The numbers of the user and the group that own the data, None where there is none."""
        try:
            found = self.data.stat()
        except FileNotFoundError:
            return None
        return found.st_uid, found.st_gid

    def account(self) -> Account:
        """An account that can read the data, where this process cannot."""
        owner = self.owner()
        if owner is None or os.geteuid() != 0:
            return accounts.own()
        return Account(*owner, switches=True)

    def major(self) -> int | None:
        """The version of PostgreSQL that made the data, None where there is no data.

        Raises:
            EmbeddedError: the data does not say.
        """
        if self.owner() is None:
            return None
        text = self.account().read(self.data / "PG_VERSION") or ""
        number = text.strip().partition(".")[0]
        if not number.isdecimal():
            raise EmbeddedError(
                f"{self.data} is not the data of a PostgreSQL server: its PG_VERSION is missing "
                "or not readable. Put the data back, or move that folder away to start anew."
            )
        return int(number)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from starting or stopping this server meanwhile.

        Raises:
            EmbeddedError: the folder belongs to somebody else.
            OSError: the folder cannot be written.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.base.mkdir(mode=0o700, exist_ok=True)
        self._check_owner()
        # Python's descriptors are not inherited, so the daemon cannot keep the lock.
        with (self.base / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _check_owner(self) -> None:
        found = self.base.lstat()
        if found.st_uid != os.geteuid():
            owner = accounts.name_of(found.st_uid)
            raise EmbeddedError(
                f"{self.base} belongs to {owner}, and only {owner} can start or stop "
                f"the server in it: run this as {owner}, or name another folder."
            )
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
            raise EmbeddedError(
                f"{self.base} is open to other users, who could reach the data: "
                f"chmod 700 {self.base}"
            )

    def move(self, gid: int) -> None:
        """Make the place in `MOVED` where the data is going to be.

        Args:
            gid: the group of the server's account, which has to pass through.
        """
        if not MOVED.is_dir():
            MOVED.mkdir(parents=True)
            MOVED.chmod(0o755)  # whatever the umask
        area = Path(tempfile.mkdtemp(prefix="server-", dir=MOVED))
        os.chown(area, -1, gid)
        area.chmod(0o710)
        (self.base / "data").symlink_to(area / "data")

    def initialise(self, account: Account, binaries: Binaries) -> None:
        """Make the data, at once or not at all.

        Raises:
            EmbeddedError: ``initdb`` failed.
        """
        if not self.area.is_dir():
            raise EmbeddedError(
                f"The data of {self.folder} was in {self.data}, which is gone. Put it back, "
                f"or start anew with: rm {self.base / 'data'}"
            )
        temporary = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.area))
        try:
            os.chown(temporary, account.uid, account.gid)
            _initdb(account, binaries, temporary)
            temporary.rename(self.data)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync(self.area)

    def clean(self) -> None:
        """Take away what an ``initdb`` left that was killed."""
        for left in self.area.glob("initdb-*"):
            shutil.rmtree(left, ignore_errors=True)

    def make_folders(self, account: Account) -> Path:
        """Make the folders of the log and of the socket, and give back the latter."""
        _make_private(self.log, account)
        directory = self.area / "run"
        if not _fits(directory):
            known = self.socket_directory
            directory = known if known and known.is_dir() else _short_folder() / "run"
        _make_private(directory, account)
        if not os.access(directory, os.X_OK):
            # A root without CAP_DAC_OVERRIDE comes in as the group.
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
        # Everybody who can enter the folder of the socket may do everything, as with the files.
        *("--auth-local=trust", "--auth-host=reject"),
    )
    done = account.run(*command, "--locale=C.UTF-8")
    if done.returncode and "invalid locale" in done.stderr:
        done = account.run(*command, "--locale=C")
    if done.returncode:
        raise EmbeddedError(
            f"PostgreSQL cannot make its data in {folder.parent}: {_said(done.stderr)}. "
            "Mend that (is the disk full, is the folder writable?), or name another folder."
        )


def _said(text: str) -> str:
    # initdb repeats itself on the way out; the errors say it all.
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    return "; ".join((errors or lines)[:3]) or "it does not say why"


def _fits(directory: Path) -> bool:
    path = str(directory / _SOCKET_NAME)
    try:
        # libpq takes a comma for the end of a host.
        return len(path.encode()) <= _LONGEST_SOCKET and "," not in path
    except UnicodeEncodeError:
        return False


def _short_folder() -> Path:
    for place in _SHORT:
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="datanommer-", dir=place))
    raise EmbeddedError(
        "The path of the folder is too long for a socket, and none of "
        f"{', '.join(map(str, _SHORT))} can be written: name a folder with a shorter path."
    )


def _make_private(folder: Path, account: Account) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        # The group is the caller's, see `Cluster.make_folders`.
        os.chown(folder, account.uid, os.getegid())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
