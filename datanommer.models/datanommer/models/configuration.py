"""The fedmsg configuration, read the way that fedmsg-hub reads it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

from datanommer.models.errors import ConfigurationError

#: The environment variable that names the database.
URL_VARIABLE = "DATANOMMER_SQLALCHEMY_URL"
#: The key of the fedmsg configuration that names the database.
URL_KEY = "datanommer.sqlalchemy.url"
#: Where fedmsg looks, for messages to people (source: fedmsg.config, fedmsg 1.1.7).
PLACES = (
    "/etc/fedmsg.d/*.py, ~/.fedmsg.d/*.py, ./fedmsg.d/*.py, $VIRTUAL_ENV/etc/fedmsg.d/*.py, "
    "then fedmsg-config.py in /etc, ~ (as .fedmsg-config.py) and ."
)


def load(filename: str | None = None) -> dict[str, Any]:
    """The merged configuration, over the defaults of fedmsg; nothing need be configured.

    Args:
        filename: the one file to read, instead of all of the usual places.

    Raises:
        ConfigurationError: a file is missing, cannot be read, or is not right.
    """
    # The bus needs much that the database does not: fedmsg is imported where it is asked for.
    import fedmsg.config

    try:
        with warnings.catch_warnings():
            # A deprecation, and files that cannot be read: those must not pass in silence.
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            config = fedmsg.config.load_config(
                filenames=[filename] if filename else None,
                invalidate_cache=True,
                # fedmsg refuses its own defaults where no endpoints are configured.
                disable_defaults=True,
            )
    except Exception as error:  # the files are Python: anything can come out of them
        places = filename or PLACES
        raise ConfigurationError(
            f"The fedmsg configuration ({places}) cannot be read: "
            f"{type(error).__name__}: {error}. Mend the file, or name another one "
            "with --config-filename."
        ) from error
    return _completed(config)


def defaults() -> dict[str, Any]:
    """The configuration of fedmsg where nothing is configured."""
    return _completed({})


def number(config: Mapping[str, Any], key: str, default: int, allowed: range) -> int:
    """The whole number under a key, or the default where there is none.

    Raises:
        ConfigurationError: it is no such number, or not one of the allowed.
    """
    given = config.get(key, default)
    if isinstance(given, int) and not isinstance(given, bool) and given in allowed:
        return given
    raise ConfigurationError(
        f"{key} in the fedmsg configuration must be a whole number from {allowed[0]} "
        f"to {allowed[-1]}, not {given!r}."
    )


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    import fedmsg.config

    completed = {**fedmsg.config.defaults, **config}
    # As fedmsg does, where it applies its defaults itself.
    prefix = re.escape(completed["topic_prefix"])
    completed.setdefault("topic_prefix_re", prefix + r"\.[^\W\d_]+")
    return completed
