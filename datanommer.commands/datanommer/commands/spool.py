"""``datanommer-spool``: what waits on disk while the database is away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import (
    bind,
    config_filename_option,
    database_options,
    version_option,
)

if TYPE_CHECKING:
    from datanommer.models.spool import Spool

_BATCH = 1000


class _Group(click.Group):
    command_class = Command


@click.command(cls=_Group)
@version_option
def main() -> None:
    """Look after the messages that wait on disk while the database is away.

    fedmsg-hub stores them by itself when the database is back; this is for when there is no hub.
    """


_spool_dir_option = click.option(
    "--spool-dir",
    type=click.Path(exists=True, file_okay=False, readable=False, path_type=Path),
    metavar="FOLDER",
    help="The folder of the spool. Without it, the one that the hub uses.",
)


@main.command()
@_spool_dir_option
@config_filename_option
@version_option
def status(spool_dir: Path | None, config_filename: str | None) -> None:
    """Print how many messages wait, and how much disk they take."""
    folder, spool = _open(spool_dir, config_filename)
    if spool is None:
        click.echo(f"0 messages wait; there is no spool in {folder}")
        return
    waiting = spool.waiting()
    click.echo(f"{waiting.messages} messages wait in {spool.file} ({waiting.size} bytes)")


@main.command()
@_spool_dir_option
@database_options
def drain(spool_dir: Path | None, url: str | None, config_filename: str | None) -> None:
    """Store what waits, oldest first.

    A hub may run meanwhile: nothing is lost or stored twice. Where the fedmsg configuration asks
    for signatures, a message without a good one is not stored, but told on standard error.
    """
    from datanommer.models import configuration, store
    from datanommer.models.reception import Receiver

    bind(url, config_filename)
    folder, spool = _open(spool_dir, config_filename)
    if spool is None:
        click.echo(f"There is no spool in {folder}.", err=True)
    counts = store.Counts()
    try:
        receiver = Receiver(configuration.load(config_filename)) if spool else None
        while spool and receiver and (waiting := spool.first(_BATCH)):
            items, refused = receiver.items(received for _, received in waiting)
            counts = counts.plus(store.store(items))
            spool.remove(waiting[-1][0])
            for each in refused:
                click.echo(f"Refused: {each}", err=True)
    finally:
        click.echo(str(counts))


@main.command()
@_spool_dir_option
@config_filename_option
@version_option
@click.pass_context
def check(ctx: click.Context, spool_dir: Path | None, config_filename: str | None) -> None:
    """Look for damage in the spool, and for damaged ones that the hub has set aside.

    Exits with 1 where there is any.
    """
    from datanommer.models.spool import damaged

    folder, spool = _open(spool_dir, config_filename)
    faults = [f"{spool.file}: {fault}" for fault in spool.check()] if spool else []
    faults += [
        f"{file}: set aside because it is damaged. Recover what can be read of it with "
        f"`sqlite3 {file} .recover`."
        for file in damaged(folder)
    ]
    for fault in faults:
        click.echo(fault)
    if faults:
        ctx.exit(1)
    click.echo(f"The spool in {folder} is whole" if spool else f"There is no spool in {folder}.")


def _open(spool_dir: Path | None, config_filename: str | None) -> tuple[Path, Spool | None]:
    """The folder of the spool, and the spool if there is one; none is made.

    Raises:
        SpoolForbidden: the caller may not use the folder, which is that of another user's hub.
    """
    from datanommer.models import configuration
    from datanommer.models.errors import SpoolForbidden
    from datanommer.models.spool import FOLDER_KEY, SYSTEM_FOLDER, Spool, folder_of

    folder = spool_dir
    if folder is None:
        config = configuration.load(config_filename)
        # Not what a hub of the caller would take instead: the one that runs has the system's.
        is_system = not config.get(FOLDER_KEY) and SYSTEM_FOLDER.exists()
        folder = SYSTEM_FOLDER if is_system else folder_of(config)
    if folder.is_dir() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SpoolForbidden(folder)
    return folder, Spool(folder) if Spool.exists(folder) else None
