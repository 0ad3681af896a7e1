"""JSON is read and written just as Python's `json` does it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import fedmsg.encoding
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datanommer.models.envelopes import json_text

NUMBERS = st.integers() | st.floats() | st.floats(0, 1e-3) | st.floats(1e14, 1e18)
# With NUL, DEL, halves of surrogate pairs, and what takes such a pair.
TEXTS = st.text() | st.text(st.sampled_from('a"\\/\0\n\x7f\x9fé€\u2028\ud83d\ude00😀'))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)
# JSON as others may spell it.
TOKENS = st.sampled_from(
    [
        *(
            *'{}[],:" \t\n\r\ufeff\xa0',
            "{}",
            "[]",
            '"a"',
            '"a":',
            '"\\/"',
            '"\\u00E9"',
            '"\\ud83d"',
        ),
        *(
            '"\n"',
            '"\\x"',
            "0",
            "-0",
            "-0.0",
            "01",
            "1.",
            ".5",
            "+1",
            "1.50",
            "1E5",
            "1e16",
            "1e-5",
        ),
        *("1e400", "-1e-400", "9" * 30, "9" * 5000, "NaN", "Infinity", "-Infinity", "true", "nul"),
    ]
)
TEXT = st.lists(TOKENS, max_size=8).map("".join)


def outcome(work: Callable[[], Any]) -> str:
    """What it gives, in a form in which NaN is NaN, and 1 is not 1.0; or how it fails."""
    try:
        return repr(work())
    except (ValueError, RecursionError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


@given(TEXT)
@example('{"a": 1, "a": 2}')
@example("[" * 100_000)
@example("")
def test_what_is_read_is_what_json_reads(text: str) -> None:
    assert outcome(lambda: json_text.read(text)) == outcome(lambda: json.JSONDecoder().decode(text))


@given(VALUES, st.sampled_from([None, (",", ":"), (" , ", "\t:\n")]), st.booleans())
def test_what_is_written_again_is_what_json_writes(
    value: Any, separators: tuple[str, str] | None, is_ascii: bool
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=is_ascii)
    read = json_text.read(text)
    assert repr(read) == repr(json.loads(text))
    written = outcome(lambda: json_text.write_again(read, sys.maxsize))
    assert written == outcome(lambda: dumps(json.loads(text)))


@given(TEXT)
def test_what_was_spelled_otherwise_is_written_as_json_writes_it(text: str) -> None:
    try:
        read = json_text.read(text)
    except ValueError:
        return
    written = outcome(lambda: json_text.write_again(read, sys.maxsize))
    assert written == outcome(lambda: dumps(json.loads(text)))


@given(VALUES)
def test_what_was_signed_is_written_as_fedmsg_writes_it(value: Any) -> None:
    text = json.dumps(value)
    written = outcome(lambda: json_text.write_sorted(json_text.read(text)))
    assert written == outcome(lambda: fedmsg.encoding.dumps(json.loads(text)))


@pytest.mark.parametrize("depth", [400, 5000])
def test_what_nests_deep_is_written_as_json_writes_it(depth: int) -> None:
    value: Any = []
    for _ in range(depth):
        value = [value]
    written = outcome(lambda: json_text.write_again(value, sys.maxsize))
    assert written == outcome(lambda: dumps(value))


@given(VALUES)
def test_what_nobody_read_is_written_as_json_writes_it(value: Any) -> None:
    assert outcome(lambda: json_text.write(value)) == outcome(lambda: dumps(value))


@given(st.lists(VALUES, max_size=5))
def test_a_value_is_read_wherever_it_begins(values: list[Any]) -> None:
    text = " ".join(json.dumps(value) for value in values)
    index = 0
    for value in values:
        read, index = json_text.read_at(text, index)
        assert repr(read) == repr(json.loads(json.dumps(value)))
        index += 1
