"""The filters for messages, as options. Each can be repeated: any of its values will do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands.options import known_names
from datanommer.commands.options.times import time_options
from datanommer.commands.options.values import Text

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.filtering.filters import Filters

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


class _FieldValueType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A value inside the content of a message."""

    name = "field"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from datanommer.models.errors import InvalidQuery
        from datanommer.models.filtering.content import FieldValue

        try:
            return FieldValue.parse(Text().convert(value, param, ctx))
        except InvalidQuery as error:
            self.fail(str(error), param, ctx)


def _option(name: str, filter_: str, metavar: str, text: str, **more: Any) -> Option:
    options = {"type": Text(), "shell_complete": known_names.complete(filter_), **more}
    return click.option(name, filter_, multiple=True, metavar=metavar, help=text, **options)


topic_option = _option(
    "--topic",
    "topics",
    "TOPIC",
    "Only messages of this topic, with or without the prefix of the bus. In a pattern such as "
    "org.fedoraproject.*.bodhi.#, * is one part, and # is any number of them.",
)
category_option = _option(
    "--category", "categories", "CATEGORY", "Only messages of this category, such as bodhi."
)
#: Stands for ``--topic`` without a value: no argument of a command line can hold a null byte.
_ALONE = "\0"


class _TopicOrAlone(Text):
    """A topic, or none at all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return _ALONE if value == _ALONE else super().convert(value, param, ctx)


def _split(ctx: click.Context, _param: click.Parameter, topics: Sequence[str]) -> tuple[str, ...]:
    ctx.params["is_topic_alone"] = _ALONE in topics
    return tuple(topic for topic in topics if topic != _ALONE)


_topic_option_of_stats = _option(
    "--topic",
    "topics",
    "[TOPIC]",
    "Count by topic, instead of by category. With a TOPIC: only messages of this topic or pattern.",
    type=_TopicOrAlone(),
    is_flag=False,
    flag_value=_ALONE,
    callback=_split,
)
_user_option = _option("--user", "users", "NAME", "Only messages that concern this user.")
_package_option = _option(
    "--package", "packages", "NAME", "Only messages that concern this package."
)
_agent_option = _option(
    "--agent", "agents", "NAME", "Only what this user did; --user also finds what concerns them."
)
_contains_option = _option(
    "--contains",
    "contains",
    "TEXT",
    "Only messages with this text somewhere in their content. Case-sensitive.",
)
_field_option = _option(
    "--field",
    "field_values",
    "PATH=VALUE",
    "Only messages with this value inside their content, such as build.state=1. Each message that "
    "passes the other filters has to be read for it. Values of different paths must all fit.",
    type=_FieldValueType(),
)
_not_options = [
    _option(f"--not-{name}", f"not_{names}", metavar, f"No messages {text}.")
    for name, names, metavar, text in (
        ("topic", "topics", "TOPIC", "of this topic or pattern"),
        ("category", "categories", "CATEGORY", "of this category"),
        ("user", "users", "NAME", "that concern this user"),
        ("package", "packages", "NAME", "that concern this package"),
        ("agent", "agents", "NAME", "about what this user did"),
        ("contains", "contains", "TEXT", "with this text in their content"),
    )
]
_more_options = [
    category_option,
    _user_option,
    _package_option,
    _agent_option,
    _contains_option,
    _field_option,
    *_not_options,
]
_time_options = time_options("messages sent")


def with_filters(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--since``, ``--before``, ``--topic`` and ``--category``, as `filters`.

    Topics are as they were typed; see `resolve`.
    """
    return _filtered(function, [_time_options, topic_option, category_option])


def with_all_filters(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with options for all filters."""
    return _filtered(function, [_time_options, topic_option, *_more_options])


def with_all_filters_of_stats(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but ``--topic`` may stand alone; whether it does is `is_topic_alone`."""
    return _filtered(function, [_time_options, _topic_option_of_stats, *_more_options])


def resolve(engine: sa.Engine, filters: Filters) -> Filters:
    """The filters with the topics of the archive in place of patterns.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    if not filters.topics and not filters.not_topics:
        return filters
    from datanommer.models.filtering import topic_pattern

    with engine.connect() as connection:
        return topic_pattern.resolve(connection, filters)


def _filtered(function: Callable[..., Any], options: Sequence[Option]) -> Callable[..., Any]:
    @functools.wraps(function)
    def filtered(**values: Any) -> Any:
        from datanommer.models.filtering.filters import Filters

        given = {name: values.pop(name) for name in Filters.__dataclass_fields__ if name in values}
        return function(filters=Filters.of_options(**given), **values)

    command: Callable[..., Any] = filtered
    for option in reversed(options):
        command = option(command)
    return command
