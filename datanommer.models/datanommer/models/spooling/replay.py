"""What was stored lately, kept on disk in case a server takes over that does not have it.

A standby that copies asynchronously lacks what its primary committed last. When it is promoted,
that is gone, although it was committed. So a hub can keep copies of what it has stored for a while,
as records in segments (see `segment`), and note the timeline of the database beside them. On
another timeline it stores them again; what is there already counts as a duplicate.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from datanommer.models import configuration
from datanommer.models.configuration import REPLAY_MAX_BYTES_KEY, REPLAY_SECONDS_KEY
from datanommer.models.receiving.received import Received
from datanommer.models.spooling.chunk import content_of, received_of
from datanommer.models.spooling.folder import folder_of
from datanommer.models.spooling.segment import HEAD_BYTES, Segment

#: For how long copies are kept, in seconds, and how many bytes of them, unless the configuration
#: says otherwise. With 0 seconds, none are.
SECONDS = 0
MAX_BYTES = 1024**3

_FOLDER = "replay"  # in that of the spool
_TIMELINE = "timeline"
_SEGMENTS = 16  # that share the bytes; the oldest is removed as a whole


class Replay:
    """Copies of the messages that were stored lately; threads can share one.

    Args:
        folder: made where it is missing, for its owner alone.
        seconds: how long each is kept at least.
        max_bytes: the most that all of them may take. Where that is too little, the oldest go.
    """

    def __init__(self, folder: Path, seconds: int, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._segment: Segment | None = None
        self._end = 0
        self._last_id = 0

    @classmethod
    def configured(cls, config: Mapping[str, Any]) -> Self | None:
        """What the fedmsg configuration asks for; None if it asks for none.

        Raises:
            ConfigurationError: a value is no number, or there is no folder for the spool.
        """
        number = configuration.whole_number
        seconds = number(config, REPLAY_SECONDS_KEY, SECONDS, range(86_401))
        max_bytes = number(config, REPLAY_MAX_BYTES_KEY, MAX_BYTES, range(1, 2**63))
        return cls(folder_of(config) / _FOLDER, seconds, max_bytes) if seconds else None

    def keep(self, batch: Sequence[Received]) -> None:
        """Keep copies of a batch; they are on the disk when it returns.

        Raises:
            OSError: the disk does not take them.
        """
        contents = [content_of(received) for received in batch]
        with self._lock:
            segment = self._segment_for(sum(len(content) + HEAD_BYTES for content in contents))
            self._end = segment.append(contents, self._end, self._last_id + 1)
            self._last_id += len(contents)

    def messages(self) -> Iterator[Received]:
        """All that is kept, oldest first; what is damaged is passed over.

        Raises:
            OSError: a file cannot be read.
        """
        for segment in self._segments():
            # It may have been removed meanwhile, because there were too many.
            with contextlib.suppress(FileNotFoundError):
                for record in segment.records():
                    yield received_of(record)

    def expire(self) -> None:
        """Remove what has been kept for long enough.

        Raises:
            OSError: a file cannot be removed.
        """
        with self._lock:
            for segment in self._segments():
                if segment.modified() < time.time() - self._seconds:
                    self._remove(segment)

    def timeline(self) -> str | None:
        """The timeline that was noted last; None if there is none.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return (self._folder / _TIMELINE).read_text()
        except FileNotFoundError:
            return None

    def note(self, timeline: str) -> None:
        """Note the timeline of the server that has stored all that is kept.

        Raises:
            OSError: the disk does not take it.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / _TIMELINE).write_text(timeline)

    def _segments(self) -> list[Segment]:
        return Segment.all_in(self._folder) if self._folder.exists() else []

    def _segment_for(self, size: int) -> Segment:
        """The segment that takes so many bytes more; a new one where the last is full or gone."""
        room = max(size, self._max_bytes // _SEGMENTS)
        segment = self._segment
        if segment and self._end + size <= room and segment.size() >= self._end:
            return segment
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room(room)
        # Higher than the ids of an earlier process.
        self._last_id = max(self._last_id, time.time_ns())
        self._segment, self._end = Segment.new(self._folder, self._last_id + 1), 0
        return self._segment

    def _make_room(self, size: int) -> None:
        segments = self._segments()
        used = sum(segment.size() for segment in segments)
        for segment in segments:
            if used + size <= self._max_bytes:
                return
            used -= segment.size()
            self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        segment.file.unlink(missing_ok=True)
        if segment == self._segment:
            self._segment = None
