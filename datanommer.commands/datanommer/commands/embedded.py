"""``datanommer-embedded``: start, stop and look at the embedded PostgreSQL server."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import database_options, version_option

if TYPE_CHECKING:
    from datanommer.models.embedded import Status

NOT_RUNNING = 3  # what an init script answers to `status`, by the Linux Standard Base


class _Group(click.Group):
    command_class = Command


@click.command(cls=_Group)
@version_option
def main() -> None:
    """Start, stop and look at the embedded PostgreSQL server.

    Which one: --url embedded:///folder, else the one that the environment or the fedmsg
    configuration names, else the embedded default.
    """


@main.command()
@database_options
def start(url: str | None, config_filename: str | None) -> None:
    """Start the server if it is not running.

    At the first start its data is made.
    """
    from datanommer.models import embedded

    folder = _folder(url, config_filename)
    embedded.start(folder)
    _show(embedded.status(folder))


@main.command()
@database_options
def stop(url: str | None, config_filename: str | None) -> None:
    """Stop the server, and wait until it is gone.

    Whoever is connected to it is cut off.
    """
    from datanommer.models import embedded

    folder = _folder(url, config_filename)
    ran = embedded.stop(folder)
    click.echo(f"The server in {folder} {'is stopped' if ran else 'was not running'}.", err=True)


@main.command()
@database_options
@click.pass_context
def status(ctx: click.Context, url: str | None, config_filename: str | None) -> None:
    """Show where the server is and if it runs.

    Also how to connect with psql. Nothing is started or made. Exits with 0 where it runs, else
    with 3.
    """
    from datanommer.models import embedded

    found = embedded.status(_folder(url, config_filename))
    _show(found)
    if not found.running:
        ctx.exit(NOT_RUNNING)


def _folder(url: str | None, config_filename: str | None) -> Path:
    from datanommer.models import database

    location = database.locate(url, config_filename=config_filename, default_may_be_made=True)
    folder = database.embedded_folder(location.url)
    if folder is not None:
        return folder
    if url:
        raise click.BadParameter(
            "this is no embedded server. Write embedded:///path/of/its/folder.",
            param_hint="--url",
        )
    return database.default_folder()


def _show(found: Status) -> None:
    for name, value in _facts(found).items():
        if value is not None:
            click.echo(f"{name + ':':<10}{value}")


def _facts(found: Status) -> dict[str, Any]:
    if found.version is None:
        state = "not running (nothing was ever started here)"
    else:
        state = f"{'running' if found.running else 'not running'}, PostgreSQL {found.version}"
    moved = (
        "in /var/lib/datanommer, because the server could not reach it in the folder: "
        "this root may not hand on the capability CAP_DAC_OVERRIDE, or has no setpriv"
    )
    return {
        "folder": found.folder,
        "state": state,
        "data": found.data,
        "moved": moved if found.moved else None,
        "socket": found.socket_directory,
        "log": found.log,
        "url": found.url,
        "psql": shlex.join(found.psql) if found.psql else None,
    }
