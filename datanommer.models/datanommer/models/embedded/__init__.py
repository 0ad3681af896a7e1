"""A PostgreSQL server of datanommer's own, for when no other one is at hand.

Its data lives in a folder, only the folder's owner reaches its socket, and it listens on no
network. It is a daemon: it outlives the process that started it, and other processes share it.
`datanommer.models` calls this room for ``embedded:`` URLs, and ``datanommer-embedded`` calls it
for its user. Programs should use an ``embedded:`` URL and leave the rest to `datanommer.models`.
"""

from __future__ import annotations

from datanommer.models.embedded.server import Status, start, status, stop

__all__ = ["Status", "start", "status", "stop"]
