"""Values of options and arguments: text to look for, lengths of time, and files to read."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import click


class Filled(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A value that is not empty: an empty filter would count as none, and so let all through."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("it is empty. Is a variable of the shell not set?", param, ctx)
        return str(value)


class Text(Filled):
    """Text in UTF-8, and not empty. A command line may also hold bytes that are not UTF-8."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{os.fsencode(text)!r} is not UTF-8. Write it in UTF-8.", param, ctx)
        return text


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A length of time: a whole number with its unit, such as 90m."""

    name = "duration"
    _UNITS: ClassVar = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):  # the default
            return value
        match = re.fullmatch(r"([0-9]{1,8})([smhd])", value)
        if match:
            return timedelta(**{self._UNITS[match[2]]: int(match[1])})
        return self.fail(f"{value!r} is not a length of time. Write 90m, 6h or 2d.", param, ctx)


class Count(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A whole number of things."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if re.fullmatch("[0-9]{1,18}", value):
            return int(value)
        return self.fail(f"{value!r} is not a number. Write how many, such as 100.", param, ctx)


def limit_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--limit``.

    Args:
        text: its help.
    """
    return click.option("-n", "--limit", type=Count(), metavar="N", help=text)


class InputFile(click.File):
    """A file to read bytes from; ``-`` is standard input."""

    def __init__(self) -> None:
        super().__init__("rb")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ctx is not None and ctx.resilient_parsing:  # for Tab, which opens nothing
            return value
        if value == "-" and sys.stdin is None:  # closed when Python started
            self.fail("the standard input is closed. Name a file.", param, ctx)
        if value == "-" and sys.stdin.isatty():
            click.echo("Reading from the terminal; Ctrl-D ends it.", err=True)
        return super().convert(value, param, ctx)


class InputFileOrFolder(InputFile):
    """The same, or the path of a data set's folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and Path(value).is_dir():
            return Path(value)
        return super().convert(value, param, ctx)


files_argument = click.argument("files", nargs=-1, type=InputFile(), metavar="[FILE]...")
