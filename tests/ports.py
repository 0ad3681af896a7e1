"""Ports for servers that tests start: each keeps its own, also while it is down."""

from __future__ import annotations

import itertools
import os
import random
import socket

#: Below those that Linux gives to connections (net.ipv4.ip_local_port_range): one of these could
#: take a port before its server has it, or while that is down, even one that tries to reach it.
#: Tests that run in parallel have each their share: none draws the port of another's server.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PORTS = range(20000 + _WORKER, 32768, _WORKERS)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """So many of them, drawn by lot."""
    free = filter(_is_free, random.sample(_PORTS, len(_PORTS)))
    return list(itertools.islice(free, count))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
