"""JSON text, read and written as Python's `json` does it, at three times its speed.

msgspec does it wherever its result is the same. `json` does the rest, because msgspec differs:

- It writes no escapes for characters beyond ASCII, nor for DEL.
- It writes some floats differently: 1e16 and 0.00001 for Python's 1e+16 and 1e-05. So `read` gives
  such a float a type of its own, which msgspec does not write.
- It reads neither NaN nor half of a surrogate pair, which Python does, and words its errors
  differently.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

# Between these, neither Python nor msgspec writes an exponent.
_LEAST, _LIMIT = 1e-4, 1e16


class _Float(float):
    """A float that only `json` writes as Python does."""

    __slots__ = ()


def _float(text: str) -> float:
    value = float(text)
    return value if not value or _LEAST <= abs(value) < _LIMIT else _Float(value)


_read = msgspec.json.Decoder(float_hook=_float).decode
_write = msgspec.json.Encoder().encode
_write_sorted = msgspec.json.Encoder(order="deterministic").encode
# The decoder and the encoder of json.loads and json.dumps, made once. The encoder does not look for
# circular references, which saves a tenth of its time: they nest too deep, and fail for that.
_decoder = json.JSONDecoder(parse_float=_float, parse_constant=_float)
_encode = json.JSONEncoder(allow_nan=False, check_circular=False).encode
_encode_sorted = json.JSONEncoder(
    check_circular=False, sort_keys=True, separators=(",", ":")
).encode


def read(text: str) -> Any:
    """The value of a JSON text, as json.loads gives it.

    Raises:
        json.JSONDecodeError: it is not JSON.
        ValueError: it holds an integer of more digits than Python reads.
        RecursionError: it nests too deep.
    """
    try:
        return _read(text)
    # A lone surrogate in the text raises a ValueError.
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _decoder.decode(text)


def read_at(text: str, index: int) -> tuple[Any, int]:
    """The value that begins at an index of a text, and the index of its end.

    Raises:
        json.JSONDecodeError, ValueError, RecursionError: as for `read`.
    """
    return _decoder.raw_decode(text, index)


def write(value: Any) -> str:
    """The JSON text of any value, as json.dumps gives it.

    Raises:
        TypeError, ValueError: it has none; among them are NaN and Infinity.
        RecursionError: it nests too deep.
    """
    return _encode(value)


def write_again(value: Any, longest: int) -> str:
    """The same, but quicker, of a value that `read` gave, or of a part of it.

    Args:
        value: the value.
        longest: how many characters are of use. A longer text may lack the spaces of json.dumps:
            to add them takes two and a half times its size in memory.

    Raises:
        ValueError, RecursionError: as for `write`.
    """
    text = _quickly(value, _write)
    if text is None:
        return _encode(value)
    return text if len(text) > longest else msgspec.json.format(text, indent=0)


def write_sorted(value: Any) -> str:
    """The JSON text of such a value as fedmsg signs it: compact, with sorted keys.

    NaN and Infinity are written in Python's form (source: fedmsg.encoding, fedmsg 1.1.7).

    Raises:
        RecursionError: it nests too deep.
    """
    text = _quickly(value, _write_sorted)
    return _encode_sorted(value) if text is None else text


def _quickly(value: Any, write: Callable[[Any], bytes]) -> str | None:
    """The text that msgspec writes; None where it is not Python's."""
    try:
        text = write(value).decode("ascii")
    except (TypeError, ValueError, RecursionError):
        return None
    return None if "\x7f" in text else text
