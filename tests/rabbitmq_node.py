"""A RabbitMQ of a test's own, from Debian's package: it may be killed, and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import rabbitmq
from bus import happens
from ports import free_ports

#: Not the one in /usr/sbin, which runs as the user rabbitmq, in a folder of the system's own.
_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
#: Seconds, to be up; it takes five where little else runs.
_PATIENCE = 120
#: A node may give up by itself on a machine that is busy: it waits for its own parts for so long.
_TRIES = 3


def why_not() -> str | None:
    """Why no RabbitMQ can be started to test on, if none can."""
    if not _SERVER.exists():
        return f"RabbitMQ is not installed as Debian has it: there is no {_SERVER}"
    for program in ("erl", "epmd"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


class RabbitMQ:
    """A node with ports, a name server and a cookie of its own, and no plugins.

    Args:
        folder: an empty one, where it keeps its messages.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port, self._distribution_port, self._epmd_port = free_ports(3)
        (folder / "enabled_plugins").write_text("[].\n")
        self._epmd = self._start_epmd()
        self.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for AMQP."""
        return ("127.0.0.1", self.port)

    def _start_epmd(self) -> subprocess.Popen[bytes]:
        """The name server of Erlang, in the foreground: a node would start one that outlives it."""
        epmd = subprocess.Popen(
            ["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert happens(lambda: _listens(self._epmd_port), _PATIENCE), "epmd does not listen"
        return epmd

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self._folder / "rabbitmq.log"
        for _ in range(_TRIES):
            self._start_process(log)
            happens(lambda: self._answers() or self._process.poll() is not None, _PATIENCE)
            if self._answers():
                return
            self.kill()
        self.close()
        raise AssertionError(log.read_text())

    def _start_process(self, log: Path) -> None:
        with log.open("a") as output:
            self._process = subprocess.Popen(
                [_SERVER],
                cwd=self._folder,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _environment(self) -> dict[str, str]:
        """Nothing of the system's node: https://www.rabbitmq.com/docs/configure#supported-environment-variables."""
        absent = str(self._folder / "absent")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),  # for the cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            # One scheduler: small. Without the interface, it would listen on all.
            "ERL_FLAGS": "+S 1:1 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            # The script becomes the Erlang VM then, and is no parent of it: a kill is the VM's.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": "faults@localhost",  # its epmd knows no other
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": absent,
            "RABBITMQ_CONFIG_FILE": absent,
            "RABBITMQ_CONFIG_FILES": absent,
            "RABBITMQ_ADVANCED_CONFIG_FILE": absent,
        }

    def _answers(self) -> bool:
        # A client logs much about a port that nobody listens on.
        return _listens(self.port) and rabbitmq.why_not(self.address) is None

    def kill(self) -> None:
        """End it as a power cut would; `start` finds what it had on its disk."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._epmd.kill()
        self._epmd.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
