"""What a benchmark measures: figures, each beside that of a peer, and how they are taken."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

#: The folder of the project.
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that was measured.

    Attributes:
        what: what it is.
        value: the median.
        unit: of the value, and of that of the peer.
        peer: the peer or the limit that it stands beside.
        peer_value: what was measured for that in the same run.
        at_least: what the ratio of the value to that of the peer must reach.
        at_most: what that ratio must not exceed.
        limit: what the value itself must not exceed.
    """

    what: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    limit: float | None = None

    @property
    def ratio(self) -> float | None:
        """The value over that of the peer."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def target(self) -> str:
        """What must be reached, in words; empty where it is only reported."""
        parts = []
        if self.at_least is not None:
            parts.append(f"ratio >= {self.at_least:g}")
        if self.at_most is not None:
            parts.append(f"ratio <= {self.at_most:g}")
        if self.limit is not None:
            parts.append(f"<= {self.limit:g} {self.unit}")
        return ", ".join(parts)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if not self.target:
            return None
        ratio = self.ratio
        return (
            (self.at_least is None or (ratio is not None and ratio >= self.at_least))
            and (self.at_most is None or (ratio is not None and ratio <= self.at_most))
            and (self.limit is None or self.value <= self.limit)
        )


def number(value: float) -> str:
    """A number with three significant digits."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    told = f"{float(f'{value:.3g}'):.9f}"  # never 8.4e-05
    return told.rstrip("0").rstrip(".")


def alternate(rounds: int, ways: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each way, measured in turns: other load on the machine hits all alike.

    Args:
        rounds: how often each is measured.
        ways: by name, what measures it once.
    """
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, measure in ways.items():
            measured[name].append(measure())
    return {name: statistics.median(values) for name, values in measured.items()}


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def leave_out_of_garbage_collection() -> None:
    """Hide from the garbage collector what a client of datanommer would not have in memory.

    Scanning a made-up bus takes 30 ms, ten times as long as a question.
    """
    gc.collect()
    gc.freeze()


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of them do not exceed."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


class Finished(NamedTuple):
    """A process that has ended well.

    Attributes:
        seconds: how long it took.
        megabytes: the peak of its resident memory.
    """

    seconds: float
    megabytes: float


# Started from a small process: the peak of a new process begins with that of its parent.
_RUNNER = """
import os, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
os.write(int(sys.argv[1]), f"{code} {time.perf_counter() - start} {peak}".encode())
"""


def run(*command: str, stdout: IO[bytes] | None = None) -> Finished:
    """Run a process, and measure it.

    Args:
        command: a program with its arguments; one that is installed beside this Python, by name.
        stdout: where its output goes; without it, nowhere.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    beside = Path(sys.executable).parent / command[0]
    program = str(beside) if beside.exists() else command[0]
    reading, writing = os.pipe()
    with os.fdopen(reading) as told:
        subprocess.run(  # noqa: S603  a program of ours or psql
            [sys.executable, "-IS", "-c", _RUNNER, str(writing), program, *command[1:]],
            stdout=stdout or subprocess.DEVNULL,
            cwd=ROOT,
            pass_fds=[writing],
            check=True,
        )
        os.close(writing)
        code, took, megabytes = map(float, told.read().split())
    if code:
        raise subprocess.CalledProcessError(int(code), command)
    return Finished(took, megabytes)
