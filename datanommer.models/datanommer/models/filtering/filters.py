"""Which messages are meant, by time, topic, user and so on; checked before the database sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from datanommer.models import times
from datanommer.models.errors import InvalidQuery
from datanommer.models.filtering.content import FieldValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which messages are meant: those that pass every filter that is set.

    A filter with several values passes a message that has any of them. A filter that begins with
    ``not_`` passes a message that has none of them. An empty filter passes all.

    Attributes:
        since: no message sent before this (aware).
        before: no message sent after this (aware).
        msg_id: only the message with this id.
        agents: who did what a message is about; if nobody knows, who sent it (its `username`).
        contains, not_contains: texts that `msg` holds somewhere, as its JSON has them (escaped).
        field_values: values inside `msg`; see `datanommer.models.filtering.content`.
    """

    since: datetime | None = None
    before: datetime | None = None
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
    not_contains: tuple[str, ...] = ()
    field_values: tuple[FieldValue, ...] = ()

    @classmethod
    def of(
        cls,
        start: Any = None,
        end: Any = None,
        msg_id: str | None = None,
        contains: Any = None,
        not_contains: Any = None,
        **lists: Any,
    ) -> Filters:
        """The filters of the arguments of `Message.grep`; None and empty ones are not set.

        Args:
            start: a datetime (naive is UTC), its text in ISO 8601, or epoch seconds. If it is after
                `end`, no message passes.
            end: the same.
            msg_id: an id.
            contains, not_contains: a text, or several.
            **lists: a name or several, for each of the other attributes.

        Raises:
            InvalidQuery: an argument makes no sense; says what would.
            TypeError: there is no such filter.
        """
        for name in lists:
            if name not in _LISTS:
                known = ", ".join(("start", "end", "msg_id", "contains", "not_contains", *_LISTS))
                raise TypeError(f"There is no filter {name!r}; there are {known}.")
        since, before = _read_time("start", start), _read_time("end", end)
        if since is None and before is not None:
            raise InvalidQuery(
                "end is given without start. Give both, or start alone for all that came since; "
                "for all up to end, start at 0 (1970)."
            )
        return cls(
            since=since,
            before=before,
            msg_id=None if msg_id is None else text("msg_id", msg_id) or None,
            contains=_needles("contains", contains),
            not_contains=_needles("not_contains", not_contains),
            **_read_lists(lists),
        )

    @classmethod
    def of_options(
        cls,
        since: datetime | None = None,
        before: datetime | None = None,
        *,
        contains: Iterable[str] = (),
        not_contains: Iterable[str] = (),
        field_values: Iterable[FieldValue] = (),
        **lists: Iterable[str],
    ) -> Filters:
        """The filters of the options of a command.

        Args:
            since: no message sent before this (naive is UTC).
            before: no message sent after this (naive is UTC).
            contains, not_contains: texts that `msg` holds somewhere.
            field_values: values inside `msg`.
            **lists: names, for each of the other attributes.

        Raises:
            InvalidQuery: the archive cannot hold one of the names.
        """
        return cls(
            since=since and times.as_utc(since),
            before=before and times.as_utc(before),
            contains=_needles("contains", contains),
            not_contains=_needles("not_contains", not_contains),
            field_values=tuple(field_values),
            **_read_lists(lists),
        )

    def without(self, *names: str, **instead: Any) -> Filters:
        """The same, but with some filters empty, or with other values."""
        changed: dict[str, Any] = {name: None if name == "msg_id" else () for name in names}
        changed.update(instead)
        return replace(self, **changed)

    @property
    def names(self) -> frozenset[str]:
        """The names of the filters that are set."""
        return frozenset(
            name for name in self.__dataclass_fields__ if getattr(self, name) not in (None, ())
        )


_LISTS = tuple(
    name
    for name in Filters.__dataclass_fields__
    if name not in {"since", "before", "msg_id", "contains", "not_contains", "field_values"}
)


def _read_lists(lists: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _several(name, values, _text_of(name)) for name, values in lists.items()}


def _needles(name: str, texts: Any) -> tuple[str, ...]:
    return tuple(json.dumps(each)[1:-1] for each in _several(name, texts, str))


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
    """The value of an argument: a name that the archive can hold.

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


def _read_time(name: str, value: Any) -> datetime | None:
    """The aware datetime of a datetime (naive is UTC), of its text, or of epoch seconds."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidQuery(
                f"{name} is {value!r}. Give it in ISO 8601, such as 2013-02-18T05:55:18."
            ) from None
    if isinstance(value, datetime):
        return times.as_utc(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return times.as_utc(times.from_epoch(value))
        except (OverflowError, ValueError):
            raise InvalidQuery(
                f"{name} ({value}) is outside the years 1 to 9999; "
                "it must be in seconds (not milliseconds) since 1970."
            ) from None
    raise InvalidQuery(
        f"{name} is {value!r}. Give a datetime (naive is UTC), an ISO 8601 text, or epoch seconds."
    )
