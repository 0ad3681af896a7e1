"""An envelope of the bus as a row of the archive, and back again.

The columns of a row give back a body: a column that is NULL is an absent key. Where that body
would differ from the one received, `extra` holds the difference:

``{"set": {key: value}, "unset": [key], "envelope": {key: value}}``

`set` and `unset` turn the body that the columns give into the one received; `envelope` is what
the envelope said otherwise than the columns. A body that is whole in its columns has no `extra`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from datanommer.models.errors import NotStorable
from datanommer.models.packing import pack, unpack

#: The longest text of a column that is indexed, in bytes of UTF-8.
MAX_TEXT_BYTES = 1024
#: The deepest nesting of JSON: Python reads about 1,000 levels, wherever it stands on its stack.
MAX_DEPTH = 500
#: The longest JSON of one column, in characters (all ASCII).
MAX_JSON_LENGTH = 64 * 1024 * 1024

#: The `username` of what a bridge brings from AMQP to fedmsg (source: fedmsg-migration-tools).
BRIDGE = "amqp-bridge"

# As json.dumps does it, with an encoder that is made once. Not to look for circles saves a tenth of
# its time: they nest without end, and are found by that.
_encode = json.JSONEncoder(allow_nan=False, check_circular=False).encode
_encode_canonically = json.JSONEncoder(
    allow_nan=False, check_circular=False, sort_keys=True, separators=(",", ":")
).encode

_ABSENT = object()
_NUMBER = (int, float)  # a union would be made anew at each use
_INT64 = range(-(2**63), 2**63)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  naive UTC, as in the classic API
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/fedora-infra/datanommer/")
_OPTIONAL_TEXTS = (
    "username",
    "crypto",
    "certificate",
    "signature",
    "source_name",
    "source_version",
)


@dataclass(slots=True)
class Row:
    """A message as the archive holds it.

    Attributes:
        timestamp: naive, in UTC.
        signature: packed (see `datanommer.models.packing`), or None; where there is one that
            cannot be packed, it is in `extra`.
        msg: the JSON text of the content.
        headers: the JSON text of the headers, or None.
        extra: the JSON text of the difference (see this module's docstring), or None.
        users: the names of the users that the message concerns, each once.
        packages: the names of the packages, likewise.
        from_amqp: whether it came over AMQP, where ids have no year: `datanommer.models.years`
            looks for it under those of other years.
        line: what COPY is given of it, where that is written down already; see
            `datanommer.models.insert`.
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
    users: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    from_amqp: bool = False
    line: str | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """How many characters it has; the columns that are short, and indexed, do not count."""
        long = (self.msg, self.headers, self.extra, self.certificate)
        return sum(len(text) for text in long if text)


def categorize(topic: str) -> str:
    """The category of a topic: its fourth part (third, for a VirtualTopic), as ever on the bus.

    Topics of ``logging.stats`` come from scripts, with any prefix or none: theirs is ``logging``.
    """
    if "logging.stats." in topic and ".logging.stats." in f".{topic}":
        return "logging"
    parts = topic.split(".")
    place = 2 if "VirtualTopic" in topic else 3
    return (parts[place] if len(parts) > place else "") or "Unclassified"


def to_epoch(timestamp: datetime) -> int | float:
    """Epoch seconds of a naive datetime in UTC: an int where the second is whole."""
    since = timestamp - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if not since.microseconds:
        return seconds
    # One division of integers is rounded right, so a float of microseconds comes back as it was.
    return (seconds * 1_000_000 + since.microseconds) / 1_000_000


def content(topic: str, msg: str) -> tuple[str, str]:
    """What makes two messages of one id the same: the topic, and `msg` in canonical JSON.

    Args:
        topic: the topic.
        msg: JSON text.
    """
    return topic, _canonical(json.loads(msg))


def from_envelope(envelope: Any, given: Mapping[str, Any] | None = None) -> Row:
    """The row of an envelope ``{"topic": str, "body": {...}[, "headers": {...}]}``.

    A body without a timestamp gets the time now. One without an id gets the id of its headers;
    else one made from its content, where it has a timestamp, so that a retry or a second hub
    finds the same; else a random one.

    Args:
        envelope: what came from the bus.
        given: a `msg_id` and a `timestamp` that the archive already gave to this message.

    Raises:
        NotStorable: no row can hold it; says why.
    """
    given = given or {}
    if not isinstance(envelope, dict):
        raise NotStorable("invalid", f"the envelope is {_kind_of(envelope)}, not a JSON object")
    body = envelope.get("body")
    if not isinstance(body, dict):
        raise NotStorable("invalid", f"the body is {_kind_of(body)}, not a JSON object")
    topic = _first_text(body.get("topic"), envelope.get("topic"))
    if topic is None:
        raise NotStorable("invalid", "neither the body nor the envelope has a topic")
    headers = _first_dict(body.get("headers"), envelope.get("headers"))
    sent = given.get("timestamp", body.get("timestamp"))
    timestamp = _timestamp(sent)
    # Written first: what follows can rely on content that is neither too deep nor no JSON.
    msg_text = _json("msg", body.get("msg"))
    headers_text = None if headers is None else _json("headers", headers)
    columns: dict[str, Any] = {
        "topic": topic,
        "msg": body.get("msg"),
        "msg_id": _first_text(given.get("msg_id")) or _identify(body, headers or {}, timestamp),
        "i": _counter(body.get("i")),
        "timestamp": sent if type(sent) is int else to_epoch(timestamp),
        **{key: _optional_text(key, body.get(key)) for key in _OPTIONAL_TEXTS},
        "headers": headers,
    }
    _check_text("topic", topic, MAX_TEXT_BYTES)
    _check_text("msg_id", columns["msg_id"], MAX_TEXT_BYTES)
    signature = _packed_signature(columns)
    if signature is None:
        columns["signature"] = None
    extra = _difference(envelope, columns)
    columns["signature"] = signature
    columns["category"] = categorize(topic)
    columns["timestamp"] = timestamp
    columns["msg"] = msg_text
    columns["headers"] = headers_text
    columns["extra"] = _json("the body", extra) if extra else None
    columns["from_amqp"] = columns["username"] == BRIDGE or "sent-at" in (headers or {})
    return Row(**columns)


def lacks_time(envelope: Mapping[str, Any]) -> bool:
    """Whether the body of an envelope does not say when it was sent."""
    return envelope["body"].get("timestamp") is None


def given_to(envelope: Mapping[str, Any], moment: float, unique: str) -> dict[str, Any]:
    """What a message gets that comes without a time: that time and, if it has no id, one.

    Whoever tries to store a message more than once gives it the same each time.

    Args:
        envelope: with a body that is an object.
        moment: when it was received, in epoch seconds.
        unique: what makes an id of it.

    Returns:
        What `from_envelope` takes as `given`.
    """
    body = envelope["body"]
    headers = _first_dict(body.get("headers"), envelope.get("headers"))
    year = _timestamp(moment).year
    known = _known_id(body, headers or {})
    return {"timestamp": moment, "msg_id": known or f"{year}-{unique}"}


def restore_body(columns: Mapping[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body that was received.

    Args:
        columns: the columns of a row under the body's keys, `timestamp` as `to_epoch` gives it.
        extra: the difference, as in this module's docstring.
    """
    body = {key: value for key, value in columns.items() if value is not None or key == "msg"}
    if extra:
        body.update(extra.get("set", {}))
        for key in extra.get("unset", ()):
            body.pop(key, None)
    return body


def restore_envelope(columns: Mapping[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The envelope that was received; the arguments are those of `restore_body`."""
    envelope = {"topic": columns["topic"], "body": restore_body(columns, extra)}
    if columns["headers"] not in (None, envelope["body"].get("headers")):
        envelope["headers"] = columns["headers"]
    return {**envelope, **(extra or {}).get("envelope", {})}


def received(row: Row) -> dict[str, Any]:
    """The envelope that a row was made from."""
    columns = {
        "topic": row.topic,
        "msg": json.loads(row.msg),
        "msg_id": row.msg_id,
        "i": row.i,
        "timestamp": to_epoch(row.timestamp),
        **{key: getattr(row, key) for key in _OPTIONAL_TEXTS},
        "signature": None if row.signature is None else unpack(row.signature, row.crypto),
        "headers": None if row.headers is None else json.loads(row.headers),
    }
    return restore_envelope(columns, None if row.extra is None else json.loads(row.extra))


def which(msg_id: Any, topic: Any) -> str:
    """Which message it is, for people: never its content, and no more than a line."""
    return f"msg_id {_quoted(msg_id)}, topic {_quoted(topic)}"


def _quoted(value: Any) -> str:
    # What is refused may have anything for an id.
    if value is None:
        return "none"
    return repr(value[:200]) if isinstance(value, str) else type(value).__name__


def as_utc(moment: datetime) -> datetime:
    """The aware datetime of one that may be naive, and then is in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def naive_utc(moment: datetime) -> datetime:
    """The naive datetime in UTC of an aware one."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def storable_names(names: Any) -> tuple[str, ...]:
    """Those of the names of users or packages that can be stored, each once, sorted."""
    if not isinstance(names, list | tuple | set | frozenset):
        return ()
    return tuple(sorted({name for name in names if isinstance(name, str) and _is_name(name)}))


def _is_name(name: str) -> bool:
    try:
        _check_text("name", name, MAX_TEXT_BYTES)
    except NotStorable:
        return False
    return bool(name)


def _difference(envelope: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    body = envelope["body"]
    rebuilt = restore_body(columns, None)
    # As nearly always, and quickly. Only numbers can be equal and not the same: 1, 1.0 and true.
    if (
        rebuilt == body
        and rebuilt["i"] is body["i"]
        and rebuilt["timestamp"] is body["timestamp"]
        and envelope == {"topic": columns["topic"], "body": body}
    ):
        return {}
    said_by_columns = {"topic": columns["topic"], "headers": columns["headers"], "body": body}
    changed = _changed(body, rebuilt)
    # First, where SQL finds them without reading the rest (see record.py).
    sent: dict[str, Any] = {
        key: changed[key] for key in ("timestamp", "signature") if key in changed
    }
    parts = {
        "set": {**sent, **changed},
        "unset": [key for key in rebuilt if key not in body],
        "envelope": _changed(envelope, said_by_columns),
    }
    return {name: part for name, part in parts.items() if part}


def _packed_signature(columns: Mapping[str, Any]) -> bytes | None:
    signature = columns["signature"]
    return None if signature is None else pack(signature, columns["crypto"])


def _changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `new` that `old` lacks or has otherwise (an int is not the same float).

    They are sorted, so that a message which is dumped and loaded has the same difference.
    """
    changed = [
        (key, value)
        for key, value in new.items()
        if (kept := old.get(key, _ABSENT)) is not value
        and (type(kept) is not type(value) or kept != value)
    ]
    return dict(sorted(changed, key=lambda entry: str(entry[0]))) if changed else {}


def _identify(body: Mapping[str, Any], headers: Mapping[str, Any], timestamp: datetime) -> str:
    known = _known_id(body, headers)
    if known:
        return known
    if body.get("timestamp") is None:
        return f"{timestamp.year}-{uuid.uuid4()}"
    return f"{timestamp.year}-{uuid.uuid5(_NAMESPACE, _canonical(body))}"


def _known_id(body: Mapping[str, Any], headers: Mapping[str, Any]) -> str | None:
    return _first_text(
        body.get("msg_id"), headers.get("amqp-message-id"), headers.get("message-id")
    )


def _timestamp(value: Any) -> datetime:
    if value is None:
        return datetime.now(UTC).replace(tzinfo=None)
    if isinstance(value, bool) or not isinstance(value, _NUMBER):
        raise NotStorable("invalid", f"timestamp is {_kind_of(value)}, not epoch seconds")
    try:
        timestamp = _EPOCH + timedelta(seconds=value)
    except (OverflowError, ValueError):
        timestamp = None
    if timestamp is None or timestamp < _EPOCH:
        raise NotStorable(
            "invalid",
            f"timestamp {_shown(value)} is outside the years 1970 to 9999; "
            "it must be in seconds (not milliseconds) since 1970",
        )
    return timestamp


def _counter(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    if value not in _INT64:
        raise NotStorable("invalid", f"i is {_shown(value)}, beyond 64 bits")
    return value


def _first_text(*candidates: Any) -> str | None:
    for candidate in candidates:
        if candidate and isinstance(candidate, str):
            return candidate
    return None


def _first_dict(*candidates: Any) -> dict[str, Any] | None:
    for candidate in candidates:
        if isinstance(candidate, dict):
            return candidate
    return None


def _optional_text(key: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    _check_text(key, value, MAX_TEXT_BYTES if key == "username" else MAX_JSON_LENGTH)
    return value


def _check_text(name: str, text: str, limit: int) -> None:
    if "\0" in text:
        raise NotStorable("invalid", f"{name} holds a NUL character, which no text column can")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise NotStorable(
            "invalid", f"{name} holds half of a surrogate pair, which is not a character"
        ) from None
    if size > limit:
        raise NotStorable("too large", f"{name} is {size} bytes long; at most {limit} are stored")


def _json(name: str, value: Any) -> str:
    text = _written(name, _encode, value)
    if len(text) > MAX_JSON_LENGTH:
        raise NotStorable(
            "too large",
            f"{name} is {len(text)} bytes of JSON; at most {MAX_JSON_LENGTH} are stored",
        )
    # No text nests deeper than it has opening brackets, and counting those is quick.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise too_deep(name)
    return text


def _canonical(value: Any) -> str:
    return _written("the body", _encode_canonically, value)


def _written(name: str, encode: Callable[[Any], str], value: Any) -> str:
    try:
        return encode(value)
    except RecursionError:
        raise too_deep(name) from None
    except (TypeError, ValueError) as error:
        raise NotStorable("invalid", f"{name} cannot be written as JSON: {error}") from None


def too_deep(name: str) -> NotStorable:
    """The error of JSON that nests deeper than `MAX_DEPTH`; `name` says of what."""
    return NotStorable("too large", f"{name} nests deeper than {MAX_DEPTH} levels")


_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _BRACKETS.finditer(text):
        first = token[0][0]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
    return deepest


def _kind_of(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean", bytes: "bytes"}
    if value is None:
        return "missing or null"
    return kinds.get(type(value)) or ("a number" if isinstance(value, int | float) else "no JSON")


def _shown(number: float) -> str:
    """A number for people; an integer of thousands of digits cannot be written out."""
    return f"{number}" if isinstance(number, float) or abs(number) < 10**30 else "over 30 digits"
