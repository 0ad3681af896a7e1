"""``datanommer-verify``: the signatures of stored messages, checked again."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import datetime

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import bind, database_options, window_options


@click.command(cls=Command)
@window_options
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

    Prints a line for each message that is invalid (its id, topic and why, with tabs between them),
    and how many are valid, invalid and unsigned. Ends with exit code 1 if any is invalid.

    The CA, the CRL and the routing policy are those of the fedmsg configuration. A certificate
    need not be valid today, but when the message was sent; a revoked one is invalid at any time.
    """
    from datanommer.models import configuration, signatures, verification

    bind(url, config_filename)
    validator = signatures.ArchiveValidator(configuration.load(config_filename))
    outcomes = Counter({"valid": 0, "invalid": 0, "unsigned": 0})
    for verdict in verification.verify(
        validator,
        since=since,
        before=before,
        topic=topic,
        category=category,
        all_signed=all_signed,
    ):
        outcomes[verdict.outcome] += 1
        if verdict.reason:
            texts = (verdict.msg_id, verdict.topic, verdict.reason)
            click.echo("\t".join(map(_on_one_line, texts)))
    click.echo(", ".join(f"{outcome} {number}" for outcome, number in outcomes.items()))
    sys.stdout.flush()
    if outcomes["invalid"]:
        ctx.exit(1)


def _on_one_line(text: str) -> str:
    # Whoever sends a message chooses its id and its topic, line breaks and escapes included.
    return text if text.isprintable() else ascii(text)
