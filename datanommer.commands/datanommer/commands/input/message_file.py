"""The messages of a file of JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedReader
from typing import Any

from datanommer.commands.input import json_stream
from datanommer.commands.input.unreadable import Damaged, NoMessages
from datanommer.models.exchange import record

_CHUNK = 1024 * 1024


def read(file: BufferedReader, progress: Callable[[int], object] = lambda _: None) -> Iterator[Any]:
    """The messages of a file, one at a time.

    Args:
        file: JSON.
        progress: called with the number of bytes of each read.

    Returns:
        Values for `datanommer.models.exchange.record.parse`, and an
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
            is_message = is_message or record.is_message(value)
            yield value
    except Damaged as error:
        if is_message:
            raise
        raise NoMessages(error.place) from None
    if is_any and not is_message:
        raise NoMessages(f"{file.name}: nothing in it has the form of a message")


def _values(file: BufferedReader, progress: Callable[[int], object]) -> Iterator[Any]:
    stream = io.BufferedReader(_Watched(file, progress), _CHUNK)
    return json_stream.read_values(iter(partial(stream.read1, _CHUNK), b""), file.name)


class _Watched(io.RawIOBase):
    """A file that tells how much is read of it."""

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
