"""The options that say where the database is, and the engine for it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands.interruption import cancel_at_end
from datanommer.commands.options.values import Filled
from datanommer.commands.output import progress
from datanommer.models.configuration import URL_KEY, URL_VARIABLE
from datanommer.models.errors import DatabaseUnavailable, ReplicaUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.database.location import Location

_version_option = click.version_option(
    package_name="datanommer.commands", message="%(prog)s %(version)s"
)


def _or_that_of_the_group(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """The value of an option, or else the one given before the name of the sub-command."""
    key = f"{__name__}.{param.name}"  # all contexts of one command line share their `meta`
    if value is None:
        return ctx.meta.get(key)
    if key in ctx.meta:
        raise click.UsageError(
            f"{param.opts[0]} is given twice: before the name of a sub-command, and after it.", ctx
        )
    ctx.meta[key] = value
    return value


class _File(click.Path):
    """A file that exists. Tab does not check: without it, there is just no database to ask."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ctx is not None and ctx.resilient_parsing:
            return value
        return super().convert(value, param, ctx)


_url_option = functools.partial(
    click.option,
    "--url",
    # Not `Text`: the models refuse what is not UTF-8, without showing it and its password.
    type=Filled(),
    metavar="URL",
    callback=_or_that_of_the_group,
    help="The database: postgresql://user@host/name, or embedded:///folder. Without it, the first "
    f"of: --config-filename, {URL_VARIABLE}, the fedmsg configuration, the embedded server in "
    "~/.local/share/datanommer.",
)
_config_filename_option = functools.partial(
    click.option,
    "--config-filename",
    type=_File(),
    metavar="FILE",
    callback=_or_that_of_the_group,
    help="The one fedmsg configuration file to read, instead of /etc/fedmsg.d and the rest.",
)


def database_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--url``, ``--config-filename`` and ``--version``."""
    return _with_options(function, "url", "config_filename")


def configuration_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command that needs no database: it accepts ``--url`` and ignores it."""
    return _with_options(function, "config_filename")


def group_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a group of commands, which hands the values on to its sub-command."""
    return _with_options(function)


def _with_options(function: Callable[..., Any], *arguments: str) -> Callable[..., Any]:
    """Give a function the options, and pass it the values that `arguments` names."""
    function = _version_option(function)
    function = _config_filename_option(expose_value="config_filename" in arguments)(function)
    return _url_option(expose_value="url" in arguments)(function)


def with_database(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `database_options`, and run it with the engine they lead to.

    Never a replica's engine: this is for a command that must not miss what was stored last.
    """
    return _connected(function)


def with_database_to_read(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same as `with_database` for a command that only reads: it prefers a replica.

    With ``--follow``, it takes the primary: a standby does not show who is writing.
    """
    return _connected(function, replica_will_do=True)


def with_database_to_change(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same as `with_database` for a command that changes something, so not on a standby."""
    return _connected(function, for_writing=True)


def with_database_to_fill(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same as `with_database_to_change`; it makes the embedded server if there is none."""
    return _connected(function, for_writing=True, create=True)


def _connected(
    function: Callable[..., Any], *, replica_will_do: bool = False, **options: bool
) -> Callable[..., Any]:
    @database_options
    @functools.wraps(function)
    def connected(url: str | None, config_filename: str | None, **rest: Any) -> Any:
        with progress.shown(lambda: "waiting for the database"):
            will_do = replica_will_do and not rest.get("follow")
            engine = connect(url, config_filename, replica_will_do=will_do, **options)
            return function(engine=engine, **rest)

    return connected


def connect(
    url: str | None,
    config_filename: str | None,
    *,
    replica_will_do: bool = False,
    for_writing: bool = False,
    create: bool = False,
) -> sa.Engine:
    """The engine of the database that the options lead to.

    Args:
        url: ``--url``.
        config_filename: ``--config-filename``.
        replica_will_do: whether to take a replica, if one is named. Where that cannot be asked, it
            says so on standard error, and takes the primary.
        for_writing: whether the command changes something.
        create: whether to make the embedded server if there is none.

    Raises:
        DatanommerError: there is no database, it does not answer, it is not at head, or it is a
            standby and the command changes something.
    """
    from datanommer.models.database import location
    from datanommer.models.preparing import processors

    _log_to_stderr()
    locate = functools.partial(location.locate, url, config_filename=config_filename)
    database = locate(replica_will_do=replica_will_do)
    try:
        engine = _open(database, for_writing=for_writing, create=create)
    except ReplicaUnavailable as error:
        database = locate(default_may_be_made=True)
        if database.is_default:  # which would be another archive
            raise DatabaseUnavailable(
                f"{error} No primary is named: name one as {URL_KEY} or in {URL_VARIABLE}."
            ) from error
        click.echo(f"{error} The primary is asked instead.", err=True)
        engine = _open(database, for_writing=for_writing, create=create)
    processors.configure_from(config_filename)
    return engine


def _open(database: Location, *, for_writing: bool, create: bool) -> sa.Engine:
    from datanommer.models.database import engine as engines
    from datanommer.models.database import location, migrations, replica

    if database.is_replica:
        engine = replica.create_engine(database)
        cancel_at_end(engine)
        replica.require_head(engine)
        return engine
    if database.is_default:
        click.echo(f"Using the embedded database {location.describe(database.url)}.", err=True)
    engine = engines.create_engine(database.url, settings=engines.COMMAND_TIMEOUTS, create=create)
    cancel_at_end(engine)
    migrations.require_head(engine, for_writing=for_writing)
    return engine


def _log_to_stderr() -> None:
    """Show the log of datanommer on standard error, but not that of fedmsg and its processors."""
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("datanommer").addHandler(logging.StreamHandler())
