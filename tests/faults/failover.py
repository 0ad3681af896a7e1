"""A primary that dies, and a standby that takes over, at a moment drawn by lot."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bus import Bus
from datanommer.models.configuration import REPLAY_SECONDS_KEY
from postgres import HOST, ROLE
from standby import Standby

from .roads import Road
from .scene import Database, Scene
from .server import Server
from .verdict import Verdict

_REPLAY_SECONDS = 10
#: How many seconds an asynchronous standby is behind.
_LAG = _REPLAY_SECONDS / 2


class Failover:
    """One takeover in a scene of its own, while messages come.

    Args:
        road: how messages come.
        seed: of the lot.
        is_synchronous: whether the standby is, or the lot decides. If not, it lacks what was
            committed last, and the hub keeps copies.

    Attributes:
        events: what happens, in words.
        longest_end: seconds that a hub took to end.
    """

    def __init__(
        self, road: Callable[[Bus], Road], seed: int, *, is_synchronous: bool | None = None
    ) -> None:
        self._road = road
        self._choice = random.Random(seed)
        drawn = self._choice.random() < 0.5
        self._is_synchronous = drawn if is_synchronous is None else is_synchronous
        self._rate = self._choice.choice((20, 100, 200, 500))
        kind = "synchronous" if self._is_synchronous else "asynchronous"
        self.events = [f"seed {seed}", f"{self._rate} msg/s", f"{kind} standby"]
        self.longest_end = 0.0
        self.log = ""

    def run(self) -> Verdict:
        """Go through it, and wait until all is stored."""
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            primary = stack.enter_context(contextlib.closing(Server()))
            standby = stack.enter_context(contextlib.closing(Standby(primary)))
            standby.be_synchronous(self._is_synchronous)
            database = Database(primary)
            stack.callback(database.proxy.close)
            config = {
                "datanommer.sqlalchemy.url": f"postgresql://{ROLE}@/{database.name}"
                f"?host={HOST}:{primary.port}&host={HOST}:{standby.port}"
                "&target_session_attrs=read-write",
                REPLAY_SECONDS_KEY: 0 if self._is_synchronous else _REPLAY_SECONDS,
            }
            scene = Scene(database, folder, poison=0.01, road=self._road, config=config)
            with contextlib.closing(scene):
                scene.start_hub()
                scene.stream.start(self._rate)
                self._fail_over(primary, standby)
                database.own_url = standby.own_url(database.name)
                time.sleep(self._choice.uniform(0, 3))
                scene.stream.stop()
                scene.wait_until_stored()
                if not self._is_synchronous:
                    scene.hub.wait_until_it_says("were missing there")
                self.log = scene.hub.log
                return scene.judge()

    def _fail_over(self, primary: Server, standby: Standby) -> None:
        seconds = self._choice.uniform(0.5, 5)
        time.sleep(seconds)
        if not self._is_synchronous:
            standby.fall_behind()
            time.sleep(_LAG)
        self.events.append(f"failover after {seconds:.1f} s")
        primary.kill()
        standby.promote()
