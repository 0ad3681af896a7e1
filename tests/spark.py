"""A Spark cluster of a test's own: a master and two workers, as processes on loopback."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from bus import happens
from ports import free_port

#: Seconds, until a daemon is up, and until a program has ended.
_PATIENCE = 400
_WORKERS = 2
#: The least that Spark takes.
_MEMORY = "512m"
#: An early start rather than a quick run.
_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
_DAEMONS = "org.apache.spark.deploy"


def why_not() -> str | None:
    """Why Spark cannot be tried, if it cannot."""
    if shutil.which("java") is None:
        return "java is not installed"
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed: pip install -r tests/requirements-spark.txt"
    return None


class Cluster:
    """A standalone master and its workers, each of which has a core.

    Args:
        folder: an empty one.
        memory: of each worker and of a program, as Java writes it.
        java: options of all that runs Java.
    """

    def __init__(self, folder: Path, memory: str = _MEMORY, java: str = _JAVA) -> None:
        spec = importlib.util.find_spec("pyspark")
        assert spec
        assert spec.origin
        self._home = Path(spec.origin).parent
        self._folder = folder
        self._memory = memory
        self._java = f"{java} -Djava.io.tmpdir={folder}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._port = free_port()

    @property
    def url(self) -> str:
        """What ``--master`` takes."""
        return f"spark://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        """Start all, and wait until the workers have found the master."""
        try:
            self._start_all()
        except BaseException:
            self._end_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end_all()

    def _start_all(self) -> None:
        self._start("master.Master", "--port", str(self._port))
        self._await("Successfully started service 'sparkMaster'")
        for _ in range(_WORKERS):
            self._start("worker.Worker", self.url, "--cores", "1", "--memory", self._memory)
        self._await("Successfully registered with master", _WORKERS)

    def _start(self, name: str, *arguments: str) -> None:
        """Start a daemon; what it starts will be in its process group."""
        folder = self._folder / str(len(self._processes))
        folder.mkdir()
        command = [str(self._home / "bin" / "spark-class"), f"{_DAEMONS}.{name}", *arguments]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--webui-port", "0"],
                env={**self._environment(), "SPARK_WORKER_DIR": str(folder)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            # Far from UTC: what a session says of its time zone is to count.
            "TZ": "Asia/Tokyo",
            "SPARK_HOME": str(self._home),
            # No settings of the machine.
            "SPARK_CONF_DIR": str(self._folder),
            "SPARK_LOCAL_DIRS": str(self._folder),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "128m",
            "SPARK_DAEMON_JAVA_OPTS": self._java,
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
        }

    def _await(self, words: str, times: int = 1) -> None:
        """Wait until daemons have said something, or one has ended."""

        def is_over() -> bool:
            has_ended = any(process.poll() is not None for process in self._processes)
            return has_ended or self._logs().count(words) >= times

        happens(is_over, _PATIENCE)
        assert self._logs().count(words) >= times, self._logs()

    def _logs(self) -> str:
        return "".join(log.read_text() for log in sorted(self._folder.glob("*/log")))

    def run(
        self, program: str, *arguments: str, timeout: float = _PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of Spark, such as ``spark-sql``, that submits to the cluster.

        Args:
            program: its name.
            arguments: of it.
            timeout: seconds.
        """
        settings = [
            word for item in self._settings().items() for word in ("--conf", "=".join(item))
        ]
        return subprocess.run(
            [self._home / "bin" / program, "--master", self.url, *settings, *arguments],
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def _settings(self) -> dict[str, str]:
        return {
            # All workers have a part in it: else it begins with the first.
            "spark.cores.max": str(_WORKERS),
            "spark.scheduler.minRegisteredResourcesRatio": "1.0",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": self._memory,
            "spark.driver.extraJavaOptions": self._java,
            "spark.executor.memory": self._memory,
            "spark.executor.extraJavaOptions": self._java,
            "spark.sql.shuffle.partitions": str(_WORKERS),
            "spark.ui.enabled": "false",
            # Without a database of Hive's.
            "spark.sql.catalogImplementation": "in-memory",
        }

    def busy_workers(self) -> int:
        """How many workers have done a task."""
        logs = self._folder.glob("*/app-*/*/stderr")
        return len({log.parents[2] for log in logs if "Finished task" in log.read_text()})

    def _end_all(self) -> None:
        """End all, with what the workers have started."""
        for process in reversed(self._processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
