"""The limits of a monitor: on age, waiting messages and rejects, overall or by category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a monitor. Each is by category; None stands for all of them together.

    Attributes:
        max_age: how long ago the newest message may have been stored.
        max_waiting: how many messages may wait on disk.
        max_rejected: how many may be rejected on a day.
    """

    max_age: Mapping[str | None, timedelta] = field(default_factory=dict)
    max_waiting: Mapping[str | None, int] = field(default_factory=dict)
    max_rejected: Mapping[str | None, int] = field(default_factory=dict)
