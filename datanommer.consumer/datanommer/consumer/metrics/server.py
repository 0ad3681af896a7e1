"""The server that Prometheus asks.

The one in prometheus_client prints a traceback into the log if a client hangs up.
"""

from __future__ import annotations

import logging
import socket
import threading
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from datanommer.consumer.metrics.address import Address

log = logging.getLogger("fedmsg.consumers.datanommer.metrics")


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds; an idle connection takes up a thread

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name in Python
        """Log no requests: they come every few seconds."""


class Server(ThreadingMixIn, WSGIServer):
    """Hands out the metrics of a registry, over HTTP, in threads that end with the process.

    Args:
        address: where to listen.
        registry: what to hand out.

    Raises:
        OSError: the address is in use, or this host does not have it.
    """

    daemon_threads = True

    def __init__(self, address: Address, registry: CollectorRegistry) -> None:
        family, *_, place = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        super().__init__((str(place[0]), address.port), _Handler)
        self.set_app(make_wsgi_app(registry))
        threading.Thread(target=self.serve_forever, name="datanommer-metrics", daemon=True).start()

    def server_bind(self) -> None:
        """Bind, and look up no name: Python would ask the DNS, which may hold up the hub."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log no error if a client hangs up; Python would print a traceback."""
        log.debug("A request of %s was broken off.", client_address)
