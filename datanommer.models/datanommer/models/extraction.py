"""The users and packages that a message concerns, as `fedmsg.meta` and its processors tell."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from datanommer.models import configuration
from datanommer.models.errors import ConfigurationError
from datanommer.models.message import storable_names

log = logging.getLogger(__name__)

_config: Mapping[str, Any] | None = None
_config_filename: str | None = None


def configure(config: Mapping[str, Any]) -> None:
    """Make the processors ready; without this, the first message does, as configured for fedmsg.

    Args:
        config: the fedmsg configuration.
    """
    global _config  # noqa: PLW0603  fedmsg.meta keeps its processors in a global, too
    with warnings.catch_warnings():
        # fedmsg.meta imports pkg_resources, which warns that it will go.
        warnings.simplefilter("ignore")
        import fedmsg.meta

        fedmsg.meta.make_processors(**config)
    _config = config


def configure_from(filename: str | None) -> None:
    """Name the file that the configuration is read from, if a message comes that needs it."""
    global _config_filename  # noqa: PLW0603
    _config_filename = filename


def extract(body: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the users and of the packages that a message concerns, sorted.

    Whatever a processor does, the message does not suffer: one that raises finds nothing, and
    names that cannot be stored are left out.

    Args:
        body: the body of the message, with `topic` and `msg`.
    """
    if _config is None:
        configure(_loaded())
    import fedmsg.meta
    from fedmsg.meta.default import DefaultProcessor

    processor = _ask(fedmsg.meta.msg2processor, body)
    # The default processor is the one that knows nothing.
    if processor is None or isinstance(processor, DefaultProcessor):
        return (), ()
    users = _ask(fedmsg.meta.msg2usernames, body, processor=processor)
    packages = _ask(fedmsg.meta.msg2packages, body, processor=processor)
    return storable_names(users), storable_names(packages)


def _ask(question: Callable[..., Any], body: Mapping[str, Any], **options: Any) -> Any:
    try:
        return question(body, **options, **(_config or {}))
    except Exception as error:  # processors are other people's code
        log.debug(
            "fedmsg.meta failed on %s: %s", body.get("msg_id"), type(error).__name__, exc_info=True
        )
        return None


def _loaded() -> Mapping[str, Any]:
    try:
        return configuration.load(_config_filename)
    except ConfigurationError as error:
        log.warning("Users and packages are extracted with the defaults of fedmsg. %s", error)
        return configuration.defaults()
