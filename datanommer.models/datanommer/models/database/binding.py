"""The one database that a process is bound to, as in the classic API.

Only the classic API (`datanommer.models.init`, `session`, `add`, `Message`, ...) uses it. All other
functions have an engine as their first argument.
"""

from __future__ import annotations

import sqlalchemy as sa

from datanommer.models.errors import ConfigurationError

_bound: sa.Engine | None = None


def bind(engine: sa.Engine) -> None:
    """Bind the session, and with it the models, to a database."""
    global _bound  # noqa: PLW0603  one database a process, as in the classic API
    _bound = engine


def bound_engine() -> sa.Engine:
    """The engine that the models are bound to.

    Raises:
        ConfigurationError: `init` was not called.
    """
    if _bound is None:
        raise ConfigurationError("Call datanommer.models.init(url) before anything else.")
    return _bound
