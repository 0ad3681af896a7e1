"""Messages that wait on disk while the database is away.

A spool is a folder of segments (see `segment`), and a state that says how far it is. A batch is
written in one go and is on the disk when `put` returns: a crash can tear only what was not yet
accepted. What waits is the text that came (see `datanommer.models.receiving.received`). A message
without an id or a time gets them when it goes in, so that they stay the same however often it is
taken out.

Ids count on as long as the state or the process lives, and no segment ever gets the name of
another. So an id that is in no segment and was not taken out means a lost message. It is counted,
whatever happened to the files. A message is taken out of the very segment that it was read from.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from datanommer.models.configuration import (
    SPOOL_DIR_KEY,
    SPOOL_MAX_BYTES_KEY,
    SPOOL_MIN_FREE_BYTES_KEY,
)
from datanommer.models.envelopes.identity import Fallback
from datanommer.models.errors import SpoolFull, SpoolOfAnotherVersion
from datanommer.models.receiving.received import Received
from datanommer.models.spooling.chunk import Chunk, content_of, gone, read, received_of
from datanommer.models.spooling.loss import Loss, set_aside
from datanommer.models.spooling.segment import Segment
from datanommer.models.spooling.state import State, locked, told_by, with_last_ids, with_tail

#: The most bytes that a spool takes, and the bytes that it leaves free on its disk, unless the
#: configuration says otherwise.
MAX_BYTES = 10 * 1024**3
MIN_FREE_BYTES = 512 * 1024**2

#: The subfolder of a spool for messages that take long to store.
SLOW = "slow"

_STATE = "state"
_OLD_FILE = "spool.sqlite"  # of a version before the first release
# A segment is deleted once all of it is stored. A small spool has small segments.
_SEGMENT_BYTES = 64 * 1024**2
_SEGMENTS = 16


class Waiting(NamedTuple):
    """What a spool holds.

    Attributes:
        messages: how many, including those that cannot be read.
        size: of its files, in bytes.
    """

    messages: int
    size: int


class _Opened(NamedTuple):
    descriptor: int | None  # of the file of the state
    state: State
    segments: list[Segment]


class Spool:
    """The messages that wait in a folder, in the order in which they came.

    Several threads and processes may use it at the same time. Nothing is made on the disk before
    something is put in.

    Args:
        folder: made where it is missing, for its owner alone.
        max_bytes: the most that its segments may take.
        min_free_bytes: what it leaves free on the disk.

    Attributes:
        folder, min_free_bytes: the same.
    """

    def __init__(
        self, folder: Path, max_bytes: int = MAX_BYTES, min_free_bytes: int = MIN_FREE_BYTES
    ) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self.min_free_bytes = min_free_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, max_bytes // _SEGMENTS)
        self._lock = threading.Lock()
        # How far the spool was when it was last used. The disk may not have taken that, or may have
        # lost it since.
        self._known = State()

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether there is a spool in a folder."""
        has_file = any((folder / name).is_file() for name in (_STATE, _OLD_FILE))
        return has_file or (folder.is_dir() and bool(Segment.all_in(folder)))

    @property
    def slow(self) -> Self:
        """A spool in a folder of this one, for messages that take long to store."""
        return type(self)(self.folder / SLOW, self._max_bytes, self.min_free_bytes)

    def require_room(self) -> None:
        """Make sure that messages can be put in.

        Raises:
            SpoolFull: they cannot.
            SpoolOfAnotherVersion: another version has written it.
        """
        with self._opened(to_write=True) as opened:
            self._require_room_for(0, opened.segments)
            assert opened.descriptor is not None
            opened.state.write(opened.descriptor)

    def put(self, batch: Sequence[Received]) -> None:
        """Add a batch behind those that wait: all of it is on the disk, or none.

        Raises:
            SpoolFull: it cannot be taken.
            SpoolOfAnotherVersion: another version has written it.
        """
        for received in batch:
            received.fallback = received.fallback or Fallback.draw()
        contents = [content_of(received) for received in batch]
        with self._opened(to_write=True) as opened:
            self._require_room_for(sum(map(len, contents)), opened.segments)
            state = opened.state
            segment = self._segment_to_write(opened)
            if segment is None:
                segment = Segment.new(self.folder, state.accepted + 1)
                state = state._replace(writing=segment.name, end=0)
            end = segment.append(contents, state.end, state.accepted + 1)
            state = state._replace(accepted=state.accepted + len(batch), end=end)
            self._save(opened._replace(state=state))

    def first(self, limit: int, max_bytes: int) -> Chunk | None:
        """What has waited longest; None if nothing waits.

        Args:
            limit: how many messages at most.
            max_bytes: how many bytes at most; the last message may exceed that.

        Raises:
            SpoolFull: it cannot be read.
            SpoolOfAnotherVersion: another version has written it.
        """
        with self._opened() as (_, state, segments):
            expected = state.taken + 1
            if expected > state.accepted:
                return None
            for segment, last in with_last_ids(segments, state):
                if expected < segment.first_id:
                    return gone(state, segment.first_id - 1)
                if expected <= last:
                    return read(segment, state, last, limit, max_bytes)
            return gone(state, state.accepted)

    def remove(self, chunk: Chunk) -> Loss | None:
        """Take out what was read, and is stored now.

        Nothing is taken out if somebody else did so, or if its file is no longer there. On a
        read-only disk, only this process remembers that it was taken out.

        Returns:
            What cannot be read, once the end of a damaged file is reached.

        Raises:
            SpoolFull: the folder cannot be used; they are still there, and can be stored again.
        """
        with self._opened(to_write=True, or_to_read=True) as opened:
            state, segments = opened.state, opened.segments
            names = {segment.name for segment in segments}
            is_there = chunk.segment is None or chunk.segment in names
            if state.taken != chunk.after or not is_there:
                return None
            if chunk.segment is None:
                self._save(opened._replace(state=state._replace(taken=chunk.last)))
                return Loss(chunk.missing, None)
            before = state.missing if state.reading == chunk.segment else 0
            state = state._replace(
                taken=chunk.last,
                reading=chunk.segment,
                offset=chunk.end,
                missing=before + chunk.missing,
            )
            self._save(opened._replace(state=state))
            return self._give_back(opened._replace(state=state))

    def waiting(self) -> Waiting:
        """How much waits. Changes nothing.

        Raises:
            SpoolFull: it cannot be read.
            SpoolOfAnotherVersion: another version has written it.
        """
        with self._opened() as (_, state, segments):
            messages = state.accepted - state.taken
            return Waiting(messages, sum(segment.size() for segment in segments))

    def oldest(self) -> float | None:
        """When what has waited longest was put in, in epoch seconds; None if nothing waits.

        If it came without a time and was examined before, that moment counts. Changes nothing.

        Raises:
            SpoolFull, SpoolOfAnotherVersion: as `waiting`.
        """
        chunk = self.first(1, 0)
        for received in chunk.received if chunk else ():
            return received.fallback.moment if received.fallback else None
        return None

    def topics(self) -> Iterator[str | None]:
        """The topics of the messages that wait and can be read, as they came. Changes nothing.

        Raises:
            SpoolFull, SpoolOfAnotherVersion: as `waiting`.
        """
        with self._opened() as (_, state, segments):
            pass
        with self._faults():
            for segment, last in with_last_ids(segments, state):
                # A hub may have taken it out meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    for record in segment.records():
                        if state.taken < record.record_id <= last:
                            yield received_of(record).topic

    def check(self) -> list[str]:
        """What is wrong with the files, in words; empty where they are whole. Changes nothing.

        Raises:
            SpoolFull, SpoolOfAnotherVersion: as `waiting`.
        """
        with self._opened() as (_, state, segments):
            pass
        faults = []
        expected = state.taken + 1
        for segment, last in with_last_ids(segments, state):
            if expected < segment.first_id:
                faults.append(str(Loss(segment.first_id - expected, None)))
            first_id = max(expected, segment.first_id)
            if first_id > last:
                continue
            expected = last + 1
            # A hub may have taken it out meanwhile.
            with contextlib.suppress(FileNotFoundError):
                ids = {record.record_id for record in segment.records()}
                if missing := sum(number not in ids for number in range(first_id, expected)):
                    faults.append(f"{segment.file}: {missing} messages in it cannot be read.")
        if expected <= state.accepted:
            faults.append(str(Loss(state.accepted - expected + 1, None)))
        return faults

    def _segment_to_write(self, opened: _Opened) -> Segment | None:
        """The segment that takes more; None if there has to be a new one."""
        state = opened.state
        segment = opened.segments[-1] if opened.segments else None
        if segment is None or segment.name != state.writing:
            return None
        is_cut = segment.size() < state.end
        is_damaged = state.missing > 0 and state.reading == segment.name
        is_large = state.end >= self._segment_bytes
        return None if is_cut or is_damaged or is_large else segment

    def _give_back(self, opened: _Opened) -> Loss | None:
        """Remove the segments that are taken out, and set the damaged one aside."""
        state = opened.state
        done = [
            segment
            for segment, last in with_last_ids(opened.segments, state)
            if last <= state.taken
        ]
        loss = None
        if done and opened.descriptor is not None:
            with contextlib.suppress(OSError):
                # Otherwise, what is removed now would count as lost after a power failure.
                os.fdatasync(opened.descriptor)
        for segment in done:
            if segment.name == state.reading and state.missing:
                loss = Loss(state.missing, set_aside(segment.file))
            else:
                with contextlib.suppress(OSError):
                    segment.file.unlink()
        return loss

    def _require_room_for(self, size: int, segments: Sequence[Segment]) -> None:
        free = shutil.disk_usage(self.folder).free
        used = sum(segment.size() for segment in segments)
        if used + size > self._max_bytes:
            raise SpoolFull(
                f"The spool in {self.folder} has reached its cap of {self._max_bytes} bytes "
                f"({SPOOL_MAX_BYTES_KEY})."
            )
        if free - size < self.min_free_bytes:
            raise SpoolFull(
                f"The disk of the spool in {self.folder} has {free} bytes free, and at least "
                f"{self.min_free_bytes} must stay free ({SPOOL_MIN_FREE_BYTES_KEY})."
            )

    @contextlib.contextmanager
    def _opened(self, *, to_write: bool = False, or_to_read: bool = False) -> Iterator[_Opened]:
        """The spool, while no other thread and no other process uses it.

        Args:
            to_write: make the folder and the state where they are missing.
            or_to_read: on a read-only disk, open it to read.
        """
        with self._lock, self._faults():
            if (self.folder / _OLD_FILE).exists():
                raise SpoolOfAnotherVersion
            if to_write:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.folder / _STATE, to_write, or_to_read) as descriptor:
                segments = Segment.all_in(self.folder) if self.folder.exists() else []
                yield _Opened(descriptor, self._state(descriptor, segments), segments)

    def _state(self, descriptor: int | None, segments: Sequence[Segment]) -> State:
        """How far the spool is, by the disk and by what this process knows."""
        known = self._known
        state = None if descriptor is None else State.read(descriptor)
        if state is None:
            state = (known if known.accepted else told_by(segments)).of_new_spool()
        # If they differ, another process has made the folder again, and its ids are not ours.
        elif state.spool == known.spool:
            state = state.merged_with(known)
        self._known = with_tail(state, segments)
        return self._known

    def _save(self, opened: _Opened) -> None:
        self._known = opened.state
        # The messages are safe already. If the state is not written, the segments tell it again.
        with contextlib.suppress(OSError):
            if opened.descriptor is not None:
                opened.state.write(opened.descriptor)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolFull(
                f"The spool in {self.folder} cannot be used: {error.strerror}. {SPOOL_DIR_KEY} in "
                "the fedmsg configuration can name another folder that this user can write to."
            ) from error
