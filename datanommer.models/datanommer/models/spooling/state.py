"""How far a spool is: a small file beside its segments.

It is written after the change that it records, without waiting for the disk. After a power failure
it may be behind; then the segments tell the rest (see `Spool`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from datanommer.models.errors import SpoolOfAnotherVersion
from datanommer.models.spooling.segment import VERSION, Segment, pread

_LOCK_SECONDS = 10.0  # another process is done in milliseconds
_LOCK_PAUSE = 0.01
_SIZE = 512  # of the file, in bytes: one sector, which a disk writes whole


class State(NamedTuple):
    """How far a spool is.

    Attributes:
        accepted: the id of the last message that was put in.
        taken: the id of the last message that was taken out.
        writing: the name of the segment that was written to last.
        end: where that ends, in bytes.
        reading: the name of the segment that was read last.
        offset: where its next record begins, in bytes.
        missing: how many of its messages could not be read so far.
        spool: a random name, to tell it from an earlier spool in the same folder.
    """

    accepted: int = 0
    taken: int = 0
    writing: str = ""
    end: int = 0
    reading: str = ""
    offset: int = 0
    missing: int = 0
    spool: str = ""

    @classmethod
    def read(cls, descriptor: int) -> Self | None:
        """The state in an open file; None if it holds none, or is damaged.

        Raises:
            SpoolOfAnotherVersion: another version of datanommer has written it.
        """
        line = pread(descriptor, _SIZE, 0).rstrip(b"\0\n")
        text, _, checksum = line.rpartition(b" ")
        if not text or checksum != _checksum(text):
            return None
        values = json.loads(text)
        if values.pop("version") != VERSION:
            raise SpoolOfAnotherVersion
        return cls(**values)

    def of_new_spool(self) -> Self:
        """The same state, with a name for a new spool."""
        return self._replace(spool=uuid.uuid4().hex)

    def merged_with(self, other: Self) -> Self:
        """This state, or the other where that is further."""
        state = self
        if other.accepted > state.accepted:
            state = state._replace(accepted=other.accepted, writing=other.writing, end=other.end)
        if other.taken > state.taken:
            state = state._replace(
                taken=other.taken,
                reading=other.reading,
                offset=other.offset,
                missing=other.missing,
            )
        return state

    def write(self, descriptor: int) -> None:
        """Write it to an open file.

        Raises:
            OSError: the disk does not take it.
        """
        text = json.dumps({"version": VERSION, **self._asdict()}).encode()
        line = b"%b %b\n" % (text, _checksum(text))
        os.pwrite(descriptor, line.ljust(_SIZE, b"\0"), 0)


@contextlib.contextmanager
def locked(file: Path, to_write: bool, or_to_read: bool) -> Iterator[int | None]:
    """The file of a state, locked; None where there is none, and nothing is to be written.

    Args:
        file: the file.
        to_write: make it where it is missing.
        or_to_read: on a read-only disk, open it to read.

    Raises:
        OSError: it cannot be opened, or another process holds the lock for ten seconds.
    """
    descriptor = _open(file, to_write, or_to_read)
    if descriptor is None:
        yield None
        return
    try:
        _wait_for_lock(descriptor, fcntl.LOCK_EX if to_write else fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(file: Path, to_write: bool, or_to_read: bool) -> int | None:
    if to_write:
        try:
            return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            if not (or_to_read and error.errno == errno.EROFS):
                raise
    try:
        return os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return None


def _wait_for_lock(descriptor: int, kind: int) -> None:
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(_LOCK_PAUSE)
        else:
            return


def told_by(segments: Sequence[Segment]) -> State:
    """The state, from the segments alone. What was already taken out of them comes again."""
    if not segments:
        return State()
    return State(accepted=segments[-1].first_id - 1, taken=segments[0].first_id - 1)


def with_tail(state: State, segments: Sequence[Segment]) -> State:
    """The state, with the records in the segments that it does not know of yet.

    A process was killed after it had written them, or the power failed before the state was.
    """
    segment = segments[-1] if segments else None
    if segment is None:
        return state
    if segment.name == state.writing and segment.size() > state.end:
        offset = state.end
    elif segment.first_id > state.accepted:
        # The process may have been killed before it had written even the title.
        offset = segment.start if segment.size() >= segment.start else 0
        state = state._replace(accepted=segment.first_id - 1)
    else:
        return state
    state = state._replace(writing=segment.name, end=offset)
    for record in segment.records(offset):
        state = state._replace(accepted=max(state.accepted, record.record_id), end=record.end)
    return state


def with_last_ids(segments: Sequence[Segment], state: State) -> Iterator[tuple[Segment, int]]:
    """Segments, each with the id of its last message."""
    last_ids = [segment.first_id - 1 for segment in segments[1:]]
    return zip(segments, [*last_ids, state.accepted], strict=False)


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
