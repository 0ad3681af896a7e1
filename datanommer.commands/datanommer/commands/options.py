"""The options that several commands have."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

import click

from datanommer.models.configuration import URL_KEY, URL_VARIABLE

version_option = click.version_option(
    package_name="datanommer.commands", message="%(prog)s %(version)s"
)


class DatabaseURL(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A URL; an empty one must not pass for none, and lead to another database than is meant."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("it is empty. Is a variable of the shell not set?", param, ctx)
        return str(value)


_url_option = click.option(
    "--url",
    type=DatabaseURL(),
    metavar="URL",
    help="The database: postgresql://user@host/name, or embedded:///folder. "
    f"Without it: {URL_VARIABLE}, then {URL_KEY} in the fedmsg configuration, "
    "then the embedded default where it exists.",
)
config_filename_option = click.option(
    "--config-filename",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="The one fedmsg configuration file to read, instead of /etc/fedmsg.d and the rest.",
)


def database_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--url``, ``--config-filename`` and ``--version``."""
    for option in (version_option, config_filename_option, _url_option):
        function = option(function)
    return function


def with_database(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a command with the models bound to the database that its options name, at head."""

    @database_options
    @functools.wraps(function)
    def connected(url: str | None, config_filename: str | None, **rest: Any) -> Any:
        bind(url, config_filename)
        return function(**rest)

    return connected


def bind(url: str | None, config_filename: str | None) -> None:
    """Bind the models to the database that the options name.

    Raises:
        DatanommerError: there is none, it does not answer, or it is not at head.
    """
    from datanommer.models import database, extraction, migrations

    _log_to_stderr()
    location = database.locate(url, config_filename=config_filename)
    if location.is_default:
        click.echo(f"Using the embedded database {database.describe(location.url)}.", err=True)
    engine = database.create_engine(location.url, settings=database.COMMAND_TIMEOUTS)
    migrations.require_head(engine)
    database.bind(engine)
    extraction.configure_from(config_filename)


def _log_to_stderr() -> None:
    """Let people hear what datanommer logs, and not what fedmsg and its processors do."""
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("datanommer").addHandler(logging.StreamHandler())


class Text(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """Text that the database can be asked for: a command line may hold bytes that are none."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(f"{os.fsencode(value)!r} is not UTF-8. Write it in UTF-8.", param, ctx)
        return str(value)


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A point in time in ISO 8601; one without a zone is in UTC."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        from datanommer.models.message import as_utc, naive_utc

        try:
            return naive_utc(as_utc(datetime.fromisoformat(value)))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a date. Write 2013-02-18, 2013-02-18T05:55:18 "
                "(both in UTC) or 2013-02-18T05:55:18+01:00.",
                param,
                ctx,
            )


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A length of time: a number with its unit."""

    name = "duration"
    _UNITS: ClassVar = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):  # the default
            return value
        found = re.fullmatch(r"([0-9]{1,8})([smhd])", value)
        if found:
            return timedelta(**{self._UNITS[found[2]]: int(found[1])})
        return self.fail(f"{value!r} is not a length of time. Write 90m, 6h or 2d.", param, ctx)


class InputFile(click.File):
    """A file to read bytes from; ``-`` is the standard input."""

    def __init__(self) -> None:
        super().__init__("rb")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-" and sys.stdin is None:  # closed when Python started
            self.fail("the standard input is closed. Name a file.", param, ctx)
        return super().convert(value, param, ctx)


files_argument = click.argument("files", nargs=-1, type=InputFile(), metavar="[FILE]...")
topic_option = click.option(
    "--topic", type=Text(), metavar="TOPIC", help="Only messages of this topic."
)
category_option = click.option(
    "--category",
    type=Text(),
    metavar="CATEGORY",
    help="Only messages of this category, such as bodhi.",
)


def window_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--since``, ``--before``, ``--topic`` and ``--category``."""
    for option in (category_option, topic_option, time_options("messages sent")):
        function = option(function)
    return function


def time_options(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--since`` and ``--before``.

    Args:
        what: what has a time, such as "messages sent".
    """

    def option(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        told = f"Only {what} at this time {text}"
        return click.option(name, type=Moment(), metavar="DATE", callback=_require_order, help=told)

    since_option = option("--since", "(ISO 8601; UTC unless it says) or later.")
    before_option = option("--before", "or earlier; a date alone is its midnight.")
    return lambda function: since_option(before_option(function))


def _require_order(
    ctx: click.Context, param: click.Parameter, value: datetime | None
) -> datetime | None:
    # Called for both, in the order in which they are written: the second one sees the first.
    given = {**ctx.params, str(param.name): value}
    since, before = given.get("since"), given.get("before")
    if since and before and since > before:
        raise click.UsageError(
            f"--since {since.isoformat()}Z is after --before {before.isoformat()}Z: swap them."
        )
    return value
