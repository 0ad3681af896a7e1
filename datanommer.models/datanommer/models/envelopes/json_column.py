"""The JSON of a column, no longer and no deeper than the archive takes it."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from datanommer.models.envelopes import fields, json_text
from datanommer.models.errors import NotStorable

_write_again = partial(json_text.write_again, longest=fields.MAX_JSON_LENGTH)
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def to_json(name: str, value: Any, *, is_read: bool = False) -> str:
    """The value as the JSON text of a column, in the form of json.dumps.

    Args:
        name: what the value is, for the reason.
        value: the value.
        is_read: whether it comes from `json_text.read`.

    Raises:
        NotStorable: it has no JSON, or its JSON is too long or nests too deep.
    """
    text = fields.write(name, _write_again if is_read else json_text.write, value)
    length = len(text)
    if length > fields.MAX_JSON_LENGTH:
        del text  # the traceback of the error would keep it in memory
        raise NotStorable(
            "too large",
            f"{name} is {length} bytes of JSON; at most {fields.MAX_JSON_LENGTH} are stored",
        )
    if _may_be_deep(text) and _depth(text) > fields.MAX_DEPTH:
        raise fields.too_deep(name)
    return text


def _may_be_deep(text: str) -> bool:
    # No text nests deeper than it has opening brackets, and counting those is quick.
    return len(text) > 2 * fields.MAX_DEPTH and text.count("[") + text.count("{") > fields.MAX_DEPTH


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
