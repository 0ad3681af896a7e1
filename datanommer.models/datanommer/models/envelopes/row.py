"""A row: a message as the archive holds it, made from an envelope, and back into one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import msgspec

from datanommer.models import times
from datanommer.models.envelopes import extra, fields, identity, json_column, json_text
from datanommer.models.envelopes.category import categorize
from datanommer.models.envelopes.signature_bytes import pack, unpack
from datanommer.models.errors import NotStorable

#: The `username` of what a bridge brings from AMQP to fedmsg (source: fedmsg-migration-tools).
BRIDGE = "amqp-bridge"

_OPTIONAL_TEXTS = (
    "username",
    "crypto",
    "certificate",
    "signature",
    "source_name",
    "source_version",
)


# A dataclass takes five times as long to make. No row refers to itself, so none needs Python's
# garbage collector.
class Row(msgspec.Struct, gc=False):
    """A message as the archive holds it.

    Attributes:
        timestamp: naive, in UTC.
        signature: as bytes (see `datanommer.models.envelopes.signature_bytes`), or None; where the
            bytes would not give back its text, it is in `extra`.
        msg: the JSON text of the content.
        headers: the JSON text of the headers, or None.
        extra: the JSON text of what the columns do not give back (see
            `datanommer.models.envelopes.extra`), or None.
        from_amqp: whether it came over AMQP, where ids have no year:
            `datanommer.models.storing.duplicates` looks for it under those of other years.
        users: the names of the users that the message concerns, each once.
        packages: the names of the packages, likewise.
        agent: the name of the user who did what the message is about; None if nobody knows.
    """

    msg_id: str
    i: int
    topic: str
    category: str
    timestamp: datetime
    username: str | None
    crypto: str | None
    certificate: str | None
    signature: bytes | None
    source_name: str | None
    source_version: str | None
    msg: str
    headers: str | None
    extra: str | None
    from_amqp: bool = False
    users: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    agent: str | None = None

    @classmethod
    def from_envelope(
        cls,
        envelope: Any,
        assigned: Mapping[str, Any] | None = None,
        *,
        from_amqp: bool = False,
        sent_id: str | None = None,
        is_read: bool = False,
    ) -> Self:
        """The row of an envelope ``{"topic": str, "body": {...}[, "headers": {...}]}``.

        A body without a timestamp gets the time now; `datanommer.models.envelopes.identity` says
        how one without an id gets its id.

        Args:
            envelope: what came from the bus.
            assigned: a `msg_id` and a `timestamp` that this message got from the archive before.
            from_amqp: whether it came over AMQP. A bridge's `username` and AMQP's headers show
                it, too.
            sent_id: the id that it had over AMQP, if its `msg_id` does not show it.
            is_read: whether `datanommer.models.envelopes.json_text.read` gave its `msg`.

        Raises:
            NotStorable: no row can hold it; says why.
        """
        assigned = assigned or {}
        body, topic = _require_body_and_topic(envelope)
        headers = identity.headers_of(envelope)
        sent = assigned.get("timestamp", body.get("timestamp"))
        if sent is None:
            sent = identity.stomp_timestamp(envelope)
        timestamp = fields.read_timestamp(sent)
        # Written first, so that what follows can rely on JSON that is not too deep.
        msg_text = json_column.to_json("msg", body.get("msg"), is_read=is_read)
        headers_text = None if headers is None else json_column.to_json("headers", headers)
        msg_id = fields.first_text(assigned.get("msg_id"))
        columns: dict[str, Any] = {
            "topic": topic,
            "msg": body.get("msg"),
            "msg_id": msg_id or identity.identify(envelope, timestamp),
            "i": fields.read_counter(body.get("i")),
            "timestamp": sent if type(sent) is int else times.to_epoch(timestamp),
            **_optional_texts(body),
        }
        if headers is not None:
            columns["headers"] = headers
        fields.check_text("topic", topic)
        fields.check_text("msg_id", columns["msg_id"])
        signature = None
        if "signature" in columns:
            signature = pack(columns["signature"], columns.get("crypto"))
            if signature is None:
                del columns["signature"]
        difference = extra.difference(envelope, columns)
        if sent_id is not None:
            fields.check_text("id", sent_id)
            difference["id"] = sent_id
        return cls(
            msg_id=columns["msg_id"],
            i=columns["i"],
            topic=topic,
            category=categorize(topic),
            timestamp=timestamp,
            username=columns.get("username"),
            crypto=columns.get("crypto"),
            certificate=columns.get("certificate"),
            signature=signature,
            source_name=columns.get("source_name"),
            source_version=columns.get("source_version"),
            msg=msg_text,
            headers=headers_text,
            extra=json_column.to_json("the body", difference) if difference else None,
            from_amqp=from_amqp
            or columns.get("username") == BRIDGE
            or "sent-at" in (headers or {}),
        )

    def envelope(self) -> dict[str, Any]:
        """The envelope that the row was made from."""
        columns = {
            "topic": self.topic,
            "msg": json_text.read(self.msg),
            "msg_id": self.msg_id,
            "i": self.i,
            "timestamp": times.to_epoch(self.timestamp),
            **{key: getattr(self, key) for key in _OPTIONAL_TEXTS},
            "signature": None if self.signature is None else unpack(self.signature, self.crypto),
            "headers": None if self.headers is None else json_text.read(self.headers),
        }
        return extra.restore_envelope(
            columns, None if self.extra is None else json_text.read(self.extra)
        )

    @property
    def size(self) -> int:
        """How many characters it has, without its short, indexed columns."""
        others = len(self.headers or "") + len(self.extra or "") + len(self.certificate or "")
        return len(self.msg) + others


def _require_body_and_topic(envelope: Any) -> tuple[dict[str, Any], str]:
    if not isinstance(envelope, dict):
        kind = fields.kind_of(envelope)
        raise NotStorable("invalid", f"the envelope is {kind}, not a JSON object")
    body = envelope.get("body")
    if not isinstance(body, dict):
        raise NotStorable("invalid", f"the body is {fields.kind_of(body)}, not a JSON object")
    topic = fields.first_text(body.get("topic"), envelope.get("topic"))
    if topic is None:
        raise NotStorable("invalid", "neither the body nor the envelope has a topic")
    return body, topic


def _optional_texts(body: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: text
        for key in _OPTIONAL_TEXTS
        if (value := body.get(key)) is not None
        and (text := fields.read_text(key, value)) is not None
    }
