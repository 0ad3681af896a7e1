"""The options that several commands share."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import click

from datanommer.models import times
from datanommer.models.configuration import URL_KEY, URL_VARIABLE

if TYPE_CHECKING:
    import sqlalchemy as sa

version_option = click.version_option(
    package_name="datanommer.commands", message="%(prog)s %(version)s"
)


class DatabaseURL(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A URL. An empty one is an error: taken for none, it would lead to the wrong database."""

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
    "then the embedded default if it exists.",
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
    """Give a command the options of `database_options`, and run it with the engine they lead to."""
    return _connected(function, for_writing=False)


def with_database_to_change(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same as `with_database` for a command that changes something, so not on a standby."""
    return _connected(function, for_writing=True)


def _connected(function: Callable[..., Any], *, for_writing: bool) -> Callable[..., Any]:
    @database_options
    @functools.wraps(function)
    def connected(url: str | None, config_filename: str | None, **rest: Any) -> Any:
        engine = connect(url, config_filename, for_writing=for_writing)
        return function(engine=engine, **rest)

    return connected


def connect(
    url: str | None, config_filename: str | None, *, for_writing: bool = False
) -> sa.Engine:
    """The engine of the database that the options lead to.

    Args:
        url: ``--url``.
        config_filename: ``--config-filename``.
        for_writing: whether the command changes something.

    Raises:
        DatanommerError: there is no database, it does not answer, it is not at head, or it is a
            standby and the command changes something.
    """
    from datanommer.models.database import engine as engines
    from datanommer.models.database import location, migrations
    from datanommer.models.preparing import users_and_packages

    _log_to_stderr()
    database = location.locate(url, config_filename=config_filename)
    if database.is_default:
        click.echo(f"Using the embedded database {location.describe(database.url)}.", err=True)
    engine = engines.create_engine(database.url, settings=engines.COMMAND_TIMEOUTS)
    migrations.require_head(engine, for_writing=for_writing)
    users_and_packages.configure_from(config_filename)
    return engine


def _log_to_stderr() -> None:
    """Show the log of datanommer on standard error, but not that of fedmsg and its processors."""
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("datanommer").addHandler(logging.StreamHandler())


class Text(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """Text to look for in the database. A command line may also hold bytes that are not UTF-8."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(f"{os.fsencode(value)!r} is not UTF-8. Write it in UTF-8.", param, ctx)
        return str(value)


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A point in time in ISO 8601; without a zone it is in UTC."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return times.naive_utc(times.as_utc(datetime.fromisoformat(value)))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a date. Write 2013-02-18, 2013-02-18T05:55:18 "
                "(both in UTC) or 2013-02-18T05:55:18+01:00.",
                param,
                ctx,
            )


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


class InputFile(click.File):
    """A file to read bytes from; ``-`` is standard input."""

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


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--since``, ``--before``, ``--topic`` and ``--category``."""
    for option in (category_option, topic_option, time_options("messages sent")):
        function = option(function)
    return function


def time_options(events: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--since`` and ``--before``.

    Args:
        events: what the times belong to, for the help: "messages sent".
    """

    def option(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        line = f"Only {events} at this time {text}"
        return click.option(name, type=Moment(), metavar="DATE", callback=_require_order, help=line)

    since_option = option("--since", "(ISO 8601; UTC unless it has a zone) or later.")
    before_option = option("--before", "or earlier; a date alone is its midnight.")
    return lambda function: since_option(before_option(function))


def _require_order(
    ctx: click.Context, param: click.Parameter, value: datetime | None
) -> datetime | None:
    # Called for both options, in the order of the command line: the second call has both values.
    values = {**ctx.params, str(param.name): value}
    since, before = values.get("since"), values.get("before")
    if since and before and since > before:
        raise click.UsageError(
            f"--since {since.isoformat()}Z is after --before {before.isoformat()}Z: swap them."
        )
    return value
