"""What a query asks for: the arguments of `Message.grep`, checked before the database sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from datanommer.models.errors import InvalidQuery
from datanommer.models.message import as_utc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which messages are asked for: those that pass every filter that is given.

    A filter with several values lets a message pass that has any of them; one that begins with
    ``not_``, a message that has none of them. An empty filter lets all pass.

    Attributes:
        start: no message older than this (aware).
        end: no message newer than this (aware).
        msg_id: only the message with this id.
        agents: the `username` of a message, which is who sent it.
        contains: texts that `msg` holds somewhere, as its JSON has them (escaped).
    """

    start: datetime | None = None
    end: datetime | None = None
    msg_id: str | None = None
    users: tuple[str, ...] = ()
    not_users: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    not_packages: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    not_categories: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    not_topics: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    not_agents: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        start: Any = None,
        end: Any = None,
        msg_id: str | None = None,
        contains: Any = None,
        **lists: Any,
    ) -> Filters:
        """The filters that arguments of `Message.grep` name; None and empty ones are not given.

        Args:
            start: a datetime (naive is UTC) or epoch seconds.
            end: the same.
            msg_id: an id.
            contains: a text, or several.
            **lists: a name or several, for each of the other attributes.

        Raises:
            InvalidQuery: an argument makes no sense; says what would.
            TypeError: there is no such filter.
        """
        for name in lists:
            if name not in cls.__dataclass_fields__:
                known = ", ".join(cls.__dataclass_fields__)
                raise TypeError(f"There is no filter {name!r}; there are {known}.")
        begin, finish = _moment("start", start), _moment("end", end)
        if begin is None and finish is not None:
            raise InvalidQuery(
                "end is given without start. Give both, or start alone for all that came since; "
                "for all up to end, start at 0 (1970)."
            )
        if begin is not None and finish is not None and begin > finish:
            raise InvalidQuery(
                f"start ({begin.isoformat()}) is after end ({finish.isoformat()}): swap them."
            )
        return cls(
            start=begin,
            end=finish,
            msg_id=None if msg_id is None else text("msg_id", msg_id) or None,
            contains=tuple(json.dumps(each)[1:-1] for each in _several("contains", contains, str)),
            **{name: _several(name, values, _text_of(name)) for name, values in lists.items()},
        )

    def without(self, *names: str, **instead: Any) -> Filters:
        """The same, but for some filters that are empty, or have other values instead."""
        changed: dict[str, Any] = {name: None if name == "msg_id" else () for name in names}
        changed.update(instead)
        return replace(self, **changed)

    @property
    def given(self) -> frozenset[str]:
        """The names of the filters that are not empty."""
        return frozenset(
            name for name in self.__dataclass_fields__ if getattr(self, name) not in (None, ())
        )


def _several(name: str, values: Any, read: Callable[[Any], str]) -> tuple[str, ...]:
    if values is None or values == "":
        return ()
    if isinstance(values, str):
        return (read(values),)
    if not isinstance(values, Iterable) or isinstance(values, bytes | dict):
        raise InvalidQuery(f"{name} is {values!r}. Give a list of texts.")
    texts = list(values)
    for each in texts:
        if not isinstance(each, str):
            raise InvalidQuery(f"{name} holds {each!r}, which is no text. Leave it out.")
    return tuple(dict.fromkeys(map(read, texts)))


def _text_of(name: str) -> Callable[[Any], str]:
    return lambda value: text(name, value)


def text(name: str, value: Any) -> str:
    """The value of an argument, which is a name that the archive can have.

    Raises:
        InvalidQuery: it is no text, or none that PostgreSQL takes.
    """
    if not isinstance(value, str):
        raise InvalidQuery(f"{name} is {value!r}. Give a text.")
    if "\0" in value or (not value.isascii() and _has_surrogates(value)):
        raise InvalidQuery(
            f"{name} holds {value!a}: no name in the archive has a NUL character or half of "
            "a surrogate pair. Leave it out."
        )
    return value


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _moment(name: str, value: Any) -> datetime | None:
    """The aware datetime of one that may be naive (in UTC), or of epoch seconds."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return as_utc(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _EPOCH + timedelta(seconds=value)
        except (OverflowError, ValueError):
            raise InvalidQuery(
                f"{name} ({value}) is outside the years 1 to 9999; "
                "it must be in seconds (not milliseconds) since 1970."
            ) from None
    raise InvalidQuery(f"{name} is {value!r}. Give a datetime (naive is UTC) or epoch seconds.")
