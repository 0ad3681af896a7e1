"""The schema classes of fedora-messaging: what the sender of a message knows of it.

A message names its schema in a header. The package of the sender has a class for it, behind an
entry point of that name. fedora-messaging's own registry is of no use here: it imports all classes,
and none is known if one of them cannot be imported (source: fedora_messaging.message, 3.9).

The classes are other people's code: whatever one does, nothing is raised.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

log = logging.getLogger(__name__)

_GROUP = "fedora.messages"
#: The schema of what has no schema of its own; its class knows nothing.
_BASE = "base.message"
_KNOWN_SCHEMAS = 10_000


def schema_of(headers: Mapping[str, Any]) -> str | None:
    """The name of the schema in the headers of a message; None if that tells nothing."""
    name = headers.get("fedora_messaging_schema")
    return name if isinstance(name, str) and name != _BASE else None


def missing_package(headers: Mapping[str, Any]) -> str | None:
    """The package to install so that the class of a message is known; None if it is, or needs none.

    A sender may name its package in a header; otherwise this says the name of the schema.
    """
    name = schema_of(headers)
    if name is None or _class_of(name) is not None:
        return None
    package = headers.get("fedora_messaging_schema_package")
    return package if package and isinstance(package, str) else f"the package with {name}"


def message_of(body: Mapping[str, Any], headers: Mapping[str, Any]) -> Any:
    """A message as an object of its class; None if the class is not known, or fails.

    Args:
        body: the body of the message, with `topic` and `msg`.
        headers: its headers.
    """
    name = schema_of(headers)
    message_class = None if name is None else _class_of(name)
    if message_class is None:
        return None
    import pika

    properties = pika.BasicProperties(headers=dict(headers), message_id=body.get("msg_id"))
    try:
        # With properties: else the class would make some, and warn of what it cannot find.
        return message_class(body=body["msg"], topic=body["topic"], properties=properties)
    except Exception:
        log.debug("The schema class of %s failed.", name, exc_info=True)
        return None


def ask(message: Any, attribute: str) -> Any:
    """What a message says of itself; None where it fails.

    Args:
        message: as `message_of` gives it.
        attribute: such as ``agent_name``; names of ``usernames`` come as a list.
    """
    try:
        value = getattr(message, attribute)
        return value if value is None or isinstance(value, str) else list(value)
    except Exception:
        log.debug("%s failed at %s.", type(message).__name__, attribute, exc_info=True)
        return None


@lru_cache(maxsize=_KNOWN_SCHEMAS)
def _class_of(name: str) -> Any:
    entry_point = _entry_points().get(name)
    if entry_point is None:
        return None
    try:
        return entry_point.load()
    except Exception as error:
        log.warning("The schema class of %s cannot be imported: %r", name, error)
        log.debug("This is how it failed.", exc_info=True)
        return None


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=_GROUP)}
