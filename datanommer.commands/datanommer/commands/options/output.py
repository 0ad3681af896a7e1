"""The form of the output, and its fields, as options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands.output import messages
from datanommer.commands.output.forms import FORMS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Fields(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """Names of fields, with commas between them.

    Args:
        known: the names that there are.
    """

    name = "fields"

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[str]:
        names = [name.strip() for name in value.split(",")]
        for name in names:
            if name not in self._known:
                self.fail(f"there is no {name!r}; there are {', '.join(self._known)}.", param, ctx)
        return list(dict.fromkeys(names))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        named = before.split(",")
        return [
            CompletionItem(f"{before}{comma}{name}")
            for name in self._known
            if name.startswith(last) and name not in named
        ]


def format_option(
    *forms: str, default: str | None, default_help: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--format``, as `form`.

    Args:
        forms: those that make sense for it.
        default: the form without the option.
        default_help: describes the default in the help, if that is none of the forms.
    """
    shown = default_help or f"Without it: {default}."
    return click.option(
        "--format",
        "form",
        type=click.Choice(forms),
        default=default,
        help=f"The output format: {', '.join(forms)}. {shown}",
        metavar="FORMAT",
    )


def message_options(
    *, default: str | None = "text", default_help: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command that prints messages ``--format``, as `form`, and ``--fields``.

    Args:
        default: the format without the option.
        default_help: describes the default in the help, if that is none of the formats.
    """
    format_ = format_option(*FORMS, default=default, default_help=default_help)
    fields = fields_option(messages.FIELDS)
    return lambda function: format_(fields(function))


def fields_option(
    known: Sequence[str],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--fields``, a list of names or None.

    Args:
        known: the names that there are.
    """
    return click.option(
        "--fields",
        type=Fields(known),
        metavar="NAME,...",
        help=f"Print these fields, in this order: {', '.join(known)}.",
    )
