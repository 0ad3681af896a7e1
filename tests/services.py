"""What a test does where a service or a program that it needs is missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def leave_out(reason: str) -> NoReturn:
    """Skip the test; with REQUIRE_SERVICES, fail: there, nothing is left out in silence."""
    (pytest.fail if os.environ.get("REQUIRE_SERVICES") else pytest.skip)(reason)


def need_broker(why_not: str | None) -> None:
    """Leave a test out that takes long on a real broker, unless all services are asked for.

    Args:
        why_not: why there is no broker, if there is none.
    """
    if not os.environ.get("REQUIRE_SERVICES"):
        pytest.skip("what takes long on real brokers runs with REQUIRE_SERVICES=1, as in .ci/run")
    if why_not:
        leave_out(why_not)
