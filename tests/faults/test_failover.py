"""Nothing is lost where a standby takes over, though it may lack what was committed last."""

from __future__ import annotations

import re

import pytest

from .failover import Failover
from .roads import ZeroMQ

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("is_synchronous", [False, True])
def test_a_standby_that_takes_over_costs_no_message(seed: int, is_synchronous: bool) -> None:
    failover = Failover(ZeroMQ, seed, is_synchronous=is_synchronous)
    verdict = failover.run()
    assert verdict.is_clean, (str(verdict), failover.log)
    assert verdict.spooled == 0, failover.log
    (*missing,) = re.findall(r"(\d+) of the \d+ messages stored last were missing", failover.log)
    assert sum(map(int, missing)) > 0 or is_synchronous, failover.log
