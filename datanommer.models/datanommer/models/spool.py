"""Messages that wait on disk while the database is away.

A spool is a folder with one SQLite database: a batch is one commit, and is on the disk when the
commit returns (``synchronous=FULL``), so that what a crash can tear is only what was not yet
accepted. What waits is what came, as JSON, which takes a tenth of the time that it takes to prepare
it for the database; that is done when it is taken out. Ids that were drawn stay what they are.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from datanommer.models import configuration, store
from datanommer.models.errors import NotStorable, SpoolDamaged, SpoolFull
from datanommer.models.message import MAX_DEPTH
from datanommer.models.store import Item, Reject

#: The keys of the fedmsg configuration: the folder, the most bytes that the spool takes, and the
#: bytes that it leaves free on its disk.
FOLDER_KEY = "datanommer.spool_dir"
MAX_BYTES_KEY = "datanommer.spool_max_bytes"
MIN_FREE_BYTES_KEY = "datanommer.spool_min_free_bytes"
# What they are where the configuration says nothing.
SYSTEM_FOLDER = Path("/var/spool/datanommer")
MAX_BYTES = 10 * 1024**3
MIN_FREE_BYTES = 512 * 1024**2

log = logging.getLogger(__name__)

_FILE = "spool.sqlite"
_LOCK_SECONDS = 10.0  # another process drains in transactions of milliseconds
_MAX_LENGTH = 512 * 1024**2  # of a message: no row takes as much, and SQLite no text over 10**9
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS waiting (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        envelope TEXT,  -- what came, as JSON
        given TEXT,     -- what `message.draw` gave to it, as JSON, if anything
        reject TEXT     -- in place of an envelope that JSON has no form for
    )
"""


class Received(NamedTuple):
    """What came from the bus.

    Attributes:
        envelope: the message.
        given: what `message.draw` gave to it.
    """

    envelope: Any
    given: Mapping[str, Any]


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
        """Begin anew, after the file was set aside.

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
        written = [_dump(received) for received in batch]
        size = sum(len(text) for texts in written for text in texts if text)
        self._require_room(size)
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO waiting (envelope, given, reject) VALUES (?, ?, ?)", written
            )

    def first(self, number: int) -> list[tuple[int, Item]]:
        """What came first, prepared to be stored, each with its place; `number` of them at most.

        Raises:
            SpoolDamaged: the file is damaged.
        """
        with self._lock, self._faults():
            found = self._connection.execute(
                "SELECT id, envelope, given, reject FROM waiting ORDER BY id LIMIT ?", [number]
            ).fetchall()
        return [(place, _load(*texts)) for place, *texts in found]

    def remove(self, up_to: int) -> None:
        """Take out the items up to a place, which are stored now.

        Raises:
            SpoolFull, SpoolDamaged: it fails; they are still there, and can be stored again.
        """
        with self._transaction() as connection:
            connection.execute("DELETE FROM waiting WHERE id <= ?", [up_to])

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
                "SELECT coalesce(max(id) - min(id) + 1, 0) FROM waiting"
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
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _size(self) -> int:
        files = (self.file, self.file.with_name(f"{_FILE}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _used(self) -> int:
        """The bytes of what waits; the file may have room from what was taken out."""
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
            raise SpoolFull(f"The spool {self.file} cannot be used: {error.strerror}.") from error
        except sqlite3.OperationalError as error:  # locked, full, read-only, an I/O error
            raise SpoolFull(f"The spool {self.file} cannot be written: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise SpoolDamaged(f"The spool {self.file} is damaged: {error}.") from error


def folder_of(config: Mapping[str, Any]) -> Path:
    """The folder of the spool that the fedmsg configuration names.

    Where it names none: /var/spool/datanommer where that can be written, else
    ``$XDG_STATE_HOME/datanommer/spool``.
    """
    if given := config.get(FOLDER_KEY):
        return Path(str(given)).expanduser().absolute()
    if os.access(SYSTEM_FOLDER, os.W_OK):
        return SYSTEM_FOLDER
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "datanommer" / "spool"


def configured(config: Mapping[str, Any]) -> Spool:
    """The spool of a hub; a damaged one is set aside for somebody to look at, and a new one begun.

    Raises:
        ConfigurationError: a limit is no number.
        SpoolFull: the folder cannot be written.
    """
    folder = folder_of(config)
    limits = (
        configuration.number(config, MAX_BYTES_KEY, MAX_BYTES, range(2**63)),
        configuration.number(config, MIN_FREE_BYTES_KEY, MIN_FREE_BYTES, range(2**63)),
    )
    try:
        return Spool(folder, *limits)
    except SpoolDamaged as error:
        log.critical("%s It is kept as %s.", error, set_aside(folder))
        return Spool(folder, *limits)


def damaged(folder: Path) -> list[Path]:
    """The files of damaged spools that were set aside in a folder."""
    found = sorted(folder.glob(f"{_FILE}.damaged-*"))
    return [file for file in found if not file.name.endswith(("-wal", "-shm"))]


def set_aside(folder: Path) -> Path:
    """Move the damaged file of a spool out of the way, for somebody to look at.

    Returns:
        Where it is now.
    """
    aside = folder / f"{_FILE}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    for suffix in ("", "-wal", "-shm"):
        file = folder / f"{_FILE}{suffix}"
        if file.exists():
            file.replace(f"{aside}{suffix}")
    return aside


_TOO_DEEP = NotStorable("too large", f"the message nests deeper than {MAX_DEPTH} levels")
_Texts = tuple[str | None, str | None, str | None]


def _dump(received: Received) -> _Texts:
    envelope, given = received
    try:
        text = json.dumps(envelope)
        if len(text) <= _MAX_LENGTH:
            return text, json.dumps(given) if given else None, None
        error = NotStorable("too large", f"the message is {len(text)} bytes of JSON")
    except RecursionError:
        error = _TOO_DEEP
    except (TypeError, ValueError) as cause:
        error = NotStorable("invalid", f"the message cannot be written as JSON: {cause}")
    return None, None, json.dumps(_fields_of(store.reject(envelope, error)))


def _load(envelope: str | None, given: str | None, reject: str | None) -> Item:
    if envelope is None:
        return _reject_of(json.loads(reject or ""))
    try:
        received = json.loads(envelope)
    except RecursionError:  # the stack of another process has less room
        return store.reject(envelope.encode(), _TOO_DEEP)
    return store.prepare(received, json.loads(given) if given else None)


def _fields_of(reject: Reject) -> dict[str, Any]:
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in asdict(reject).items()
    }


def _reject_of(fields: Mapping[str, Any]) -> Reject:
    decoded = {name: base64.b64decode(fields[name]) for name in ("raw", "sha256")}
    return Reject(**{**fields, **decoded})
