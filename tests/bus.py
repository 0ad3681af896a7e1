"""A real bus for a test: its configuration, a publisher, and the daemons of fedmsg."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import zmq
from sqlalchemy import orm

import warm
from datanommer.models import Message
from datanommer.models.database.engine import create_engine
from orm import Rejected
from ports import free_port
from shell import script

#: How long to wait for something that comes at once, unless something is wrong; in seconds.
PATIENCE = 30


def eventually(happened: Callable[[], Any], what: str) -> None:
    """Wait until something has happened, and fail if it does not."""
    assert happens(happened, PATIENCE), f"waited {PATIENCE} s in vain for {what}"


def happens(happened: Callable[[], Any], seconds: float) -> bool:
    """Wait until something has happened, or for so many seconds."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Daemon:
    """A console script that runs on its own, with its output in a file."""

    def __init__(
        self,
        command: str,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = folder / f"{command}-{uuid.uuid4().hex}.log"
        self._process = _start(
            command,
            *arguments,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            log=self._log,
        )

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return self._log.read_text()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_it_says(self, text: str) -> None:
        eventually(lambda: text in self.log or not self.is_alive, f"{text!r} in the log")
        assert text in self.log, self.log

    def exit_code(self) -> int:
        """Wait for its end."""
        return self._process.wait(PATIENCE)

    def peak_memory(self) -> int:
        """The most memory that it has had so far, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def has_ended(self) -> bool:
        """Wait for its end; whether it comes."""
        return happens(lambda: not self.is_alive, PATIENCE)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _start(
    command: str, *arguments: str, cwd: Path, env: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes] | warm.Process:
    if warm.can_run(script(command), {"env": env}):
        return warm.start(script(command), *arguments, cwd=cwd, env=env, log=log)
    with log.open("w") as output:
        return subprocess.Popen(
            [script(command), *arguments],
            cwd=cwd,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def end(daemons: Iterable[Daemon]) -> None:
    """Tell daemons to end, and wait for all of them; fail if one has to be killed."""
    daemons = list(daemons)
    for daemon in daemons:
        daemon.send(signal.SIGTERM)
    late = [daemon for daemon in daemons if not daemon.has_ended()]
    for daemon in late:
        daemon.kill()
    assert not late, "\n".join([f"not ended in {PATIENCE} s:", *(daemon.log for daemon in late)])


class Publisher:
    """A service on the bus: whoever listens to it connects to its endpoint.

    An XPUB socket, on the wire the same as the PUB sockets of fedmsg, also tells who subscribes.
    """

    def __init__(self) -> None:
        self._socket: zmq.SyncSocket = zmq.Context.instance().socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # drop nothing where a hub is slow
        port: int = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"

    def wait_for_subscriber(self) -> None:
        assert self.has_new_subscriber(PATIENCE), "nobody subscribed"
        self._socket.recv()

    def has_new_subscriber(self, seconds: float) -> bool:
        return bool(self._socket.poll(int(seconds * 1000)))

    def publish(self, *envelopes: dict[str, Any]) -> None:
        for envelope in envelopes:
            self.send(envelope["topic"], json.dumps(envelope["body"]))

    def send(self, *parts: str | bytes) -> None:
        """Send what need not be a message at all."""
        self._socket.send_multipart(
            [part.encode() if isinstance(part, str) else part for part in parts]
        )

    def close(self) -> None:
        self._socket.close()


class Bus:
    """A bus in a folder of its own: a configuration, one publisher, and daemons.

    Attributes:
        environment: variables that the daemons have besides those of the tests.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.publisher = Publisher()
        self._daemons: list[Daemon] = []
        self.environment: dict[str, str] = {}
        self.config: dict[str, Any] = {
            "topic_prefix": "org.fedoraproject",
            "environment": "dev",
            "zmq_enabled": True,
            "zmq_publish_endpoints": "",
            "sign_messages": False,
            "validate_signatures": False,
            "endpoints": {"test": [self.publisher.endpoint]},
            "datanommer.enabled": True,
            "datanommer.spool_dir": str(folder / "spool"),
        }

    def write_config(self) -> Path:
        """Write the configuration as it is now into its file."""
        file = self.folder / "fedmsg.d" / "test.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"config = {self.config!r}\n")
        return file

    def start(self, command: str, *arguments: str) -> Daemon:
        """Run one of fedmsg's commands with the configuration as it is now."""
        self.write_config()
        daemon = Daemon(command, *arguments, folder=self.folder, environment=self.environment)
        self._daemons.append(daemon)
        return daemon

    def start_relay(self) -> Daemon:
        """A relay that whoever starts from here on listens to, or sends to."""
        self.config["relay_inbound"] = f"tcp://127.0.0.1:{free_port()}"
        self.config["endpoints"]["relay_outbound"] = [f"tcp://127.0.0.1:{free_port()}"]
        relay = self.start("fedmsg-relay")
        relay.wait_until_it_says("Running the MokshaHub reactor")
        return relay

    def start_hub(self, *arguments: str) -> Daemon:
        """A hub that has subscribed, and so misses nothing that is published from here on."""
        hub = self.start("fedmsg-hub", *arguments)
        eventually(
            lambda: self.publisher.has_new_subscriber(0) or not hub.is_alive, "a subscription"
        )
        assert hub.is_alive, hub.log
        self.publisher.wait_for_subscriber()
        return hub

    def close(self) -> None:
        try:
            end(self._daemons)
        finally:
            self.publisher.close()


class Archive:
    """What a database holds, read without the help of the process that wrote it."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)

    def wait_for(self, envelope: dict[str, Any]) -> Message:
        """The message of an envelope that was sent, once it is stored."""
        msg_id = envelope["body"]["msg_id"]
        eventually(lambda: self._find(msg_id), f"the message {msg_id}")
        found = self._find(msg_id)
        assert found is not None
        return found

    def messages(self) -> list[Message]:
        """All messages, as they were stored."""
        with self._reading() as session:
            return list(session.scalars(sa.select(Message).order_by(Message.id)))

    def count(self) -> int:
        """How many messages are stored, at less cost to the hub than to read them."""
        return int(self.scalar("SELECT count(*) FROM messages"))

    def rejected(self) -> list[Rejected]:
        with self._reading() as session:
            return list(session.scalars(sa.select(Rejected).order_by(Rejected.id)))

    def scalar(self, query: str) -> Any:
        with self._reading() as session:
            return session.scalar(sa.text(query))

    def _find(self, msg_id: str) -> Message | None:
        with self._reading() as session:
            return session.scalar(sa.select(Message).filter_by(msg_id=msg_id))

    @contextmanager
    def _reading(self) -> Iterator[orm.Session]:
        with orm.Session(self._engine, expire_on_commit=False) as session:
            yield session
            session.expunge_all()

    def close(self) -> None:
        self._engine.dispose()
