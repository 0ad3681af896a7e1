"""The fedmsg configuration, read the way that fedmsg-hub reads it, and the keys of datanommer."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Mapping
from typing import Any

from datanommer.models.errors import ConfigurationError

#: The environment variable that names the database.
URL_VARIABLE = "DATANOMMER_SQLALCHEMY_URL"
#: The one that names a replica of it, for commands that only read.
READ_URL_VARIABLE = "DATANOMMER_SQLALCHEMY_READ_URL"

# The keys that datanommer reads. docs/configuration.rst says what each means, and its default.
ENABLED_KEY = "datanommer.enabled"
URL_KEY = "datanommer.sqlalchemy.url"
READ_URL_KEY = "datanommer.sqlalchemy.read_url"
TOPIC_KEY = "datanommer.topic"
BATCH_SIZE_KEY = "datanommer.batch_size"
SPOOL_DIR_KEY = "datanommer.spool_dir"
SPOOL_MAX_BYTES_KEY = "datanommer.spool_max_bytes"
SPOOL_MIN_FREE_BYTES_KEY = "datanommer.spool_min_free_bytes"
REPLAY_SECONDS_KEY = "datanommer.replay_seconds"
REPLAY_MAX_BYTES_KEY = "datanommer.replay_max_bytes"
STOMP_VHOST_KEY = "datanommer.stomp_vhost"
STATUS_FILE_KEY = "datanommer.status_file"
METRICS_KEY = "datanommer.metrics"
AMQP_METRICS_KEY = "datanommer.amqp_metrics"
# fedmsg's own.
SIGNATURES_KEY = "validate_signatures"
STATUS_DIRECTORY_KEY = "status_directory"
DATAGREPPER_URL_KEY = "datagrepper_url"

#: Where fedmsg looks for its configuration, in words (source: fedmsg.config, fedmsg 1.1.7).
SEARCHED_FILES = (
    "/etc/fedmsg.d/*.py, ~/.fedmsg.d/*.py, ./fedmsg.d/*.py, $VIRTUAL_ENV/etc/fedmsg.d/*.py, "
    "then fedmsg-config.py in /etc, ~ (as .fedmsg-config.py) and ."
)


def load(filename: str | None = None) -> dict[str, Any]:
    """The merged configuration, on top of fedmsg's defaults. It may be empty.

    Args:
        filename: the one file to read, instead of all the usual ones.

    Raises:
        ConfigurationError: a file is missing, or it cannot be read or run.
    """
    # Not at the top: fedmsg takes 0.4 s of CPU to import, and most commands need no configuration.
    import fedmsg.config

    try:
        with warnings.catch_warnings():
            # fedmsg only warns of a file that it cannot read. That must not pass in silence.
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            config = fedmsg.config.load_config(
                filenames=[filename] if filename else None,
                invalidate_cache=True,
                # fedmsg refuses its own defaults where no endpoints are configured.
                disable_defaults=True,
            )
    except Exception as error:  # the files are Python: anything can come out of them
        raise ConfigurationError(
            f"The fedmsg configuration ({filename or SEARCHED_FILES}) cannot be read: "
            f"{type(error).__name__}: {error}. Fix the file, or name another one "
            "with --config-filename."
        ) from error
    return _complete(config)


def defaults() -> dict[str, Any]:
    """fedmsg's configuration where nobody configured anything."""
    return _complete({})


def whole_number(config: Mapping[str, Any], key: str, default: int, allowed: range) -> int:
    """The whole number under a key, or the default where the key is missing.

    Raises:
        ConfigurationError: the value is no whole number, or not an allowed one.
    """
    value = config.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and value in allowed:
        return value
    raise ConfigurationError(
        f"{key} in the fedmsg configuration must be a whole number from {allowed[0]} "
        f"to {allowed[-1]}, not {value!r}."
    )


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    """Add fedmsg's defaults to a configuration.

    The dict is changed in place, because `fedmsg.config.load_config` returns the same object again.
    Some processors of ``fedmsg.meta`` call it (mailman), and it would fail on fedmsg's own
    defaults, which have no endpoints.
    """
    import fedmsg.config

    for key, value in {**fedmsg.config.defaults, "endpoints": {}}.items():
        config.setdefault(key, copy.deepcopy(value))
    # fedmsg does the same when it applies its defaults itself.
    prefix = re.escape(config["topic_prefix"])
    config.setdefault("topic_prefix_re", prefix + r"\.[^\W\d_]+")
    return config
