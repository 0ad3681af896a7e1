"""The messages of a file, in whatever form its first bytes show."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedReader
from typing import Any

from datanommer.commands.input import csv_stream, json_stream
from datanommer.commands.input.unreadable import READ_ERRORS, Damaged, NoMessages
from datanommer.models.exchange import parser

_CHUNK = 1024 * 1024
_GZIP = b"\x1f\x8b"
_JSON = (b"{", b"[")
# No CSV header is this long.
_LONGEST_HEADER = 64 * 1024


def read(file: BufferedReader, progress: Callable[[int], object] = lambda _: None) -> Iterator[Any]:
    """The messages of a file, one at a time.

    Args:
        file: JSON, CSV or TSV, maybe packed by gzip.
        progress: called with the number of bytes of each read.

    Returns:
        Values for `datanommer.models.exchange.parser.parse`, and an
        `datanommer.commands.input.unreadable.Unreadable` for each that cannot be read.

    Raises:
        NoMessages: it has values, and none of them has the form of a message; or it is no such
            file.
        Damaged: it cannot be read any further.
    """
    is_any = is_message = False
    try:
        for value in _values(file, progress):
            is_any = True
            is_message = is_message or parser.is_message(value)
            yield value
    except Damaged as error:
        if is_message:
            raise
        raise NoMessages(error.place) from None
    if is_any and not is_message:
        raise NoMessages(f"{file.name}: nothing in it has the form of a message")


def _values(file: BufferedReader, progress: Callable[[int], object]) -> Iterator[Any]:
    try:
        stream = _unpacked(io.BufferedReader(_Watched(file, progress), _CHUNK))
        start = stream.peek(1).removeprefix(codecs.BOM_UTF8).lstrip()
        first = stream.readline(_LONGEST_HEADER) if start and start[:1] not in _JSON else b""
    except READ_ERRORS as error:
        raise Damaged.by(error, file.name, 1) from None
    if header := csv_stream.Header.of(first):
        return csv_stream.read_rows(stream, file.name, header)
    pieces = iter(partial(stream.read1, _CHUNK), b"")
    return json_stream.read_values(itertools.chain([first] if first else [], pieces), file.name)


def _unpacked(stream: io.BufferedReader) -> Any:
    """The stream, or what is packed in it; it has `peek`, `read1` and `readline`."""
    if stream.peek(len(_GZIP)).startswith(_GZIP):
        return gzip.GzipFile(fileobj=stream, mode="rb")
    return stream


class _Watched(io.RawIOBase):
    """A file that reports how much of it has been read."""

    def __init__(self, file: BufferedReader, progress: Callable[[int], object]) -> None:
        self._file = file
        self._progress = progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        self._progress(len(data))
        return len(data)
