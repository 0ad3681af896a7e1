"""A message as AMQP delivers it, read: a row, or a reject with the bytes that came.

fedora-messaging's own reader (fedora_messaging.message.get_message, 3.9) raises on much that a
broker delivers, and refuses what does not match its schema. An archive keeps what was sent: here,
JSON is stored whatever its schema says, and all else is rejected.
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from datanommer.models.envelopes import fields, identity, json_text, lossless_json
from datanommer.models.envelopes.reject import Reject
from datanommer.models.errors import NotStorable
from datanommer.models.preparing import fedora_messaging
from datanommer.models.preparing.preparation import Item

log = logging.getLogger(__name__)

# The encoding of a message that names none, as in fedora-messaging.
_UTF_8 = "utf-8"
# Python's text encodings for host names: some take hours for a body of megabytes.
_NO_CHARSETS = {"idna", "punycode"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as AMQP delivers it.

    Text of AMQP that is not UTF-8 is bytes here, as pika reads it.

    Attributes:
        topic: the routing key.
        properties: those that it has, by their names in AMQP 0-9-1 (``headers``, ``message_id``).
        body: as it came.
        fault: why not all of its properties could be read, if so.
    """

    topic: str | bytes
    properties: Mapping[str, Any]
    body: bytes
    fault: str | None = None


def prepare(delivery: Delivery) -> Item:
    """The row or the reject of a delivery; nothing is raised.

    A message that can be read is stored like the line that ``fedora-messaging record`` would write.
    The `raw` of one that cannot is a line of JSON with the topic and the properties, followed by
    the body, byte for byte.
    """
    try:
        return fedora_messaging.prepare(_line(delivery))
    except NotStorable as error:
        return _reject(delivery, error)
    except Exception as error:
        log.exception("This is a bug in datanommer; please report it. The message is rejected.")
        return _reject(delivery, NotStorable("invalid", f"datanommer failed on it: {error!r}"))


def _line(delivery: Delivery) -> dict[str, Any]:
    if delivery.fault:
        raise NotStorable("invalid", f"its properties cannot be read: {delivery.fault}")
    return {
        "topic": _text("routing key", delivery.topic),
        "body": _body(delivery),
        "id": _text("message_id", delivery.properties.get("message_id")),
        "headers": _headers(delivery.properties.get("headers") or {}),
    }


def _text(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        raise NotStorable("invalid", f"its {name} is not UTF-8")
    return value


def _body(delivery: Delivery) -> Any:
    encoding = delivery.properties.get("content_encoding", _UTF_8)
    try:
        text = delivery.body.decode(_charset(encoding))
    except UnicodeError as error:
        reason = f"the body is not {encoding}, which its content_encoding names: {error}"
        raise NotStorable("invalid", reason) from None
    try:
        return json_text.read(text)
    except RecursionError:
        raise fields.too_deep("the message") from None
    except ValueError as error:  # among them: an integer of thousands of digits
        raise NotStorable("invalid", f"the body cannot be read as JSON: {error}") from None


def _charset(encoding: Any) -> str:
    """The name that Python has for a ``content_encoding``."""
    try:
        found = codecs.lookup(encoding)
    except (LookupError, TypeError, ValueError):
        found = None
    # What `bytes.decode` looks at; among the others are hex and zlib.
    if found is None or not found._is_text_encoding or found.name in _NO_CHARSETS:  # noqa: SLF001
        raise NotStorable("invalid", f"its content_encoding {encoding!r} is no encoding of text")
    return found.name


def _headers(headers: Any) -> Any:
    try:
        return _as_json(headers)
    except RecursionError:
        raise fields.too_deep("the headers") from None


def _as_json(value: Any) -> Any:
    """A value that JSON can hold; AMQP has more types, and RabbitMQ itself adds times."""
    if isinstance(value, dict):
        return {_as_json(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return int(value)  # pika has a class of its own for long ones
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _reject(delivery: Delivery, error: NotStorable) -> Reject:
    properties = dict(delivery.properties)
    raw = _raw(delivery, properties)
    if isinstance(headers := properties.get("headers"), dict):
        properties["headers"] = identity.own_headers(headers)
    return Reject.of_received(
        raw,
        error,
        _shown(delivery.topic),
        _shown(properties.get("message_id")),
        identified_by=_raw(delivery, properties),
    )


def _raw(delivery: Delivery, properties: dict[str, Any]) -> bytes:
    told = {"topic": delivery.topic, "properties": properties}
    return lossless_json.dumps(told) + b"\n" + delivery.body


def _shown(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
