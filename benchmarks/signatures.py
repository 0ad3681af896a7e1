"""How many signatures a second: datanommer against fedmsg, on one core.

Each way has the same signed messages, round by round. fedmsg's log is off: with it, fedmsg is
slower.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fedmsg.crypto

from benchmarks.measure import Figure, alternate, seconds
from benchmarks.setting import Setting
from certificates import Authority
from datanommer.models.signing.validator import Validator
from envelopes import BODHI_MSG, envelope

Body = dict[str, Any]
Check = Callable[[Body], bool]

_SIGNERS = 10
_MESSAGES = 100
_POLICIES = 300


def signatures(setting: Setting) -> Iterator[Figure]:
    """Validated messages a second, over fedmsg as shipped, which validates each twice."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        names = [f"signer{number}.example.com" for number in range(_SIGNERS)]
        for name in names:
            authority.issue(name)
        bodies = [
            authority.sign(envelope(msg=BODHI_MSG), names[number % _SIGNERS])["body"]
            for number in range(_MESSAGES)
        ]
        for policies in (0, _POLICIES):
            policy = {f"org.example.prod.service.topic{n}": names[:3] for n in range(policies)}
            rates = _rates(setting.rounds, {**authority.config, "routing_policy": policy}, bodies)
            yield Figure(
                f"signatures, routing policy of {policies} topics",
                *(rates["ours"], "messages/s", "fedmsg as shipped, twice a message"),
                rates["twice"],
                at_least=8,
            )


def _rates(rounds: int, config: Body, bodies: list[Body]) -> dict[str, float]:
    fedmsg.crypto.init(**config)
    validator = Validator(config)

    def once(body: Body) -> bool:
        return bool(fedmsg.crypto.validate(body, **config))

    checks: dict[str, Check] = {
        "twice": lambda body: once(body) and once(body),
        "ours": lambda body: validator.validate(body) is None,
    }
    logging.disable(logging.CRITICAL)
    try:
        return alternate(rounds, {name: _rate(check, bodies) for name, check in checks.items()})
    finally:
        logging.disable(logging.NOTSET)


def _rate(check: Check, bodies: list[Body]) -> Callable[[], float]:
    def measure() -> float:
        return len(bodies) / seconds(lambda: _require(all(check(body) for body in bodies)))

    return measure


def _require(valid: bool) -> None:
    assert valid
