"""``datanommer-spool``: shows, stores and checks the messages that wait on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datanommer.commands import interruption
from datanommer.commands.command import CommandGroup
from datanommer.commands.exit_codes import INVALID
from datanommer.commands.options.database import (
    configuration_options,
    connect,
    database_options,
    group_options,
)
from datanommer.commands.output import progress, stored

if TYPE_CHECKING:
    from datanommer.models.receiving.received import Received
    from datanommer.models.spooling.spool import Spool

_BATCH_SIZE = 1000


@click.command(cls=CommandGroup)
@group_options
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


@main.command(
    examples=[
        "datanommer-spool status",
        "datanommer-spool status --spool-dir /var/spool/datanommer",
    ],
)
@_spool_dir_option
@configuration_options
def status(spool_dir: Path | None, config_filename: str | None) -> None:
    """Print how many messages wait, and how much disk space they take."""
    folder, spools = _find_spools(spool_dir, config_filename)
    if not spools:
        click.echo(f"0 messages wait; there is no spool in {folder}")
        return
    waiting = [spool.waiting() for spool in spools]
    messages, size = (sum(numbers) for numbers in zip(*waiting, strict=True))
    click.echo(f"{messages} messages wait in {folder} ({size} bytes)")


@main.command(
    examples=[
        "datanommer-spool drain",
        "datanommer-spool drain --spool-dir /var/spool/datanommer",
    ],
)
@_spool_dir_option
@database_options
@click.pass_context
def drain(
    ctx: click.Context, spool_dir: Path | None, url: str | None, config_filename: str | None
) -> None:
    """Store what waits, oldest first.

    A hub may run meanwhile: nothing is lost or stored twice. If the fedmsg configuration requires
    signatures, a message without a good one is not stored; a line on standard error names it.
    If messages cannot be read any more, the others are stored, a line says how many are lost, and
    the exit code is 65.
    """
    from datanommer.models.spooling.loss import Loss
    from datanommer.models.storing.batch import BATCH_BYTES

    losses: list[Loss] = []
    with _archive(url, config_filename) as store:
        folder, spools = _find_spools(spool_dir, config_filename)
        if not spools:
            click.echo(f"There is no spool in {folder}.", err=True)
        for spool in spools:
            while chunk := spool.first(_BATCH_SIZE, BATCH_BYTES):
                store(chunk.received)
                if loss := spool.remove(chunk):
                    click.echo(str(loss), err=True)
                    losses.append(loss)
                interruption.give_way()
    if losses:
        ctx.exit(INVALID)


@main.command(
    examples=[
        "datanommer-spool recover /var/spool/datanommer/*.damaged",
        "datanommer-spool recover /mnt/spool/*.spool",
    ],
)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@database_options
@click.pass_context
def recover(
    ctx: click.Context, files: tuple[Path, ...], url: str | None, config_filename: str | None
) -> None:
    """Store what can be read in FILEs of a spool that were set aside.

    What is stored already counts as a duplicate. The files stay as they are. If nothing can be
    read in one of them, the others are stored, and the exit code is 1.
    """
    from datanommer.models.errors import DatanommerError

    failed = False
    with _archive(url, config_filename) as store:
        for file in files:
            try:
                _recover(file, store)
            except DatanommerError as error:
                failed = True
                click.echo(f"Error: {error}", err=True)
    if failed:
        ctx.exit(1)


def _recover(file: Path, store: Callable[[Sequence[Received]], None]) -> None:
    from datanommer.models.errors import DatanommerError
    from datanommer.models.spooling.folder import readable
    from datanommer.models.storing.batch import split

    ids: list[int] = []

    def messages() -> Iterator[Received]:
        for message_id, received in readable(file):
            ids.append(message_id)
            yield received

    for batch in split(messages(), _BATCH_SIZE):
        store(batch)
        interruption.give_way()
    if not ids:
        raise DatanommerError(f"No message in {file} can be read.")
    if missing := ids[-1] - ids[0] + 1 - len(ids):
        click.echo(f"At least {missing} messages of {file} cannot be read.", err=True)


@main.command(
    examples=[
        "datanommer-spool check",
        "datanommer-spool check --spool-dir /var/spool/datanommer",
    ],
)
@_spool_dir_option
@configuration_options
@click.pass_context
def check(ctx: click.Context, spool_dir: Path | None, config_filename: str | None) -> None:
    """Look for damage in the spool, and for damaged files that were set aside.

    Exits with 65 if there is any.
    """
    from datanommer.models.spooling.folder import damaged_files

    folder, spools = _find_spools(spool_dir, config_filename)
    with progress.shown(lambda: "reading the spool"):
        faults = [fault for spool in spools for fault in spool.check()]
    faults += [
        f"{file}: set aside because it was damaged. What can be read of it is stored. "
        "Remove it when nobody needs it."
        for file in damaged_files(folder)
    ]
    for fault in faults:
        click.echo(fault)
    if faults:
        ctx.exit(INVALID)
    click.echo(f"The spool in {folder} is whole" if spools else f"There is no spool in {folder}.")


@contextmanager
def _archive(
    url: str | None, config_filename: str | None
) -> Iterator[Callable[[Sequence[Received]], None]]:
    """A function that stores received messages; at the end, what became of them is printed."""
    from datanommer.models import configuration
    from datanommer.models.receiving.receiver import Receiver
    from datanommer.models.storing import batch

    engine = connect(url, config_filename, for_writing=True)
    counts = batch.Counts()
    receiver = Receiver(configuration.load(config_filename))

    def store(received: Sequence[Received]) -> None:
        nonlocal counts
        items, refused = receiver.items(received)
        counts = counts.plus(batch.store(engine, batch.Batch.of(items)))
        for message in refused:
            click.echo(f"Refused: {message}", err=True)

    with (
        progress.shown(lambda: str(counts)),
        interruption.last_words(lambda: stored.show(counts)),
    ):
        yield store


def _find_spools(spool_dir: Path | None, config_filename: str | None) -> tuple[Path, list[Spool]]:
    """The spool's folder, and the spool and its slow one if they exist; creates nothing.

    Raises:
        SpoolForbidden: the caller may not use the folder, which belongs to another user's hub.
    """
    from datanommer.models import configuration
    from datanommer.models.configuration import SPOOL_DIR_KEY
    from datanommer.models.errors import SpoolForbidden
    from datanommer.models.spooling.folder import SYSTEM_FOLDER, folder_of
    from datanommer.models.spooling.spool import Spool

    folder = spool_dir
    if folder is None:
        config = configuration.load(config_filename)
        # If the system's folder exists, the running hub uses it, even if the caller could not.
        is_system = not config.get(SPOOL_DIR_KEY) and SYSTEM_FOLDER.exists()
        folder = SYSTEM_FOLDER if is_system else folder_of(config)
    if folder.is_dir() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SpoolForbidden(folder)
    spool = Spool(folder)
    return folder, [each for each in (spool, spool.slow) if Spool.exists(each.folder)]
