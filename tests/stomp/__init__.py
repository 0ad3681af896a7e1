"""STOMP for tests: a broker whose faults a test may choose, and a client to speak to any broker."""

from .broker import Broker
from .client import Client
from .frames import Frame

__all__ = ["Broker", "Client", "Frame"]
