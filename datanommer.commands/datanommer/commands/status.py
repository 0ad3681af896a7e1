"""``datanommer-status``: shows the state of the archive and of the hub on this host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from datanommer.commands.exit_codes import UNAVAILABLE
from datanommer.commands.nagios import OK, MonitoredCommand, answer
from datanommer.commands.options.database import database_options
from datanommer.commands.options.limits import limit_by_category_option
from datanommer.commands.options.output import format_option
from datanommer.commands.options.values import Count, Duration
from datanommer.commands.output import forms, progress
from datanommer.commands.output.formatting import format_duration

if TYPE_CHECKING:
    from datanommer.models.watching.findings import Finding
    from datanommer.models.watching.limits import Limits
    from datanommer.models.watching.status import Status


@click.command(
    cls=MonitoredCommand,
    examples=[
        "datanommer-status",
        "datanommer-status --check --max-age 15m --max-age bodhi=2h --max-waiting 1000",
    ],
)
@click.option(
    "--check",
    is_flag=True,
    help="For a monitor: print one line, and end with 0 (all well), 1 (warnings), 2 (critical) or "
    "3 (unknown).",
)
@limit_by_category_option(
    "--max-age",
    Duration(),
    "DURATION",
    "It is critical if the newest message was stored longer ago than this: 15m, or bodhi=1h for "
    "one category. It may be given several times.",
)
@limit_by_category_option(
    "--max-waiting",
    Count(),
    "N",
    "It is critical if more messages than this wait on disk: 1000, or bodhi=100.",
)
@limit_by_category_option(
    "--max-rejected",
    Count(),
    "N",
    "It is critical if more messages than this were rejected today (UTC): 10, or bodhi=0.",
)
@click.option("--hub", is_flag=True, help="It is critical if no hub runs on this host.")
@format_option("text", "json", "prometheus", default="text")
@database_options
@click.pass_context
def main(
    ctx: click.Context,
    url: str | None,
    config_filename: str | None,
    check: bool,
    max_age: Mapping[str | None, timedelta],
    max_waiting: Mapping[str | None, int],
    max_rejected: Mapping[str | None, int],
    hub: bool,
    form: str,
) -> None:
    """Say how it is with the archive and the hub, and check it for a monitor.

    The page has what can be seen, and says what cannot: if the database is away, or a role may not
    read something. It changes nothing.
    """
    from datanommer.models.watching import findings, status
    from datanommer.models.watching.limits import Limits

    if check and form != "text":
        raise click.UsageError("--check cannot be used with --format.")
    limits = Limits(max_age, max_waiting, max_rejected)
    with progress.shown(lambda: "looking"):
        seen = status.look(url, config_filename)
        found = findings.find(seen, limits, wants_hub=hub)
    if check:
        _answer(ctx, seen, found, limits)
    _show(form, seen, found)
    ctx.exit(_exit_code(seen, wants_hub=hub))


def _answer(ctx: click.Context, seen: Status, found: Sequence[Finding], limits: Limits) -> None:
    from datanommer.commands.output import performance

    state = int(found[0].severity) if found else OK
    text = "; ".join(finding.text for finding in found) or _all_well(seen)
    answer(ctx, state, text, performance.text(seen, limits))


def _all_well(seen: Status) -> str:
    from datanommer.models.inspecting.archive import Archive
    from datanommer.models.inspecting.newest import Newest

    assert isinstance(seen.archive, Archive)  # else it is a finding
    newest = seen.archive.newest
    if not isinstance(newest, Newest) or newest.age is None:
        return "the database answers"
    return f"the newest message was stored {format_duration(newest.age)} ago"


def _show(form: str, seen: Status, found: Sequence[Finding]) -> None:
    from datanommer.commands.output import status_json, status_metrics, status_page

    if form == "json":
        click.echo(status_json.text(seen, found))
        return
    lines = status_metrics.lines if form == "prometheus" else status_page.lines
    forms.write_lines(lines(seen, found))


def _exit_code(seen: Status, *, wants_hub: bool) -> int:
    """The exit code: 0 unless the archive cannot be used, or a hub that must run does not."""
    from datanommer.models.inspecting.unseen import Unseen
    from datanommer.models.watching.hub import Hub

    if isinstance(seen.archive, Unseen):
        return UNAVAILABLE if seen.archive.is_away else 1
    lacks_hub = wants_hub and not (isinstance(seen.hub, Hub) and seen.hub.is_alive)
    return int(bool(seen.archive.schema.fault) or lacks_hub)
