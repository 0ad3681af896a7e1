"""The mark of the tests that break things."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: breaks a PostgreSQL of its own; takes seconds")
