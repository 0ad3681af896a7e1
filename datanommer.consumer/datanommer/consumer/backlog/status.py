"""What the hub has handled, and what it missed while it was down, in two files.

The *status file* is fedmsg's: same place and same format, but without the contents of messages.
Beside it is the file of gaps: from when to when the hub was down, until that is fetched. The status
file says when the hub was last up, and the next message overwrites that. So the gap is written to
disk before.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datanommer.consumer.quiet_log import QuietLog
from datanommer.models import times
from datanommer.models.disk import synchronise
from datanommer.models.envelopes import fields
from datanommer.models.errors import NotStorable

# How much earlier a gap begins, because messages overtake each other and hosts' clocks differ.
_OVERLAP_SECONDS = 10
_DAMAGE = (AttributeError, KeyError, TypeError, ValueError, RecursionError, NotStorable)


class Gap(NamedTuple):
    """A time of which the hub may have missed messages, in epoch seconds."""

    start: int
    end: int

    def __str__(self) -> str:
        return " to ".join(times.to_text(times.from_epoch(each)) for each in self)


class Status:
    """The status file and the file of gaps; threads can share one.

    Args:
        file: the status file. It need not exist, nor its folder.
        log: gets a line for what cannot be read or written. Nothing is raised.
    """

    def __init__(self, file: Path, log: logging.Logger) -> None:
        self._file = file
        self._file_of_gaps = file.with_name(f"{file.name}.gaps")
        self._log = QuietLog(log, per_minute=1)
        self._lock = threading.Lock()
        self._gaps: list[Gap] = []

    def missed(self, until: float) -> list[Gap]:
        """The gaps that are still to be fetched, the oldest first; they are on the disk.

        Args:
            until: epoch seconds. The last gap begins at the time in the status file, and ends
                here.
        """
        self._gaps = self._read_gaps()
        since = self._read_status()
        if since is not None:
            start = max(int(since) - _OVERLAP_SECONDS, 0)
            self._gaps = _merged([*self._gaps, Gap(start, max(int(until), start))])
        self._write_gaps()
        return list(self._gaps)

    def forget(self, gap: Gap) -> None:
        """Drop a gap whose messages were all fetched and kept."""
        self._gaps.remove(gap)
        self._write_gaps()

    def note(self, status: str, envelope: Mapping[str, Any]) -> None:
        """Write the status file.

        Args:
            status: ``"pre"`` before a message is handled, and ``"post"`` afterwards.
            envelope: of the message; its body is an object.
        """
        body = envelope["body"]
        try:
            sent = fields.read_timestamp(body.get("timestamp"))
        except NotStorable:
            sent = fields.read_timestamp(time.time())
        told = {
            "topic": body.get("topic"),
            "msg_id": body.get("msg_id"),
            "timestamp": times.to_epoch(sent),
        }
        message = {"topic": envelope["topic"], "body": told}
        with self._lock:
            self._write(self._file, {"message": message, "status": status})

    def close(self) -> None:
        """Log how many lines were left out."""
        self._log.close()

    def _read_status(self) -> float | None:
        """When the hub was last up; None where nobody knows."""
        try:
            written = self._file.stat().st_mtime
            try:
                return min(written, _time_of(self._file.read_bytes()))
            except _DAMAGE:
                self._log.warning(
                    "The status file %s is damaged. All messages since it was written count as "
                    "missed.",
                    self._file,
                )
                return written
        except FileNotFoundError:
            return None
        except OSError as error:
            self._log.warning(
                "The status file %s cannot be read: %s. What this hub missed since it was last up "
                "is not fetched.",
                self._file,
                error.strerror,
            )
            return None

    def _read_gaps(self) -> list[Gap]:
        try:
            text = self._file_of_gaps.read_text(encoding="utf-8")
            return _merged(Gap(*map(int, each)) for each in json.loads(text))
        except FileNotFoundError:
            return []
        except (*_DAMAGE, OverflowError, OSError) as error:
            self._log.warning(
                "The file of gaps %s cannot be read: %s. What is in it is not fetched.",
                self._file_of_gaps,
                getattr(error, "strerror", None) or "it is damaged",
            )
            return []

    def _write_gaps(self) -> None:
        self._write(self._file_of_gaps, self._gaps, durable=True)

    def _write(self, file: Path, content: Any, *, durable: bool = False) -> None:
        # A reader finds either the old content or the new, even after a kill -9.
        new = file.with_name(f"{file.name}.new")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w", encoding="utf-8") as stream:
                json.dump(content, stream)
                if durable:
                    stream.flush()
                    os.fsync(stream.fileno())
            new.replace(file)
            if durable:
                synchronise(file.parent)
        except OSError as error:
            self._log.warning(
                "%s cannot be written: %s. What this hub misses while it is down may not be "
                "fetched.",
                file,
                error.strerror,
                kind=file,
            )


def _time_of(status: bytes) -> float:
    """When the message in a status file was sent; fedmsg may have written the file."""
    body = json.loads(status)["message"]["body"]
    if isinstance(body, str):
        body = json.loads(body)
    return times.to_epoch(fields.read_timestamp(body.get("timestamp")))


def _merged(gaps: Iterable[Gap]) -> list[Gap]:
    """The gaps in order, and those that overlap as one."""
    merged: list[Gap] = []
    for gap in sorted(gaps):
        if merged and gap.start <= merged[-1].end:
            merged[-1] = Gap(merged[-1].start, max(merged[-1].end, gap.end))
        else:
            merged.append(gap)
    return merged
