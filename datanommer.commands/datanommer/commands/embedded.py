"""``datanommer-embedded``: starts, stops and shows the embedded PostgreSQL server."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands.command import CommandGroup
from datanommer.commands.options.database import database_options, group_options
from datanommer.commands.output import progress
from datanommer.commands.output.formatting import format_facts

if TYPE_CHECKING:
    from datanommer.models.embedded import Status

#: The exit code of `status` for a server that does not run, from the Linux Standard Base.
NOT_RUNNING = 3


@click.command(cls=CommandGroup)
@group_options
def main() -> None:
    """Start, stop and look at the embedded PostgreSQL server.

    The server is the one of --url embedded:///folder, else the one of --config-filename, else the
    one that the environment or the fedmsg configuration names, else the embedded default.
    """


@main.command(
    examples=[
        "datanommer-embedded start",
        "datanommer-embedded start --url embedded:///srv/archive",
    ],
)
@database_options
def start(url: str | None, config_filename: str | None) -> None:
    """Start the server if it is not running.

    The first start creates its data.
    """
    from datanommer.models import embedded

    folder = _server_folder(url, config_filename)
    with progress.shown(lambda: "starting the server"):
        embedded.start(folder)
    _show(embedded.status(folder))


@main.command(
    examples=[
        "datanommer-embedded stop",
        "datanommer-embedded stop --url embedded:///srv/archive",
    ],
)
@database_options
def stop(url: str | None, config_filename: str | None) -> None:
    """Stop the server, and wait until it has stopped.

    All its connections are cut off.
    """
    from datanommer.models import embedded

    folder = _server_folder(url, config_filename)
    was_running = embedded.stop(folder)
    outcome = "is stopped" if was_running else "was not running"
    click.echo(f"The server in {folder} {outcome}.", err=True)


@main.command(
    examples=[
        "datanommer-embedded status",
        "datanommer-embedded status --url embedded:///srv/archive",
    ],
)
@database_options
@click.pass_context
def status(ctx: click.Context, url: str | None, config_filename: str | None) -> None:
    """Show where the server is and whether it runs.

    Also how to connect with psql. Nothing is started or created. Exits with 0 if it runs, else
    with 3.
    """
    from datanommer.models import embedded

    server = embedded.status(_server_folder(url, config_filename))
    _show(server)
    if not server.running:
        ctx.exit(NOT_RUNNING)


def _server_folder(url: str | None, config_filename: str | None) -> Path:
    from datanommer.models.database import location

    database = location.locate(url, config_filename=config_filename, default_may_be_made=True)
    folder = location.embedded_folder(database.url)
    if folder is not None:
        return folder
    if url:
        raise click.BadParameter(
            "this is not an embedded server. Write embedded:///path/of/its/folder.",
            param_hint="--url",
        )
    return location.default_folder()


def _show(server: Status) -> None:
    for line in format_facts(_facts(server)):
        click.echo(line)


def _facts(server: Status) -> dict[str, Any]:
    if server.version is None:
        state = "not running (nothing was ever started here)"
    else:
        state = f"{'running' if server.running else 'not running'}, PostgreSQL {server.version}"
    moved = (
        "in /var/lib/datanommer, because the server could not reach it in the folder: "
        "this root may not hand on the capability CAP_DAC_OVERRIDE, or has no setpriv"
    )
    return {
        "folder": server.folder,
        "state": state,
        "data": server.data,
        "moved": moved if server.moved else None,
        "socket": server.socket_directory,
        "log": server.log,
        "url": server.url,
        "psql": shlex.join(server.psql) if server.psql else None,
    }
