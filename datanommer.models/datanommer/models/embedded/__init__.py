"""A PostgreSQL server of datanommer's own, for where no other one is at hand.

Its data lives in a folder, its socket is private to whoever owns the folder, and it listens on
no network. It is a daemon: it outlives the process that started it, and others share it.
"""

from __future__ import annotations

from datanommer.models.embedded.server import Status, start, status, stop

__all__ = ["Status", "start", "status", "stop"]
