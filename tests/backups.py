"""Backups of a database, made and restored by PostgreSQL's own programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from classic import execute
from datanommer.models.embedded import binaries
from datanommer.models.errors import EmbeddedError
from services import leave_out


def programs_of(url: str) -> Path:
    """The folder of pg_dump and psql in the version of the server, which no other one suits."""
    ((version,),) = execute(url, "SHOW server_version_num")
    try:
        return binaries.find(int(version) // 10000).folder
    except EmbeddedError as error:
        leave_out(str(error))


def save(url: str, file: Path) -> None:
    """Write a dump of a database."""
    _run(programs_of(url) / "pg_dump", "--format=custom", f"--file={file}", url)


def restore(file: Path, url: str) -> None:
    """Restore a dump into an empty database."""
    _run(programs_of(url) / "pg_restore", "--exit-on-error", f"--dbname={url}", file)


def text_of(url: str, *options: str) -> str:
    """All that a database is made of, as SQL: tables with their rows, triggers, rights and all.

    Args:
        url: of the database.
        options: more of ``pg_dump``, to leave something out.
    """
    text = _run(programs_of(url) / "pg_dump", *options, url)
    # The first and the last command have a random key in them.
    return "".join(line for line in text.splitlines(True) if not line.startswith("\\"))


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
