"""Limits of a monitor as options: overall, or for one category (``bodhi=1h``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


class _Limit(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A limit, optionally with its category in front.

    Args:
        of: the type of the value.
    """

    name = "limit"

    def __init__(self, of: Any) -> None:
        self._of = of

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str | None, Any]:
        category, equals, limit = value.rpartition("=")
        if equals and not category:
            self.fail(f"{value!r} names no category before its =.", param, ctx)
        return category or None, self._of.convert(limit, param, ctx)


def limit_by_category_option(
    name: str, of: Any, metavar: str, text: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a limit, as a mapping by category; None stands for all of them together.

    Args:
        name: of the option.
        of: the type of the limit.
        metavar: what it is called in the help.
        text: its help.
    """
    return click.option(
        name,
        type=_Limit(of),
        multiple=True,
        metavar=f"[CATEGORY=]{metavar}",
        callback=_by_category,
        help=text,
    )


def _by_category(
    ctx: click.Context, param: click.Parameter, limits: tuple[tuple[str | None, Any], ...]
) -> dict[str | None, Any]:
    by_category = dict(limits)
    if len(by_category) < len(limits):
        raise click.UsageError(
            f"{param.opts[0]} is given twice for the same category, or twice for all of them. "
            "Leave one out.",
            ctx,
        )
    return by_category
