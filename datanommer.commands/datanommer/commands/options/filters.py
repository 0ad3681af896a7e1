"""Which messages are meant, as options. Each can be given several times: any of the values fits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands.options.times import time_options
from datanommer.commands.options.values import Text

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.filtering.filters import Filters

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def _option(name: str, filter_: str, metavar: str, text: str, **more: Any) -> Option:
    options = {"type": Text(), **more}
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
_time_options = time_options("messages sent")


def with_filters(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--since``, ``--before``, ``--topic`` and ``--category``, as `filters`.

    Topics are as they were typed; see `resolve`.
    """
    return _filtered(function, [_time_options, topic_option, category_option])


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
