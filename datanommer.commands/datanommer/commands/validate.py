"""``datanommer-validate``: whether the messages of scripts are what their types say."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from typing import TYPE_CHECKING, Any

import click

from datanommer.commands import json_stream
from datanommer.commands.failures import Command
from datanommer.commands.options import Text, bind, database_options, files_argument, time_options

if TYPE_CHECKING:
    from datanommer.models.validation import Example, Sent, Tally

_SHOWN = 200


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
    "form",
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
    form: str,
    url: str | None,
    config_filename: str | None,
) -> None:
    """Check the messages of scripts, logging.stats, against their JSON Schemas.

    Checks what is in the archive or, where a FILE is given, what is in that (- is standard input):
    what datanommer-dump writes, envelopes, or lines of fedora-messaging publish and record. Prints
    how many messages of each topic are valid, valid but for what senders are known to do (warning),
    and invalid, with the first of each. Ends with exit code 1 if any is invalid.
    """
    from datanommer.models import validation

    tallies: dict[str, Tally] = {}
    reader = _Reader(files, since, before, topic)
    if files:
        messages = iter(reader)
    else:
        bind(url, config_filename)
        messages = validation.stored(since=since, before=before, topic=topic)
    try:
        validation.count(messages, tallies)
    except json_stream.NotJSON:
        _print(tallies, form)  # what stood before the fault
        raise
    _print(tallies, form)
    sys.stdout.flush()
    if reader.unreadable:
        click.echo(f"What is no message at all: {reader.unreadable}.", err=True)
    if reader.unreadable or any(tally.counts["invalid"] for tally in tallies.values()):
        ctx.exit(1)


@dataclass(slots=True)
class _Reader:
    """The messages of files that are asked for; `unreadable` counts what is no message."""

    files: tuple[BufferedReader, ...]
    since: datetime | None
    before: datetime | None
    topic: str | None
    unreadable: int = 0

    def __iter__(self) -> Iterator[Sent]:
        from datanommer.models import validation

        for file in self.files:
            for value in json_stream.read(file, file.name):
                sent = validation.read(value)
                if sent is None:
                    self.unreadable += 1
                elif validation.is_asked(sent.topic, self.topic) and self._is_in_time(sent):
                    yield sent

    def _is_in_time(self, sent: Sent) -> bool:
        if sent.timestamp is None:
            return True
        is_early = self.since is not None and sent.timestamp < self.since
        is_late = self.before is not None and sent.timestamp > self.before
        return not is_early and not is_late


def _print(tallies: dict[str, Tally], form: str) -> None:
    in_order = dict(sorted(tallies.items()))
    if form == "json":
        found = {topic: _as_json(tally) for topic, tally in in_order.items()}
        click.echo(json.dumps(found, indent=2))
        return
    for topic, tally in in_order.items():
        click.echo(f"{_on_one_line(topic)}: {_counts(tally.counts)}")
        for outcome, example in tally.first.items():
            click.echo(f"  first {outcome}: {_described(example)}")
    totals = Counter({"valid": 0, "warning": 0, "invalid": 0})
    for tally in tallies.values():
        totals.update(tally.counts)
    click.echo(_counts(totals))


def _as_json(tally: Tally) -> dict[str, Any]:
    first = {
        outcome: {
            "msg_id": example.sent.msg_id,
            "reasons": list(example.reasons),
            "msg": example.sent.msg,
        }
        for outcome, example in tally.first.items()
    }
    return {**tally.counts, "first": first}


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{outcome} {number}" for outcome, number in counts.items())


def _described(example: Example) -> str:
    parts = [_on_one_line(example.sent.msg_id or "-")]
    if example.reasons:
        text = json.dumps(example.sent.msg)
        parts += ["; ".join(map(_on_one_line, example.reasons)), text[:_SHOWN]]
        parts[-1] += "..." if len(text) > _SHOWN else ""
    return "  ".join(parts)


def _on_one_line(text: str) -> str:
    # Whoever sends a message chooses its id and its topic, line breaks and escapes included.
    return text if text.isprintable() else ascii(text)
