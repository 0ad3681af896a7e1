"""Values inside the content of a message, `msg`.

PostgreSQL's JSON operators fail on a document that holds ``\\u0000`` anywhere, so Python looks into
it. SQL only sifts out what cannot match, by the text of the JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

from datanommer.models.errors import InvalidQuery

_INDEX = re.compile("[0-9]{1,9}")
#: Each part costs time with each message.
_MAX_PARTS = 100


class FieldValue(NamedTuple):
    """A place in `msg`, and the value that it should have.

    Attributes:
        path: the keys that lead there, with dots between them: ``build.state``. A key may have a
            dot itself. In a list, a number is an index; any other key is looked for in each
            element.
        value: the value: a text, or JSON (``1``, ``true``, ``null``).
    """

    path: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The field of a text such as ``build.state=1``.

        Raises:
            InvalidQuery: it is no such text.
        """
        path, equals, value = text.partition("=")
        if not path or not equals:
            raise InvalidQuery(f"{text!r} names no value. Write PATH=VALUE, such as build.state=1.")
        if path.count(".") >= _MAX_PARTS:
            raise InvalidQuery(f"The path has more than {_MAX_PARTS} parts. No message does.")
        return cls(path, value)

    def matches(self, msg: Any) -> bool:
        """Whether the content of a message has the value there."""
        return any(self._is_value(each) for each in _values(msg, self.path.split(".")))

    @property
    def needles(self) -> tuple[str, ...]:
        """Texts that the JSON of `msg` has if it matches, escaped as `json.dumps` does."""
        last = self.path.rpartition(".")[2]
        # A number may be an index, and a number as a value can be written in several ways.
        key = "" if last.isdecimal() else json.dumps(last)[1:]
        is_text = not _is_number_or_container(_parsed(self.value))
        value = json.dumps(self.value)[1:-1] if is_text else ""
        return tuple(needle for needle in (key, value) if needle)

    def _is_value(self, value: Any) -> bool:
        if isinstance(value, str) and value == self.value:
            return True
        parsed = _parsed(self.value)
        # In Python, True == 1.
        return (
            parsed is not _NOT_JSON
            and isinstance(parsed, bool) is isinstance(value, bool)
            and (parsed == value)
        )


def all_match(fields: Collection[FieldValue], msg: str = "null") -> bool:
    """Whether a message has one of the values that are wanted in each place.

    Args:
        fields: several with the same path are alternatives.
        msg: its content as JSON; not needed without fields.
    """
    if not fields:
        return True
    content = json.loads(msg)
    return all(any(each.matches(content) for each in same) for same in by_path(fields))


def by_path(fields: Iterable[FieldValue]) -> list[list[FieldValue]]:
    """The fields, those with the same path together."""
    groups: dict[str, list[FieldValue]] = {}
    for each in fields:
        groups.setdefault(each.path, []).append(each)
    return list(groups.values())


_NOT_JSON = object()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        return _NOT_JSON


def _is_number_or_container(value: Any) -> bool:
    return isinstance(value, int | float | list | dict) and not isinstance(value, bool)


def _values(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    """The values where the parts of a path lead."""
    if not parts:
        yield value
    if isinstance(value, list):
        if parts and _INDEX.fullmatch(parts[0]):
            for element in value[int(parts[0]) :][:1]:
                yield from _values(element, parts[1:])
        else:
            for element in value:
                yield from _values(element, parts)
    elif isinstance(value, dict):
        for number in range(1, len(parts) + 1):
            key = ".".join(parts[:number])
            if key in value:
                yield from _values(value[key], parts[number:])
