"""A file of records, each with a checksum: the spool consists of such segments.

A segment begins with a line that says what it is. A record is a marker, an id, a length, a CRC-32
(of the id, the length and the content), and the content. Each segment has a random marker, which is
also in its name and in its first line. Whatever is damaged, the next record is found by its marker.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from datanommer.models.disk import synchronise

#: The version of the format of segments and state.
VERSION = 2

_SUFFIX = ".spool"
_NAME = re.compile(r"(?P<first_id>\d{20})-(?P<marker>[0-9a-f]{16})\.")
_TITLE = re.compile(rb"datanommer spool (\d+) ([0-9a-f]{16})\n")
_HEAD = struct.Struct(">8sQII")  # marker, id, length and checksum
#: What a record takes beside its content.
HEAD_BYTES = _HEAD.size
_SIGNED = struct.Struct(">QI")  # what the checksum covers beside the content
_LOOK_BYTES = 1024 * 1024  # that are looked through at a time for the next marker
_PARTS = 1024  # that Linux takes in one call to write
_BLOCK_BYTES = 4096  # that a disk fails to read at a time


class Record(NamedTuple):
    """A record of a segment.

    Attributes:
        record_id: its id.
        content: what it holds.
        end: where the next one begins, in bytes from the start of the file.
    """

    record_id: int
    content: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of records.

    Attributes:
        file: the file.
        first_id: the id of its first record.
        marker: what each of its records begins with, eight bytes.
    """

    file: Path
    first_id: int
    marker: bytes

    @classmethod
    def all_in(cls, folder: Path) -> list[Self]:
        """The segments in a folder, in the order of their ids."""
        segments = [
            cls(file, int(match["first_id"]), bytes.fromhex(match["marker"]))
            for file in folder.iterdir()
            if file.suffix == _SUFFIX and (match := _NAME.match(file.name))
        ]
        return sorted(segments, key=lambda segment: segment.name)

    @classmethod
    def new(cls, folder: Path, first_id: int) -> Self:
        """A segment whose file is made when something is written to it."""
        marker = uuid.uuid4().bytes[:8]
        return cls(folder / f"{first_id:020}-{marker.hex()}{_SUFFIX}", first_id, marker)

    @classmethod
    def of_file(cls, file: Path) -> Self | None:
        """The segment that is in a file, by its first line or by its name; None if there is none.

        Raises:
            OSError: it cannot be read.
        """
        descriptor = os.open(file, os.O_RDONLY)
        try:
            title = _TITLE.match(pread(descriptor, _BLOCK_BYTES, 0))
        finally:
            os.close(descriptor)
        name = _NAME.match(file.name)
        if title and int(title[1]) == VERSION:
            marker = bytes.fromhex(title[2].decode())
        elif name and not title:
            marker = bytes.fromhex(name["marker"])
        else:
            return None
        return cls(file, int(name["first_id"]) if name else 0, marker)

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return self.file.name

    @property
    def start(self) -> int:
        """Where the first record begins, in bytes."""
        return len(self._title())

    def size(self) -> int:
        """How large the file is, in bytes; 0 if it is gone."""
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0

    def modified(self) -> float:
        """When the file was written to, in seconds since 1970; 0 if it is gone."""
        try:
            return self.file.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def append(self, contents: Sequence[bytes], end: int, first_id: int = 0) -> int:
        """Write records behind those that end at `end`; they are on the disk when it returns.

        Args:
            contents: what they hold.
            end: where they begin, in bytes; what is behind is cut off. 0 for a new file.
            first_id: the id of the first of them; the others count on.

        Returns:
            Where they end.

        Raises:
            OSError: the disk does not take them. Then none is there.
        """
        parts = [] if end else [self._title()]
        for place, content in enumerate(contents):
            parts += (self._head(first_id + place, content), content)
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size > end:
                os.ftruncate(descriptor, end)
            try:
                written = _write(descriptor, parts, end)
                os.fdatasync(descriptor)
                if not end:
                    synchronise(self.file.parent)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
        return written

    def records(self, offset: int = 0) -> Iterator[Record]:
        """The records from a place on; what is damaged is passed over.

        Args:
            offset: where one begins, in bytes; 0 for the first.

        Raises:
            OSError: the file cannot be opened.
        """
        descriptor = os.open(self.file, os.O_RDONLY)
        try:
            place: int | None = max(offset, self.start)
            while place is not None:
                record = self._read(descriptor, place)
                if record:
                    yield record
                    place = record.end
                else:
                    place = self._next_marker(descriptor, place + 1)
        finally:
            os.close(descriptor)

    def _title(self) -> bytes:
        return b"datanommer spool %d %b\n" % (VERSION, self.marker.hex().encode())

    def _head(self, record_id: int, content: bytes) -> bytes:
        checksum = _checksum(record_id, content)
        return _HEAD.pack(self.marker, record_id, len(content), checksum)

    def _read(self, descriptor: int, place: int) -> Record | None:
        head = pread(descriptor, _HEAD.size, place)
        if len(head) < _HEAD.size:
            return None
        marker, record_id, length, checksum = _HEAD.unpack(head)
        begin = place + _HEAD.size
        # Do not trust a damaged length: it may be larger than the memory.
        if marker != self.marker or begin + length > os.fstat(descriptor).st_size:
            return None
        content = pread(descriptor, length, begin)
        if _checksum(record_id, content) != checksum:
            return None
        return Record(record_id, content, begin + length)

    def _next_marker(self, descriptor: int, place: int) -> int | None:
        overlap = len(self.marker) - 1
        while len(data := pread(descriptor, _LOOK_BYTES, place)) > overlap:
            found = data.find(self.marker)
            if found >= 0:
                return place + found
            place += len(data) - overlap
        return None


def pread(descriptor: int, length: int, place: int) -> bytes:
    """What a file holds; zeros for the blocks that the disk cannot read.

    Args:
        descriptor: of the open file.
        length: how many bytes.
        place: where they begin.

    Raises:
        OSError: it cannot be read, for another reason than a bad block.
    """
    pieces = []
    while length:
        try:
            piece = os.pread(descriptor, length, place)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            piece = _pread_blocks(descriptor, min(length, _LOOK_BYTES), place)
        if not piece:
            break
        pieces.append(piece)
        length, place = length - len(piece), place + len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _checksum(record_id: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(_SIGNED.pack(record_id, len(content))))


def _write(descriptor: int, parts: Sequence[bytes], place: int) -> int:
    """Write parts one after the other, without a copy of all of them; where they end."""
    for start in range(0, len(parts), _PARTS):
        left: list[bytes | memoryview] = list(parts[start : start + _PARTS])
        while left:
            written = os.pwritev(descriptor, left, place)
            place += written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = memoryview(left[0])[written:]
    return place


def _pread_blocks(descriptor: int, length: int, place: int) -> bytes:
    end = min(place + length, os.fstat(descriptor).st_size)
    pieces = []
    while place < end:
        size = min(_BLOCK_BYTES - place % _BLOCK_BYTES, end - place)
        try:
            pieces.append(os.pread(descriptor, size, place))
        except OSError:
            pieces.append(bytes(size))
        place += size
    return b"".join(pieces)
