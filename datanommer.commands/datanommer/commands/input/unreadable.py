"""What cannot be read: a value of a file, or the rest of it, or all of it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Self

from datanommer.models.errors import DatanommerError

#: What a file raises that cannot be read, or that is packed and damaged.
READ_ERRORS = (EOFError, OSError, zlib.error)

_FORMS = (
    "datanommer-load reads JSON (what datanommer-dump writes, answers of datagrepper, envelopes, "
    "lines of fedora-messaging). It also reads CSV and TSV with the columns topic and msg (what "
    "datanommer-dump writes, Fedora's daily dumps). All of them may be packed by gzip."
)


@dataclass(slots=True)
class Unreadable:
    """A value, or a row, that cannot be read.

    Attributes:
        text: all of it, as it stands in the file.
        kind: the kind of reject that it becomes.
        reason: why it cannot be read, in words.
        topic: the topic, if that much is known.
        msg_id: the id, likewise.
    """

    text: bytes
    kind: str
    reason: str
    topic: str | None = None
    msg_id: str | None = None


class UnreadableFile(DatanommerError):
    """A file cannot be read to its end."""


class Damaged(UnreadableFile):
    """A file cannot be read any further.

    Args:
        name: of the file.
        line: where, from 1.
        reason: why, in words.
    """

    def __init__(self, name: str, line: int, reason: str) -> None:
        self.place = f"{name}, line {line}: {reason}"
        super().__init__(
            f"{self.place}. All messages before it were read. Correct the file and run the "
            "command again: what datanommer-load has stored counts as a duplicate."
        )

    @classmethod
    def by(cls, error: Exception, name: str, line: int) -> Self:
        """The `Damaged` for one of `READ_ERRORS`."""
        return cls(name, line, f"cannot be read ({getattr(error, 'strerror', None) or error})")


class NoMessages(UnreadableFile):
    """No message can be made out in a file; says what can be read.

    Args:
        place: its name, maybe the line, and why, in words.
    """

    def __init__(self, place: str) -> None:
        super().__init__(f"No message can be made out in {place}. {_FORMS}")
