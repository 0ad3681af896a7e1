"""The system account that the server runs as.

PostgreSQL refuses to run as root. For root, the server runs as an unprivileged user that keeps
one capability, CAP_DAC_OVERRIDE. With it, the server reaches its data and its binaries inside a
home of mode 0700, and no permission has to change.
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

# `postgres` comes first: that account owns databases by convention, while daemons of all kinds
# share `nobody`. Other processes of the same user must not reach a server that keeps
# CAP_DAC_OVERRIDE, and they cannot: its data and its socket lie in a folder of mode 0700 that
# belongs to root, and entering it takes that capability. A uid without an account would not do,
# because initdb wants a user name.
_NAMES = ("postgres", "nobody")

_KEEP = "-all,+dac_override"
# PostgreSQL looks at its own binaries with access(2), which ignores the capabilities of users
# other than root unless no_setuid_fixup is set.
_COMMON = ("--clear-groups", "--securebits", "+no_setuid_fixup", "--no-new-privs")
_CAPABILITIES = (
    (*_COMMON, "--inh-caps", _KEEP, "--ambient-caps", _KEEP, "--bounding-set", _KEEP),
    # A libcap-ng that is older than the kernel does not know "all". This loses nothing: root's
    # inheritable set is empty, and with no_new_privs nothing can draw on the bounding set.
    (*_COMMON, "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
)


class Account(NamedTuple):
    """The user and the group that a process runs as.

    Attributes:
        uid: the user's id.
        gid: the group's id.
        prefix: the words before a command that run it as that user with CAP_DAC_OVERRIDE.
        switches: whether to become that user without any capability.
    """

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    switches: bool = False

    def options(self) -> dict[str, Any]:
        """The arguments of `subprocess.run` that run a command as this account."""
        # The daemon must not see the caller's passwords and PG* variables.
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
        """Run a command as this account, and wait until it ends.

        Raises:
            OSError: the command is missing, or this process may not become that user.
        """
        return subprocess.run(  # noqa: S603 - the command is ours, and no shell reads it
            [*self.prefix, *command],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **self.options(),
        )

    def can_use(self, binaries: Path, folder: Path) -> bool:
        """Whether this account can run the PostgreSQL in `binaries` and enter `folder`."""
        script = 'test -d "$1/." && exec "$2" --show -D "$1"'
        try:
            done = self.run("/bin/sh", "-c", script, "sh", folder, binaries / "initdb")
        except OSError:
            return False
        return done.returncode == 0

    def read(self, path: Path) -> str | None:
        """The text of a file; None if there is no such file, or it cannot be read."""
        try:
            return path.read_text(errors="replace")
        except PermissionError:
            # A root without CAP_DAC_OVERRIDE cannot read the server's files.
            done = self.run("cat", path)
            return done.stdout if done.returncode == 0 else None
        except OSError:
            return None


def own() -> Account:
    """The account of this process."""
    return Account(os.geteuid(), os.getegid())


def unprivileged() -> tuple[int, int]:
    """The uid and the gid of the server when root starts it.

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
        f"{' or '.join(_NAMES)} to run it instead. Add one (useradd --system postgres), "
        "or run datanommer as an ordinary user."
    )


def with_capability(uid: int, gid: int) -> Iterator[Account]:
    """The accounts that run as a user with CAP_DAC_OVERRIDE, the strictest one first."""
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path=os.defpath)
    if setpriv is None:
        return
    for capabilities in _CAPABILITIES:
        who = ("--reuid", str(uid), "--regid", str(gid))
        yield Account(uid, gid, (setpriv, *who, *capabilities, "--"))


def name_of(uid: int) -> str:
    """The name of a user, as messages show it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"
