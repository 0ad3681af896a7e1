"""``datanommer-validate``: checks the messages of scripts against their types."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands.command import Command
from datanommer.commands.exit_codes import INVALID
from datanommer.commands.input.unreadable import UnreadableFile
from datanommer.commands.options.database import connect, database_options
from datanommer.commands.options.filters import topic_option
from datanommer.commands.options.output import format_option
from datanommer.commands.options.times import time_options
from datanommer.commands.options.values import files_argument
from datanommer.commands.output import progress
from datanommer.commands.output.formatting import format_counts, quoted_unless_printable

if TYPE_CHECKING:
    from datanommer.models.logging_stats.validation import Example, ScriptMessage, TopicReport

#: How many characters of a message's content the output in text shows.
_MAX_CONTENT_LENGTH = 200


@click.command(
    cls=Command,
    examples=[
        "datanommer-validate --since 2021-07-20",
        "datanommer-validate messages.json --format json",
    ],
)
@files_argument
@time_options("messages sent")
@topic_option
@format_option("text", "json", default="text")
@database_options
@click.pass_context
def main(
    ctx: click.Context,
    files: tuple[BufferedReader, ...],
    since: datetime | None,
    before: datetime | None,
    topics: tuple[str, ...],
    form: str,
    url: str | None,
    config_filename: str | None,
) -> None:
    """Check the messages of scripts, logging.stats, against their JSON Schemas.

    Checks the messages of the archive or, with a FILE, those in the file (- is standard input). A
    FILE may have any form that datanommer-load reads.
    Prints how many messages of each topic are valid, valid except for known drift of senders
    (warning), and invalid, with the first of each. Ends with exit code 65 if any is invalid.
    """
    from datanommer.models.filtering.filters import Filters
    from datanommer.models.logging_stats import validation

    reports: dict[str, TopicReport] = {}
    from_files = _FileMessages(files, since, before, topics)
    if files:
        messages = iter(from_files)
    else:
        engine = connect(url, config_filename, replica_will_do=True)
        filters = Filters.of_options(since, before)
        messages = validation.stored_messages(engine, filters, patterns=topics)
    try:
        with progress.shown(lambda: format_counts(_totals(reports))):
            validation.check_messages(messages, reports)
    except UnreadableFile:
        _print(reports, form)  # of the messages before the error
        raise
    _print(reports, form)
    if from_files.unreadable:
        click.echo(f"What is no message at all: {from_files.unreadable}.", err=True)
    if from_files.unreadable or any(report.counts["invalid"] for report in reports.values()):
        ctx.exit(INVALID)


@dataclass(slots=True)
class _FileMessages:
    """The messages in files that pass the options.

    Attributes:
        unreadable: how many values that were read so far are no messages.
    """

    files: tuple[BufferedReader, ...]
    since: datetime | None
    before: datetime | None
    topics: tuple[str, ...]
    unreadable: int = 0

    def __iter__(self) -> Iterator[ScriptMessage]:
        from datanommer.commands.input import message_file
        from datanommer.models.logging_stats import validation

        for file in self.files:
            for value in message_file.read(file):
                message = validation.read_message(value)
                if message is None:
                    self.unreadable += 1
                elif validation.is_script_topic(message.topic, self.topics) and self._is_in_time(
                    message
                ):
                    yield message

    def _is_in_time(self, message: ScriptMessage) -> bool:
        if message.timestamp is None:
            return True
        is_early = self.since is not None and message.timestamp < self.since
        is_late = self.before is not None and message.timestamp > self.before
        return not is_early and not is_late


def _print(reports: dict[str, TopicReport], form: str) -> None:
    by_topic = dict(sorted(reports.items()))
    if form == "json":
        objects = {topic: _as_object(report) for topic, report in by_topic.items()}
        click.echo(json.dumps(objects, indent=2))
        return
    for topic, report in by_topic.items():
        click.echo(f"{quoted_unless_printable(topic)}: {format_counts(report.counts)}")
        for outcome, example in report.first.items():
            click.echo(f"  first {outcome}: {_format_example(example)}")
    click.echo(format_counts(_totals(reports)))


def _totals(reports: dict[str, TopicReport]) -> Counter[str]:
    totals = Counter({"valid": 0, "warning": 0, "invalid": 0})
    for report in list(reports.values()):
        totals.update(report.counts)
    return totals


def _as_object(report: TopicReport) -> dict[str, Any]:
    first = {
        outcome: {
            "msg_id": example.message.msg_id,
            "reasons": list(example.reasons),
            "msg": example.message.msg,
        }
        for outcome, example in report.first.items()
    }
    return {**report.counts, "first": first}


def _format_example(example: Example) -> str:
    parts = [quoted_unless_printable(example.message.msg_id or "-")]
    if example.reasons:
        reasons = "; ".join(map(quoted_unless_printable, example.reasons))
        text = json.dumps(example.message.msg)
        more = "..." if len(text) > _MAX_CONTENT_LENGTH else ""
        parts += [reasons, f"{text[:_MAX_CONTENT_LENGTH]}{more}"]
    return "  ".join(parts)
