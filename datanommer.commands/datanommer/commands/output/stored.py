"""What became of messages that a command stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datanommer.models.storing.batch import Counts


def show(counts: Counts) -> None:
    """Print the counts, and on standard error, how to see what was rejected."""
    click.echo(str(counts))
    if counts.rejected:
        click.echo(
            "To see what was rejected, and why, ask the same database: "
            f"datanommer-rejected list --limit {counts.rejected}",
            err=True,
        )
