"""``datanommer-prune``: deletes messages from PostgreSQL that are in a Parquet data set."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datanommer.commands import interruption
from datanommer.commands.command import Command
from datanommer.commands.input.data_set import require_extra
from datanommer.commands.options.database import with_database_to_change
from datanommer.commands.options.times import before_option
from datanommer.commands.output import progress as progresses
from datanommer.commands.output.formatting import format_counts

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.exporting.prune import Progress


@click.command(
    cls=Command,
    examples=[
        "datanommer-prune --before 2013-12 --exported datanommer-parquet --dry-run",
        "datanommer-prune --before '3 years ago' --exported datanommer-parquet --yes",
    ],
)
@before_option(
    "Only messages sent at this time or earlier. All of a day, a week or a month counts.",
    required=True,
)
@click.option(
    "--exported",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="The data set that datanommer-export has written.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_database_to_change
def main(engine: sa.Engine, before: datetime, folder: Path, *, dry_run: bool, yes: bool) -> None:
    """Delete messages from PostgreSQL that are in a Parquet data set.

    A message goes only if all that a dump prints of it is the same in DIR. What differs stays, and
    is counted. Certificates and names that no message needs any more go as well. It can be broken
    off and run again.
    """
    require_extra()
    from datanommer.models.database import engine as engines
    from datanommer.models.exporting.prune import Progress, prune

    if not dry_run and not yes:
        _ask(engines.describe(engine), before, folder)
    done = Progress()
    interruption.hear_sigterm()
    with (
        progresses.shown(lambda: f"{done.pruned:,} messages"),
        interruption.last_words(lambda: _show(done, folder, dry_run=dry_run)),
    ):
        for _ in prune(engine, folder, before, done, dry_run=dry_run):
            interruption.give_way()


def _ask(database: str, before: datetime, folder: Path) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(
            "Nobody is there to confirm the deletion. Add --yes, or look first with --dry-run."
        )
    progresses.hide()
    click.confirm(
        f"Delete the messages of {database} sent up to {before.isoformat()}Z that are in {folder}?",
        abort=True,
        err=True,
    )


def _show(done: Progress, folder: Path, *, dry_run: bool) -> None:
    what = "would be deleted" if dry_run else "deleted"
    click.echo(format_counts({what: done.pruned, "different": done.different.total()}))
    for month, number in sorted(done.different.items()):
        click.echo(
            f"Of {month}, {number:,} stay: the data set has them, but not as they are now. To "
            f"renew it: datanommer-export --rewrite {month} {folder}",
            err=True,
        )
