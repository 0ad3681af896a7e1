"""Random schedules of faults, and a verdict after each.

The verdict of a schedule says what became of the messages; the last line sums them up. Exits 1 if
anything was invented, doubled, or lost without being told, or a hub took too long to end.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the modules of the tests

from bus import Bus

from . import fault, spool_fault
from .failover import Failover
from .fault import FAULTS, Fault
from .roads import ROADS, Road, RoadFault
from .scene import Database, Scene
from .server import Server
from .spool_fault import COSTLY
from .verdict import Verdict

_LONGEST_END = 10.0  # seconds
#: Seconds after which nothing is in the memory of a hub alone, whatever the database does: what a
#: kill would cost otherwise is measured by `losses`.
_SETTLED = 8.0
_BATCH_SIZE = 1000  # of a hub, unless its configuration says otherwise
_NUMBERS = ("published", "stored", "rejected", "spooled", "duplicates", "lost", "told", "invented")


class Schedule:
    """Some faults after each other, drawn by lot, in a scene of their own.

    Args:
        server: where the database is made.
        faults: what may happen to the database.
        road: how messages come; what may happen there is drawn, too.
        seed: of the lot.
    """

    def __init__(
        self, server: Server, faults: dict[str, Fault], road: Callable[[Bus], Road], seed: int
    ) -> None:
        self._server = server
        self._faults = faults
        self._road = road
        self._choice = random.Random(seed)
        self._rate = self._choice.choice((20, 100, 200, 500, 1000))
        self.events = [f"seed {seed}", f"{self._rate} msg/s"]
        self.longest_end = 0.0

    def run(self) -> Verdict:
        """Go through it, and wait until all is stored."""
        with _folder() as folder, contextlib.closing(Database(self._server)) as database:
            seed = self._choice.randrange(2**32)
            has_own_disk = "full" in self._faults
            scene = Scene(
                database, folder, seed, poison=0.01, road=self._road, has_own_disk=has_own_disk
            )
            with contextlib.closing(scene):
                scene.start_hub()
                scene.stream.start(self._rate)
                for _ in range(self._choice.randint(1, 3)):
                    self._break(scene)
                scene.stream.stop()
                scene.wait_until_stored()
                verdict = scene.judge()
                if not verdict.is_told(_BATCH_SIZE) or verdict.spooled:
                    sys.stderr.write(scene.hub.log)
                return verdict

    def _break(self, scene: Scene) -> None:
        what: dict[str, RoadFault] = {
            **{name: partial(each, scene.database) for name, each in self._faults.items()},
            **scene.road.faults,
        }
        # One in two on the road, where there is anything to go wrong.
        names = sorted(self._choice.choice([self._faults, scene.road.faults or self._faults]))
        name = self._choice.choice(names)
        seconds = self._choice.uniform(0.2, 10)
        self.events.append(f"{name} {seconds:.1f} s")
        time.sleep(self._choice.uniform(0, 1))
        scene.revive_hub()
        with what[name]():
            time.sleep(seconds / 2)
            with self._spool_broken(scene) as may_kill:
                time.sleep(seconds / 2)
                if self._choice.random() < 0.4:
                    self._restart_hub(scene, may_kill=may_kill)

    @contextlib.contextmanager
    def _spool_broken(self, scene: Scene) -> Iterator[bool]:
        """If messages wait in a spool: one time in two, something goes wrong with that.

        What it yields is whether a kill of the hub costs nothing: while the disk is full, messages
        are in its memory alone.
        """
        if not scene.count_spooled() or self._choice.random() < 0.5:
            yield True
            return
        what = dict(COSTLY)
        if scene.disk:
            what["disk_full"] = spool_fault.disk_full
        name = self._choice.choice(sorted(what))
        self.events.append(name)
        with what[name](scene, self._choice):
            yield scene.road.has_broker or name != "disk_full"

    def _restart_hub(self, scene: Scene, *, may_kill: bool) -> None:
        if not scene.road.has_broker:
            # While nobody listens, nothing can be heard: that is not what is looked at here.
            scene.stream.stop()
            scene.wait_until_received()
        is_signalled = self._choice.random() < (0.5 if scene.road.has_broker else 0.7)
        if (is_signalled or not may_kill) and scene.road.signals:
            number = self._choice.choice(scene.road.signals)
            seconds = scene.stop_hub(number)
            self.longest_end = max(self.longest_end, seconds)
            self.events.append(f"{number.name} ({seconds:.1f} s)")
        else:
            if not scene.road.has_broker:
                time.sleep(_SETTLED)
            scene.hub.kill()
            self.events.append("SIGKILL")
        scene.start_hub()
        if not scene.road.has_broker:
            scene.stream.start(self._rate)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--road", choices=ROADS, default="zeromq", help="how messages come")
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long new ones begin")
    parser.add_argument("--failover", action="store_true", help="a standby takes over, no more")
    given = parser.parse_args()
    road, why_not = ROADS[given.road]
    if reason := why_not():
        parser.error(f"--road {given.road}: {reason}")
    end = time.monotonic() + given.minutes * 60
    totals = dict.fromkeys(_NUMBERS, 0)
    seed, longest_end, has_harmed = given.seed, 0.0, False
    with _schedules(road, is_failover=given.failover) as make:
        while time.monotonic() < end:
            schedule = make(seed=seed)
            verdict = schedule.run()
            _say(f"{'; '.join(schedule.events)}: {verdict}")
            has_harmed |= not verdict.is_told(_BATCH_SIZE) or verdict.spooled > 0
            for name in _NUMBERS:
                totals[name] += getattr(verdict, name)
            longest_end = max(longest_end, schedule.longest_end)
            seed += 1
    told = ", ".join(f"{name} {number}" for name, number in totals.items())
    _say(f"{seed - given.seed} schedules: {told}; the longest end took {longest_end:.1f} s")
    return 1 if has_harmed or longest_end > _LONGEST_END else 0


@contextlib.contextmanager
def _schedules(
    road: Callable[[Bus], Road], *, is_failover: bool
) -> Iterator[Callable[..., Schedule | Failover]]:
    """What makes a schedule with a `seed`."""
    if is_failover:
        yield partial(Failover, road)
        return
    with _server() as (server, faults):
        yield partial(Schedule, server, faults, road)


@contextlib.contextmanager
def _server() -> Iterator[tuple[Server, dict[str, Fault]]]:
    """A server, on a disk that can be filled if this machine allows that, and what can happen."""
    faults = dict(FAULTS)
    try:
        server = Server(has_own_disk=True)
        faults["full"] = fault.full
    except OSError as error:
        _say(f"Without a full disk: none can be mounted here ({error}).")
        server = Server()
    with contextlib.closing(server):
        yield server, faults


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
