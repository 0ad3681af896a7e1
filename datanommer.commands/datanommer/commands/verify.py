"""``datanommer-verify``: checks the signatures of stored messages again."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import click

from datanommer.commands.exit_codes import Command
from datanommer.commands.options import connect, database_options, filter_options
from datanommer.commands.output.formatting import format_counts, quoted_unless_printable


@click.command(cls=Command)
@filter_options
@click.option("--all-signed", is_flag=True, help="A message without a signature is invalid, too.")
@database_options
@click.pass_context
def main(
    ctx: click.Context,
    since: datetime | None,
    before: datetime | None,
    topic: str | None,
    category: str | None,
    all_signed: bool,
    url: str | None,
    config_filename: str | None,
) -> None:
    """Check the signatures of stored messages again.

    Prints a line for each invalid message (its id, its topic and the reason, with tabs between
    them), then how many are valid, invalid and unsigned. Ends with exit code 1 if any is invalid.

    The CA, the CRL and the routing policy come from the fedmsg configuration. A certificate must
    have been valid when the message was sent, not today; a revoked one is invalid at any time.
    """
    from datanommer.models import configuration
    from datanommer.models.filtering.filters import Filters
    from datanommer.models.signing.archive_check import verify
    from datanommer.models.signing.archive_validator import ArchiveValidator

    engine = connect(url, config_filename)
    validator = ArchiveValidator(configuration.load(config_filename))
    filters = Filters.of_options(since, before, topic, category)
    outcomes = Counter({"valid": 0, "invalid": 0, "unsigned": 0})
    for verification in verify(engine, validator, filters, all_signed=all_signed):
        outcomes[verification.outcome] += 1
        if verification.reason:
            texts = (verification.msg_id, verification.topic, verification.reason)
            click.echo("\t".join(map(quoted_unless_printable, texts)))
    click.echo(format_counts(outcomes))
    if outcomes["invalid"]:
        ctx.exit(1)
