"""The users and packages that a message concerns, as the processors of `fedmsg.meta` know them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from datanommer.models.envelopes.fields import storable_names
from datanommer.models.envelopes.row import Row
from datanommer.models.preparing import processors

Names = tuple[str, ...]


class Concerned(NamedTuple):
    """Whom a message concerns.

    Attributes:
        users, packages: their names, each once, sorted; None where nobody knows any.
    """

    users: Names | None
    packages: Names | None


def find(body: Mapping[str, Any]) -> Concerned:
    """Whom a message concerns.

    Whatever a processor does, the message does not suffer. One that raises finds nothing, and names
    that cannot be stored are left out.

    Args:
        body: the body of the message, with `topic` and `msg`.
    """
    processor = processors.processor_of(body)
    return Concerned(
        _of_processor(processor, "usernames", body), _of_processor(processor, "packages", body)
    )


def tell(row: Row, body: Mapping[str, Any]) -> None:
    """Let a row have the users and the packages of its message.

    Args:
        row: of the message.
        body: its body, as for `find`.
    """
    found = find(body)
    row.users, row.packages = found.users or (), found.packages or ()


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


def _of_processor(processor: Any, kind: str, body: Mapping[str, Any]) -> Names | None:
    names = None if processor is None else processors.ask(processor, kind, body)
    return None if names is None else storable_names(names)
