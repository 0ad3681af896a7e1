"""The account of the operating system that the server runs as.

PostgreSQL refuses to run as root. For root, the server runs as an unprivileged user that keeps
CAP_DAC_OVERRIDE and nothing else, so that it reaches its data and its binaries inside a home of
mode 0700 without a change to anybody's permissions.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from datanommer.models.errors import EmbeddedError

# `postgres` comes first, because that account owns databases by convention, while `nobody` is
# shared by daemons of all kinds. Other processes of either must not get at a server that keeps
# CAP_DAC_OVERRIDE, and cannot: its data and its socket lie in a folder of mode 0700 that is
# root's, which takes the capability to enter. initdb wants an account that has a name, so that
# a number which nobody has would not do.
_NAMES = ("postgres", "nobody")

_KEEP = "-all,+dac_override"
# access(2), by which PostgreSQL looks at its own binaries, sets capabilities aside for users
# other than root, unless no_setuid_fixup says otherwise.
_COMMON = ("--clear-groups", "--securebits", "+no_setuid_fixup", "--no-new-privs")
_CAPABILITIES = (
    (*_COMMON, "--inh-caps", _KEEP, "--ambient-caps", _KEEP, "--bounding-set", _KEEP),
    # A libcap-ng that is older than the kernel cannot say "all". Root's own set to hand on is
    # empty then, and no_new_privs keeps the bounding set from ever being drawn on.
    (*_COMMON, "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
)


class Account(NamedTuple):
    """Whom a process runs as.

    Attributes:
        uid: the user's number.
        gid: the group's number.
        prefix: what comes before a command, to run it as that user with CAP_DAC_OVERRIDE.
        switches: whether to change to that user, with no capability at all.
    """

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    switches: bool = False

    def options(self) -> dict[str, Any]:
        """What `subprocess.run` needs to run a command as this account."""
        # Neither a password nor a PG* variable of the caller is the daemon's business.
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        options: dict[str, Any] = {
            "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **kept},
            "cwd": "/",
            "stdin": subprocess.DEVNULL,
        }
        if self.switches:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as this account.

        Raises:
            OSError: the command is missing, or this process may not become that user.
        """
        return subprocess.run(  # noqa: S603 - the words are ours, and no shell reads them
            [*self.prefix, *command],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **self.options(),
        )

    def can_use(self, binaries: Path, folder: Path) -> bool:
        """Whether this account can run PostgreSQL's binaries and enter a folder."""
        script = 'test -d "$1/." && exec "$2" --show -D "$1"'
        try:
            done = self.run("/bin/sh", "-c", script, "sh", folder, binaries / "initdb")
        except OSError:
            return False
        return done.returncode == 0

    def read(self, path: Path) -> str | None:
        """The text of a file, None where there is none."""
        try:
            return path.read_text(errors="replace")
        except PermissionError:
            # A root without CAP_DAC_OVERRIDE cannot read what the server keeps.
            done = self.run("cat", path)
            return done.stdout if done.returncode == 0 else None
        except OSError:
            return None


def own() -> Account:
    """The account of this process."""
    return Account(os.geteuid(), os.getegid())


def unprivileged() -> tuple[int, int]:
    """The numbers of the user and the group that the server runs as where root starts it.

    Raises:
        EmbeddedError: the machine has no such user.
    """
    for name in _NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no user "
        f"{' or '.join(_NAMES)} to run it as: add one (useradd --system postgres), "
        "or run datanommer as an ordinary user."
    )


def with_capability(uid: int, gid: int) -> Iterator[Account]:
    """The ways to run as a user that keeps CAP_DAC_OVERRIDE, the strictest first."""
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path=os.defpath)
    if setpriv is None:
        return
    for capabilities in _CAPABILITIES:
        who = ("--reuid", str(uid), "--regid", str(gid))
        yield Account(uid, gid, (setpriv, *who, *capabilities, "--"))


def name_of(uid: int) -> str:
    """The name of a user, for people."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"
