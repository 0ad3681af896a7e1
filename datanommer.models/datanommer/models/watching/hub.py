"""The hub of this host: whether it runs, by the file that it writes once a second."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from datanommer.models import times
from datanommer.models.watching.hub_state import HubState, file_to_read

#: A hub that has not written for longer is dead.
STALE_SECONDS = 15.0


class Hub(NamedTuple):
    """The hub of this host.

    Attributes:
        file: where it reports its state.
        state: its last report; None if there is no hub on this host.
        fault: why it counts as dead, if it does.
    """

    file: Path
    state: HubState | None
    fault: str | None

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.state is not None and self.state.alive and self.fault is None


def look(config: Mapping[str, Any]) -> Hub:
    """The hub that a configuration is for.

    Raises:
        ConfigurationError: the configuration cannot be used.
        DatanommerError: what the file holds cannot be used.
        OSError: it cannot be read.
    """
    file = file_to_read(config)
    state = HubState.read(file)
    return Hub(file, state, state and _fault(state, time.time()))


def _fault(state: HubState, now: float) -> str | None:
    if not state.alive:  # it has ended cleanly
        return None
    said = times.to_text(datetime.fromtimestamp(state.time, UTC).replace(tzinfo=None))
    if not _runs(state.pid):
        return f"it has been gone since {said} (process {state.pid}), and did not end in order"
    if abs(now - state.time) > STALE_SECONDS:
        return f"it has said nothing since {said}, although its process {state.pid} is there"
    return None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True
