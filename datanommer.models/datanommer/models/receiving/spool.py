"""Messages that wait on disk while the database is away.

A spool is a folder with one SQLite database. A batch is one commit, and is on the disk when the
commit returns (``synchronous=FULL``): so a crash can tear only what was not yet accepted. What
waits is the text that came (see `datanommer.models.receiving.received`). A message without an id
or a time gets them when it goes in, so that they stay the same however often it is taken out.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from datanommer.models import configuration
from datanommer.models.configuration import (
    SPOOL_DIR_KEY,
    SPOOL_MAX_BYTES_KEY,
    SPOOL_MIN_FREE_BYTES_KEY,
)
from datanommer.models.envelopes.identity import Fallback
from datanommer.models.errors import ConfigurationError, SpoolDamaged, SpoolFull
from datanommer.models.receiving.received import Received

#: Where the spool is, the most bytes that it takes, and the bytes that it leaves free on its disk,
#: unless the configuration says otherwise.
SYSTEM_FOLDER = Path("/var/spool/datanommer")
MAX_BYTES = 10 * 1024**3
MIN_FREE_BYTES = 512 * 1024**2

log = logging.getLogger(__name__)

_FILE = "spool.sqlite"
_LOCK_SECONDS = 10.0  # another process drains in transactions of milliseconds
# The columns are those of `Received`, with a `Fallback` for each. A body that is bytes stays bytes:
# SQLite keeps the type of a value, whatever that of its column.
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS received (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT, body TEXT NOT NULL, headers TEXT, is_accepted INTEGER NOT NULL,
        moment REAL NOT NULL, "unique" TEXT NOT NULL
    )
"""
_COLUMNS = 'topic, body, headers, is_accepted, moment, "unique"'


class Waiting(NamedTuple):
    """What a spool holds.

    Attributes:
        messages: how many.
        size: of its file, in bytes.
    """

    messages: int
    size: int


class Spool:
    """The messages that wait in a folder, in the order in which they came.

    Args:
        folder: made where it is missing, for its owner alone.
        max_bytes: the most that its file may take.
        min_free_bytes: what it leaves free on the disk.

    Raises:
        SpoolDamaged: there is a file, and SQLite cannot read it.
        SpoolFull: the folder cannot be made or written.
    """

    def __init__(
        self, folder: Path, max_bytes: int = MAX_BYTES, min_free_bytes: int = MIN_FREE_BYTES
    ) -> None:
        self.folder = folder
        self.file = folder / _FILE
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._lock = threading.Lock()
        self._open()

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether there is a spool in a folder."""
        return (folder / _FILE).is_file()

    def reopen(self) -> None:
        """Begin a new file, after the damaged one was set aside.

        Raises:
            SpoolDamaged, SpoolFull: as when it is made.
        """
        self.close()
        self._open()

    def _open(self) -> None:
        with self._faults():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.file, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
            )
            self.file.chmod(0o600)
            for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(_SCHEMA)

    def put(self, batch: Sequence[Received]) -> None:
        """Add a batch behind those that wait: all of it is on the disk, or none.

        Raises:
            SpoolFull: it cannot be taken.
            SpoolDamaged: the file is damaged.
        """
        self._require_room(sum(_size(received.body) for received in batch))
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT INTO received ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
                map(_columns_of, batch),
            )

    def first(self, limit: int) -> list[tuple[int, Received]]:
        """What came first, each with its id in the spool; at most `limit` of them.

        Raises:
            SpoolDamaged: the file is damaged.
        """
        with self._lock, self._faults():
            found = self._connection.execute(
                f"SELECT id, {_COLUMNS} FROM received ORDER BY id LIMIT ?", [limit]
            ).fetchall()
        return [(spool_id, _received(*columns)) for spool_id, *columns in found]

    def remove(self, up_to: int) -> None:
        """Take out the messages up to an id, which are stored now.

        Raises:
            SpoolFull, SpoolDamaged: it fails; they are still there, and can be stored again.
        """
        with self._transaction() as connection:
            connection.execute("DELETE FROM received WHERE id <= ?", [up_to])

    def shrink(self) -> None:
        """Give the disk back what is not needed any more."""
        with self._lock, self._faults():
            # As a script: `execute` would take a single step, and give back a single page.
            self._connection.executescript("PRAGMA incremental_vacuum")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def waiting(self) -> Waiting:
        """How much waits.

        Raises:
            SpoolDamaged: the file is damaged.
        """
        with self._lock, self._faults():
            # What is taken out is always what came first, so there are no gaps.
            (messages,) = self._connection.execute(
                "SELECT coalesce(max(id) - min(id) + 1, 0) FROM received"
            ).fetchone()
        return Waiting(messages, self._size())

    def check(self) -> list[str]:
        """What is wrong with the file, in words; empty where it is whole."""
        with self._lock:
            try:
                found = [row[0] for row in self._connection.execute("PRAGMA integrity_check")]
            except sqlite3.DatabaseError as error:
                return [str(error)]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _size(self) -> int:
        files = (self.file, self.file.with_name(f"{_FILE}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _used(self) -> int:
        """The bytes of what waits; the file may hold free pages as well."""
        with self._lock, self._faults():
            pages, unused, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - unused) * size

    def _require_room(self, size: int) -> None:
        with self._faults():
            free = shutil.disk_usage(self.folder).free
        used = self._used()
        if used + size > self._max_bytes:
            raise SpoolFull(
                f"The spool {self.file} has reached its cap of {self._max_bytes} bytes "
                "(datanommer.spool_max_bytes)."
            )
        if free - size < self._min_free_bytes:
            raise SpoolFull(
                f"The disk of the spool {self.file} has {free} bytes free, and at least "
                f"{self._min_free_bytes} stay free (datanommer.spool_min_free_bytes)."
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolFull(
                f"The spool {self.file} cannot be used: {error.strerror}. {SPOOL_DIR_KEY} in the "
                "fedmsg configuration can name another folder, which this user may write."
            ) from error
        # Locked, full, read-only, an I/O error; and what is too long.
        except (sqlite3.OperationalError, sqlite3.DataError) as error:
            raise SpoolFull(f"The spool {self.file} cannot be written: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise SpoolDamaged(f"The spool {self.file} is damaged: {error}.") from error


def folder_of(config: Mapping[str, Any]) -> Path:
    """The folder of the spool that the fedmsg configuration names.

    Where it names none: /var/spool/datanommer where that can be written, else
    ``$XDG_STATE_HOME/datanommer/spool``.

    Raises:
        ConfigurationError: it names none, and the user has no home.
    """
    if configured := config.get(SPOOL_DIR_KEY):
        return Path(str(configured)).expanduser().absolute()
    if os.access(SYSTEM_FOLDER, os.W_OK):
        return SYSTEM_FOLDER
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        raise ConfigurationError(
            f"This user has no home for the spool. Name a folder with {SPOOL_DIR_KEY} in the "
            "fedmsg configuration."
        ) from None
    return Path(state) / "datanommer" / "spool"


def open_configured(config: Mapping[str, Any]) -> Spool:
    """The spool of a hub. A damaged file is set aside for somebody to look at, and a new one begun.

    Raises:
        ConfigurationError: a limit is no number, or no folder can be found.
        SpoolFull: the folder cannot be written.
    """
    folder = folder_of(config)
    limits = (
        configuration.whole_number(config, SPOOL_MAX_BYTES_KEY, MAX_BYTES, range(2**63)),
        configuration.whole_number(config, SPOOL_MIN_FREE_BYTES_KEY, MIN_FREE_BYTES, range(2**63)),
    )
    try:
        return Spool(folder, *limits)
    except SpoolDamaged as error:
        log.critical("%s It is kept as %s.", error, set_aside(folder))
        return Spool(folder, *limits)


def damaged_files(folder: Path) -> list[Path]:
    """The files of damaged spools that were set aside in a folder."""
    files = sorted(folder.glob(f"{_FILE}.damaged-*"))
    return [file for file in files if not file.name.endswith(("-wal", "-shm"))]


def set_aside(folder: Path) -> Path:
    """Move the damaged file of a spool aside, for somebody to look at.

    Returns:
        Where it is now.
    """
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    # Whatever else was set aside stays, even in the same second.
    aside = folder / f"{_FILE}.damaged-{moment}-{uuid.uuid4().hex[:8]}"
    for suffix in ("", "-wal", "-shm"):
        file = folder / f"{_FILE}{suffix}"
        if file.exists():
            file.replace(f"{aside}{suffix}")
    return aside


def _size(body: str | bytes) -> int:
    return len(body) if body.isascii() or isinstance(body, bytes) else len(body.encode())


def _columns_of(received: Received) -> tuple[Any, ...]:
    received.fallback = received.fallback or Fallback.draw()
    return (
        received.topic,
        received.body,
        received.headers,
        received.is_accepted,
        *received.fallback,
    )


def _received(
    topic: str | None, body: str | bytes, headers: str | None, is_accepted: int, *fallback: Any
) -> Received:
    return Received(topic, body, headers, Fallback(*fallback), bool(is_accepted))
