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

from datanommer.commands.exit_codes import Command
from datanommer.commands.input import json_stream
from datanommer.commands.options import (
    Text,
    connect,
    database_options,
    files_argument,
    time_options,
)
from datanommer.commands.output.formatting import format_counts, quoted_unless_printable

if TYPE_CHECKING:
    from datanommer.models.logging_stats.validation import Example, ScriptMessage, TopicReport

#: How many characters of a message's content the output in text shows.
_MAX_CONTENT_LENGTH = 200


@click.command(cls=Command)
@files_argument
@time_options("messages sent")
@click.option(
    "--topic",
    type=Text(),
    metavar="TOPIC",
    help="Only this topic, with or without the prefix of the bus.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or one JSON object.",
)
@database_options
@click.pass_context
def main(
    ctx: click.Context,
    files: tuple[BufferedReader, ...],
    since: datetime | None,
    before: datetime | None,
    topic: str | None,
    output_format: str,
    url: str | None,
    config_filename: str | None,
) -> None:
    """Check the messages of scripts, logging.stats, against their JSON Schemas.

    Checks the messages of the archive or, with a FILE, those in the file (- is standard input):
    the output of datanommer-dump, envelopes, or lines of fedora-messaging publish and record.
    Prints how many messages of each topic are valid, valid except for known drift of senders
    (warning), and invalid, with the first of each. Ends with exit code 1 if any is invalid.
    """
    from datanommer.models.filtering.filters import Filters
    from datanommer.models.logging_stats import validation

    reports: dict[str, TopicReport] = {}
    from_files = _FileMessages(files, since, before, topic)
    if files:
        messages = iter(from_files)
    else:
        engine = connect(url, config_filename)
        filters = Filters.of_options(since, before)
        messages = validation.stored_messages(engine, filters, topic=topic)
    try:
        validation.check_messages(messages, reports)
    except json_stream.NotJSON:
        _print(reports, output_format)  # of the messages before the error
        raise
    _print(reports, output_format)
    if from_files.unreadable:
        click.echo(f"What is no message at all: {from_files.unreadable}.", err=True)
    if from_files.unreadable or any(report.counts["invalid"] for report in reports.values()):
        ctx.exit(1)


@dataclass(slots=True)
class _FileMessages:
    """The messages in files that pass the options.

    Attributes:
        unreadable: how many values that were read so far are no messages.
    """

    files: tuple[BufferedReader, ...]
    since: datetime | None
    before: datetime | None
    topic: str | None
    unreadable: int = 0

    def __iter__(self) -> Iterator[ScriptMessage]:
        from datanommer.models.logging_stats import validation

        for file in self.files:
            for value in json_stream.read_values(file, file.name):
                message = validation.read_message(value)
                if message is None:
                    self.unreadable += 1
                elif validation.is_script_topic(message.topic, self.topic) and self._is_in_time(
                    message
                ):
                    yield message

    def _is_in_time(self, message: ScriptMessage) -> bool:
        if message.timestamp is None:
            return True
        is_early = self.since is not None and message.timestamp < self.since
        is_late = self.before is not None and message.timestamp > self.before
        return not is_early and not is_late


def _print(reports: dict[str, TopicReport], output_format: str) -> None:
    by_topic = dict(sorted(reports.items()))
    if output_format == "json":
        objects = {topic: _as_object(report) for topic, report in by_topic.items()}
        click.echo(json.dumps(objects, indent=2))
        return
    for topic, report in by_topic.items():
        click.echo(f"{quoted_unless_printable(topic)}: {format_counts(report.counts)}")
        for outcome, example in report.first.items():
            click.echo(f"  first {outcome}: {_format_example(example)}")
    totals = Counter({"valid": 0, "warning": 0, "invalid": 0})
    for report in reports.values():
        totals.update(report.counts)
    click.echo(format_counts(totals))


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
