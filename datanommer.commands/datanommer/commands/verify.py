"""``datanommer-verify``: checks the signatures of stored messages again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from datanommer.commands.command import Command
from datanommer.commands.exit_codes import INVALID
from datanommer.commands.options.database import with_database_to_read
from datanommer.commands.options.filters import resolve, with_filters
from datanommer.commands.output import forms, nothing
from datanommer.commands.output.formatting import format_counts, quoted_unless_printable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.filtering.filters import Filters


@click.command(
    cls=Command,
    examples=[
        "datanommer-verify --since 2013-02-18",
        "datanommer-verify --category bodhi --all-signed",
    ],
)
@with_filters
@click.option("--all-signed", is_flag=True, help="A message without a signature is invalid, too.")
@with_database_to_read
@click.pass_context
def main(
    ctx: click.Context,
    engine: sa.Engine,
    filters: Filters,
    all_signed: bool,
) -> None:
    """Check the signatures of stored messages again.

    Prints a line for each invalid message (its id, its topic and the reason, with tabs between
    them), then how many are valid, invalid and unsigned. Ends with exit code 65 if any is invalid.

    The CA, the CRL and the routing policy come from the fedmsg configuration. A certificate must
    have been valid when the message was sent, not today; a revoked one is invalid at any time.
    """
    from datanommer.models import configuration
    from datanommer.models.signing.archive_check import verify
    from datanommer.models.signing.archive_validator import ArchiveValidator

    validator = ArchiveValidator(configuration.load(ctx.params["config_filename"]))
    outcomes = Counter({"valid": 0, "invalid": 0, "unsigned": 0})
    wanted = resolve(engine, filters)

    def lines() -> Iterator[str]:
        for verification in verify(engine, validator, wanted, all_signed=all_signed):
            outcomes[verification.outcome] += 1
            if verification.reason:
                texts = (verification.msg_id, verification.topic, verification.reason)
                yield "\t".join(map(quoted_unless_printable, texts))

    forms.write_lines(lines(), describe=lambda: format_counts(outcomes))
    click.echo(format_counts(outcomes))
    if not outcomes.total():
        nothing.explain(engine, filters)
    if outcomes["invalid"]:
        ctx.exit(INVALID)
