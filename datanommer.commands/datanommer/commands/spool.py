"""``datanommer-spool``: shows, stores and checks the messages that wait on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datanommer.commands.exit_codes import CommandGroup
from datanommer.commands.options import (
    config_filename_option,
    connect,
    database_options,
    version_option,
)

if TYPE_CHECKING:
    from datanommer.models.receiving.spool import Spool

_BATCH_SIZE = 1000


@click.command(cls=CommandGroup)
@version_option
def main() -> None:
    """Look after the messages that wait on disk while the database is away.

    fedmsg-hub stores them by itself when the database is back. This command is for when no hub
    runs.
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
    """Print how many messages wait, and how much disk space they take."""
    folder, spool = _open_spool(spool_dir, config_filename)
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

    A hub may run meanwhile: nothing is lost or stored twice. If the fedmsg configuration requires
    signatures, a message without a good one is not stored; a line on standard error names it.
    """
    from datanommer.models import configuration
    from datanommer.models.receiving.receiver import Receiver
    from datanommer.models.storing.batch import Batch, Counts, store

    engine = connect(url, config_filename)
    folder, spool = _open_spool(spool_dir, config_filename)
    if spool is None:
        click.echo(f"There is no spool in {folder}.", err=True)
    counts = Counts()
    try:
        receiver = Receiver(configuration.load(config_filename)) if spool else None
        while spool and receiver and (batch := spool.first(_BATCH_SIZE)):
            items, refused = receiver.items(received for _, received in batch)
            counts = counts.plus(store(engine, Batch.of(items)))
            last_spool_id, _ = batch[-1]
            spool.remove(last_spool_id)
            for message in refused:
                click.echo(f"Refused: {message}", err=True)
    finally:
        click.echo(str(counts))


@main.command()
@_spool_dir_option
@config_filename_option
@version_option
@click.pass_context
def check(ctx: click.Context, spool_dir: Path | None, config_filename: str | None) -> None:
    """Look for damage in the spool, and for damaged spools that the hub has set aside.

    Exits with 1 if there is any.
    """
    from datanommer.models.receiving.spool import damaged_files

    folder, spool = _open_spool(spool_dir, config_filename)
    faults = [f"{spool.file}: {fault}" for fault in spool.check()] if spool else []
    faults += [
        f"{file}: set aside because it is damaged. Recover what can be read of it with "
        f"`sqlite3 {file} .recover`."
        for file in damaged_files(folder)
    ]
    for fault in faults:
        click.echo(fault)
    if faults:
        ctx.exit(1)
    click.echo(f"The spool in {folder} is whole" if spool else f"There is no spool in {folder}.")


def _open_spool(spool_dir: Path | None, config_filename: str | None) -> tuple[Path, Spool | None]:
    """The folder of the spool, and the spool if there is one; none is created.

    Raises:
        SpoolForbidden: the caller may not use the folder, which belongs to another user's hub.
    """
    from datanommer.models import configuration
    from datanommer.models.configuration import SPOOL_DIR_KEY
    from datanommer.models.errors import SpoolForbidden
    from datanommer.models.receiving.spool import SYSTEM_FOLDER, Spool, folder_of

    folder = spool_dir
    if folder is None:
        config = configuration.load(config_filename)
        # If the system's folder exists, the hub that runs uses it, even where a hub of the caller
        # could not.
        is_system = not config.get(SPOOL_DIR_KEY) and SYSTEM_FOLDER.exists()
        folder = SYSTEM_FOLDER if is_system else folder_of(config)
    if folder.is_dir() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SpoolForbidden(folder)
    return folder, Spool(folder) if Spool.exists(folder) else None
