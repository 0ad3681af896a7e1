"""How many signatures a second: datanommer against fedmsg, in one run on one core.

usage: python benchmarks/signatures.py [SECONDS]

Each way has the same signed messages, round by round, so that a busy moment of the machine is the
same for all; of SECONDS (default 20) for each policy, the median of the rounds counts. fedmsg's log
is off: with it, fedmsg is slower. Needs what the tests need.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import fedmsg.crypto

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from certificates import Authority
from datanommer.models.signatures import Validator
from envelopes import BODHI_MSG, envelope

Body = dict[str, Any]
Check = Callable[[Body], bool]

SIGNERS = 10
MESSAGES = 100
POLICIES = 300


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        names = [f"signer{number}.example.com" for number in range(SIGNERS)]
        for name in names:
            authority.issue(name)
        bodies = [
            authority.sign(envelope(msg=BODHI_MSG), names[number % SIGNERS])["body"]
            for number in range(MESSAGES)
        ]
        size = statistics.mean(len(json.dumps(body)) for body in bodies)
        click.echo(f"{MESSAGES} messages of {size:.0f} bytes by {SIGNERS} signers\n")
        click.echo(f"{'':38}{'messages/s':>12}{'us/message':>12}{'ratio':>8}")
        for policies in (0, POLICIES):
            click.echo(f"routing policy of {policies} topics")
            config = {**authority.config, "routing_policy": policy(policies, names)}
            report(ways(config), bodies, seconds)


def policy(topics: int, names: list[str]) -> dict[str, list[str]]:
    return {f"org.example.prod.service.topic{number}": names[:3] for number in range(topics)}


def ways(config: Body) -> dict[str, Check]:
    """The ways to validate a message, by name; the last is ours."""
    fedmsg.crypto.init(**config)
    validator = Validator(config)

    def once(body: Body) -> bool:
        return bool(fedmsg.crypto.validate(body, **config))

    return {
        "  fedmsg as shipped, twice a message": lambda body: once(body) and once(body),
        "  fedmsg, once": once,
        "  datanommer": lambda body: validator.validate(body) is None,
    }


def report(checks: dict[str, Check], bodies: list[Body], seconds: float) -> None:
    rounds: dict[str, list[float]] = {name: [] for name in checks}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, check in checks.items():
            rounds[name].append(cost(check, bodies))
    medians = {name: statistics.median(costs) for name, costs in rounds.items()}
    ours = medians["  datanommer"]
    for name, median in medians.items():
        click.echo(f"{name:38}{1 / median:>12,.0f}{median * 1e6:>12.1f}{median / ours:>8.1f}")


def cost(check: Check, bodies: list[Body]) -> float:
    """What a message costs, in seconds."""
    start = time.perf_counter()
    assert all(check(body) for body in bodies)
    return (time.perf_counter() - start) / len(bodies)


if __name__ == "__main__":
    main()
