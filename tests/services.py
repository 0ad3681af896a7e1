"""What a test does where a service or a program that it needs is missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def leave_out(reason: str) -> NoReturn:
    """Skip the test; with REQUIRE_SERVICES, fail: there, nothing is left out in silence."""
    (pytest.fail if os.environ.get("REQUIRE_SERVICES") else pytest.skip)(reason)
