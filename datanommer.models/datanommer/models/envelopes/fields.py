"""The fields of a body, checked: each as its column takes it, or the reason why none can."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from datanommer.models import times
from datanommer.models.errors import NotStorable

#: The longest text of a column that is indexed, in bytes of UTF-8.
MAX_TEXT_BYTES = 1024
#: The deepest nesting of JSON: Python reads about 1,000 levels, wherever it stands on its stack.
MAX_DEPTH = 500
#: The longest JSON of one column, in characters (all ASCII).
MAX_JSON_LENGTH = 64 * 1024 * 1024

_encode_canonically = json.JSONEncoder(
    allow_nan=False, check_circular=False, sort_keys=True, separators=(",", ":")
).encode
# A union would be made anew at each use.
_NUMBER = (int, float)
_LISTS = (list, tuple, set, frozenset)
_INT64 = range(-(2**63), 2**63)


def read_timestamp(value: Any) -> datetime:
    """The naive datetime in UTC of a body's `timestamp`; the time now where it is None.

    Raises:
        NotStorable: the value is no epoch seconds of the years 1970 to 9999.
    """
    if value is None:
        return datetime.now(UTC).replace(tzinfo=None)
    if isinstance(value, bool) or not isinstance(value, _NUMBER):
        raise NotStorable("invalid", f"timestamp is {kind_of(value)}, not epoch seconds")
    try:
        timestamp = times.from_epoch(value)
    except (OverflowError, ValueError):
        timestamp = None
    if timestamp is None or timestamp < times.EPOCH:
        raise NotStorable(
            "invalid",
            f"timestamp {_printable(value)} is outside the years 1970 to 9999; "
            "it must be in seconds (not milliseconds) since 1970",
        )
    return timestamp


def read_counter(value: Any) -> int:
    """The column of a body's `i`; 0 where it is no integer.

    Raises:
        NotStorable: it takes more than 64 bits.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    if value not in _INT64:
        raise NotStorable("invalid", f"i is {_printable(value)}, beyond 64 bits")
    return value


def read_text(key: str, value: Any) -> str | None:
    """The column of an optional text of a body; None where it is no text.

    Raises:
        NotStorable: no text column can hold it.
    """
    if not isinstance(value, str):
        return None
    check_text(key, value, MAX_TEXT_BYTES if key == "username" else MAX_JSON_LENGTH)
    return value


def check_text(name: str, text: str, max_bytes: int = MAX_TEXT_BYTES) -> None:
    """Make sure that a text column can hold a text.

    Args:
        name: what the text is, for the reason.
        text: the text.
        max_bytes: the most bytes of UTF-8.

    Raises:
        NotStorable: it cannot.
    """
    if "\0" in text:
        raise NotStorable("invalid", f"{name} holds a NUL character, which no text column can")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise NotStorable(
            "invalid", f"{name} holds half of a surrogate pair, which is not a character"
        ) from None
    if size > max_bytes:
        raise NotStorable(
            "too large", f"{name} is {size} bytes long; at most {max_bytes} are stored"
        )


def fit_text(value: Any) -> str | None:
    """The text made fit for an indexed column; None for what is no text.

    NUL and lone surrogates become escapes, and what is longer than `MAX_TEXT_BYTES` is cut off.
    """
    if not isinstance(value, str):
        return None
    text = value[:MAX_TEXT_BYTES].replace("\0", "\\x00")
    data = text.encode("utf-8", "backslashreplace")
    return data[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def storable_names(names: Any) -> tuple[str, ...]:
    """The names of users or packages that can be stored, each once, sorted."""
    if not names or not isinstance(names, _LISTS):
        return ()
    return tuple(
        sorted(
            {
                name
                for name in names
                if isinstance(name, str) and 0 < len(name) <= MAX_TEXT_BYTES and _is_name(name)
            }
        )
    )


def storable_name(name: Any) -> str | None:
    """The name of a user, if it can be stored; else None."""
    return next(iter(storable_names([name])), None)


@lru_cache(maxsize=10_000)  # most of a bus is about few users and packages
def _is_name(name: str) -> bool:
    try:
        check_text("name", name)
    except NotStorable:
        return False
    return True


def first_text(*candidates: Any) -> str | None:
    """The first candidate that is a text and not empty."""
    for candidate in candidates:
        if candidate and isinstance(candidate, str):
            return candidate
    return None


def first_dict(*candidates: Any) -> dict[str, Any] | None:
    """The first candidate that is a JSON object."""
    for candidate in candidates:
        if isinstance(candidate, dict):
            return candidate
    return None


def to_canonical_json(value: Any) -> str:
    """The value as sorted, compact JSON: two equal values have the same text.

    Raises:
        NotStorable: it has no JSON, or nests too deep.
    """
    return write("the body", _encode_canonically, value)


def write(name: str, encode: Callable[[Any], str], value: Any) -> str:
    """The JSON text that an encoder gives, or the reason why it gives none.

    Args:
        name: what the value is, for the reason.
        encode: raises what `json` raises.
        value: the value.

    Raises:
        NotStorable: it has no JSON, or nests too deep.
    """
    try:
        return encode(value)
    except RecursionError:
        raise too_deep(name) from None
    except (TypeError, ValueError) as error:
        raise NotStorable("invalid", f"{name} cannot be written as JSON: {error}") from None


def too_deep(name: str) -> NotStorable:
    """The error of JSON that nests deeper than `MAX_DEPTH`; `name` says of what."""
    return NotStorable("too large", f"{name} nests deeper than {MAX_DEPTH} levels")


def kind_of(value: Any) -> str:
    """What a JSON value is, in words: "a list"."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean", bytes: "bytes"}
    if value is None:
        return "missing or null"
    return kinds.get(type(value)) or ("a number" if isinstance(value, int | float) else "no JSON")


def _printable(number: float) -> str:
    # Python refuses to write out an integer of thousands of digits.
    return f"{number}" if isinstance(number, float) or abs(number) < 10**30 else "over 30 digits"
