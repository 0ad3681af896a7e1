"""Whom and what a message concerns, and who did what it tells.

Three sources know it: the processors of `fedmsg.meta`, the schema class of the sender, and the
headers that fedora-messaging writes for users and packages. What they know is joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from datanommer.models.envelopes.fields import first_dict, storable_name, storable_names
from datanommer.models.envelopes.row import Row
from datanommer.models.preparing import processors, schema_classes

Names = tuple[str, ...]

# What the headers for a user and for a package begin with (source: fedora_messaging.message, 3.9).
_USER, _PACKAGE = "fedora_messaging_user_", "fedora_messaging_rpm_"


class Concerned(NamedTuple):
    """Whom a message concerns.

    Attributes:
        users, packages: their names, each once, sorted; None where nobody knows any.
        agent: the user who did it; None where nobody knows.
        missing_package: the package that would know more, where it is not installed.
    """

    users: Names | None
    packages: Names | None
    agent: str | None
    missing_package: str | None = None


_NOBODY = Concerned(None, None, None)


def find(body: Mapping[str, Any]) -> Concerned:
    """Whom a message concerns.

    A faulty processor or schema class does the message no harm. One that raises finds nothing, and
    names that cannot be stored are left out.

    Args:
        body: the body of the message, with `topic` and `msg`.
    """
    processor = processors.processor_of(body)
    headers = first_dict(body.get("headers")) or {}
    if processor is None and not headers:
        return _NOBODY
    users = _of_processor(processor, "usernames", body)
    packages = _of_processor(processor, "packages", body)
    if not headers:
        return Concerned(users, packages, _agent(None, processor, body, users))
    message = schema_classes.message_of(body, headers)
    return Concerned(
        _joined(users, _of_class(message, "usernames"), _of_headers(headers, _USER)),
        _joined(packages, _of_class(message, "packages"), _of_headers(headers, _PACKAGE)),
        _agent(message, processor, body, users),
        schema_classes.missing_package(headers),
    )


def find_agent(body: Mapping[str, Any]) -> str | None:
    """Who did it, as `find` finds it, for a message whose users and packages are known."""
    processor = processors.processor_of(body)
    headers = first_dict(body.get("headers"))
    message = schema_classes.message_of(body, headers) if headers else None
    return _agent(message, processor, body, _of_processor(processor, "usernames", body))


def tell(row: Row, body: Mapping[str, Any]) -> None:
    """Set the users, the packages and the agent of a row.

    Args:
        row: of the message.
        body: its body, as for `find`.
    """
    found = find(body)
    row.users, row.packages, row.agent = found.users or (), found.packages or (), found.agent


def body_of(envelope: Mapping[str, Any], topic: str) -> Mapping[str, Any]:
    """The body of an envelope as processors expect it.

    Args:
        envelope: what was received.
        topic: the topic that it has in the archive.
    """
    body: Mapping[str, Any] = envelope["body"]
    if "headers" not in envelope:
        return body if body.get("topic") == topic else {**body, "topic": topic}
    # Processors look for the headers in the body, where fedmsg's consumers put them.
    return {"headers": envelope["headers"], **body, "topic": topic}


def _joined(*parts: Names | None) -> Names | None:
    known = [part for part in parts if part is not None]
    if len(known) < 2:  # noqa: PLR2004  nothing to join
        return known[0] if known else None
    return storable_names([name for part in known for name in part])


def _of_processor(processor: Any, kind: str, body: Mapping[str, Any]) -> Names | None:
    if processor is None:
        return None
    if not processors.tells(processor.__class__, kind):
        return ()
    names = processors.ask(processor, kind, body)
    return None if names is None else storable_names(names)


def _of_class(message: Any, kind: str) -> Names | None:
    names = None if message is None else schema_classes.ask(message, kind)
    return None if names is None else storable_names(names)


def _of_headers(headers: Mapping[str, Any], prefix: str) -> Names | None:
    names = [name.removeprefix(prefix) for name in headers if name.startswith(prefix)]
    return storable_names(names) if names else None


def _agent(
    message: Any, processor: Any, body: Mapping[str, Any], users: Names | None
) -> str | None:
    """The agent that the schema class knows, or else the processor.

    If the processor knows several users, it is the one that the message itself names.
    `fedmsg.meta.msg2agent` takes any of them.
    """
    if message is not None:
        return storable_name(schema_classes.ask(message, "agent_name"))
    # Most processors have no such method.
    if callable(getattr(processor, "agent", None)):
        return storable_name(processors.ask(processor, "agent", body))
    if not users or len(users) == 1:
        return users[0] if users else None
    told = body["msg"].get("agent") if isinstance(body["msg"], dict) else None
    name = told.get("username") if isinstance(told, dict) else told
    return name if isinstance(name, str) and name in users else None
