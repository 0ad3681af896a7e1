"""An ActiveMQ of a test's own, from Debian's package: it may be killed, and started again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import stomp
from bus import happens
from ports import free_port

_HOME = Path("/usr/share/activemq")
_JAR = _HOME / "bin" / "activemq.jar"
_CONFIGURATION = Path("/etc/activemq/instances-available/main/activemq.xml")
#: Seconds, to be up; it takes one where nothing else runs.
_PATIENCE = 120
_OPENWIRE = '<transportConnector name="openwire" uri="tcp://127.0.0.1:61616"/>'
_STOMP = '<transportConnector name="stomp" uri="stomp://127.0.0.1:{}"/>'
#: Else a browser sees no more than 400 messages of a queue.
_BROWSING = """<destinationPolicy><policyMap><policyEntries>
    <policyEntry queue="&gt;" maxBrowsePageSize="100000"/>
</policyEntries></policyMap></destinationPolicy>
"""


def why_not() -> str | None:
    """Why there is no ActiveMQ to test on, if there is none."""
    if shutil.which("java") is None:
        return "java is not installed"
    for file in (_JAR, _CONFIGURATION):
        if not file.exists():
            return f"ActiveMQ is not installed as Debian has it: there is no {file}"
    return None


class ActiveMQ:
    """A broker that speaks STOMP on a port of its own, and keeps its messages in a folder.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        configuration = _CONFIGURATION.read_text()
        assert _OPENWIRE in configuration
        configuration = configuration.replace(_OPENWIRE, _STOMP.format(self.port))
        configuration = configuration.replace(
            "<persistenceAdapter>", f"{_BROWSING}<persistenceAdapter>", 1
        )
        (folder / "activemq.xml").write_text(configuration)
        self.start()

    @property
    def address(self) -> str:
        """Host and port, as `stomp_uri` has them."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self._folder / "activemq.log"
        with log.open("a") as output:
            self._process = subprocess.Popen(
                self._command(), cwd=self._folder, stdout=output, stderr=subprocess.STDOUT
            )
        happens(lambda: self._answers() or self._process.poll() is not None, _PATIENCE)
        assert self._answers(), log.read_text()

    def _command(self) -> list[str]:
        places = {"home": _HOME, "base": self._folder, "conf": self._folder, "data": self._folder}
        return [
            "java",
            # Little memory, and an early start rather than a quick run.
            *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *(f"-Dactivemq.{name}={place}" for name, place in places.items()),
            *("-jar", str(_JAR), "start", f"xbean:file:{self._folder}/activemq.xml"),
        ]

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except (OSError, EOFError):
            return False
        return True

    def connect(self) -> stomp.Client:
        return stomp.Client("127.0.0.1", self.port)

    def waiting(self, queue: str) -> int:
        """How many messages are in a queue, with those that a consumer has not acknowledged.

        `browser` is ActiveMQ's own: https://activemq.apache.org/components/classic/documentation/stomp
        """
        client = self.connect()
        client.subscribe(queue, {"ack": "auto", "browser": "true"})
        count = 0
        while client.receive().headers.get("browser") != "end":
            count += 1
        client.close()
        return count

    def kill(self) -> None:
        """End it as a power cut would; `start` finds what it had on its disk."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
