"""A reject: what no row of `messages` can hold, kept with the reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Self

from datanommer.models.envelopes import fields, identity, lossless_json
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import NotStorable

#: The most bytes of a reject that are kept.
MAX_RAW_BYTES = 128 * 1024 * 1024


@dataclass(slots=True)
class Reject:
    """What no row of `messages` can hold.

    Attributes:
        kind: one of `datanommer.models.errors.KINDS`.
        reason: why, in words.
        raw: what was received.
        sha256: what makes two rejects the same.
        msg_id: the id, if it has one that is text, made fit for a text column.
        topic: the topic, likewise.
    """

    kind: str
    reason: str
    raw: bytes
    sha256: bytes
    msg_id: str | None
    topic: str | None

    @classmethod
    def of_received(
        cls,
        received: Any,
        error: NotStorable,
        topic: str | None = None,
        msg_id: str | None = None,
        identified_by: bytes | None = None,
    ) -> Self:
        """The reject of something received.

        Args:
            received: what came, as an object, or as bytes where it could not be read as one.
            error: why it cannot be stored.
            topic: the topic, if it is not in `received`.
            msg_id: the id, likewise.
            identified_by: what makes two rejects the same, if that is not all of `received`.
        """
        outer = received if isinstance(received, dict) else {}
        inner = outer.get("body")
        body = inner if isinstance(inner, dict) else outer
        raw, is_exact = (
            (received, True) if isinstance(received, bytes) else lossless_json.write(received)
        )
        reason = error.reason if is_exact else f"{error.reason} ({lossless_json.INEXACT})"
        return cls(
            kind=error.kind,
            reason=fields.fit_text(reason) or "",
            raw=raw[:MAX_RAW_BYTES],
            sha256=hashlib.sha256(identified_by or _identity(outer) or raw).digest(),
            msg_id=fields.fit_text(body.get("msg_id", msg_id)),
            topic=fields.fit_text(body.get("topic", outer.get("topic", topic))),
        )

    @classmethod
    def of_row(cls, row: Row, error: NotStorable) -> Self:
        """The reject of a row that the database cannot take.

        Args:
            row: the row.
            error: why it cannot be stored.
        """
        envelope = row.envelope()
        raw = lossless_json.dumps(envelope)
        identified_by = _identity(envelope) or raw
        if error.kind == "conflict":
            # The same message again is the same conflict, whatever its counter or timestamp says.
            content = identity.content(row.topic, row.msg)
            identified_by = "\0".join((row.msg_id, *content)).encode()
        return cls(
            kind=error.kind,
            reason=error.reason,
            raw=raw[:MAX_RAW_BYTES],
            sha256=hashlib.sha256(identified_by).digest(),
            msg_id=row.msg_id,
            topic=row.topic,
        )

    @property
    def size(self) -> int:
        """How many bytes of what was received are kept."""
        return len(self.raw)

    def __str__(self) -> str:
        return f"({self.kind}): {identity.describe(self.msg_id, self.topic)}: {self.reason}"


def _identity(envelope: dict[str, Any]) -> bytes | None:
    """What makes two rejects the same if some headers differ with each delivery; else None.

    Over STOMP the headers are beside the body, over AMQP in it.
    """
    own = _with_own_headers(envelope)
    body = own.get("body")
    if isinstance(body, dict) and (own_body := _with_own_headers(body)) is not body:
        own = {**own, "body": own_body}
    return None if own is envelope else lossless_json.dumps(own)


def _with_own_headers(part: dict[str, Any]) -> dict[str, Any]:
    headers = part.get("headers")
    if not isinstance(headers, dict):
        return part
    return {**part, "headers": identity.own_headers(headers)}
