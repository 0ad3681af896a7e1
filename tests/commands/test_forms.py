"""The forms of the output are the same in all commands that have them."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from datanommer.models import add, add_all
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope
from shell import Run
from syncs import Script, moment

COMMANDS = {
    "grep": ["topic", "msg", "users"],
    "show 2013-1": ["topic", "msg", "users"],
    "latest --category bodhi": ["topic", "msg", "users"],
    "dump": ["topic", "msg", "users"],
    "stats": ["category", "messages", "first_seen", "last_seen"],
    "stats --topic": ["category", "topic", "messages"],
    "runs": ["run_id", "host", "started", "state", "hosts"],
    "rejected list": ["id", "kind", "seen", "reason"],
}
FORMS = ("text", "table", "json", "ndjson", "csv", "tsv")


@pytest.fixture
def full(archive: str) -> str:
    """The URL of a database with a message, a run and a reject."""
    add(envelope(BODHI_TOPIC, msg={**BODHI_MSG, "who": "wörld"}, msg_id="2013-1"))
    add_all(Script("wörld-42", moment(2013, 2, 18)).say("start").sent)
    add({"topic": "org.example.dev.demo.hello", "body": "wörld"})
    return archive


def printed(run: Run, url: str, command: str, form: str, fields: list[str]) -> str:
    result = run(
        "datanommer", *command.split(), "--url", url, "--format", form, "--fields", ",".join(fields)
    )
    assert (result.returncode, result.stderr) == (0, ""), command
    return result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_all_forms_have_the_same_fields(full: str, run: Run, command: str) -> None:
    fields = COMMANDS[command]
    objects = json.loads(printed(run, full, command, "json", fields))
    assert objects
    assert [list(each) for each in objects] == [fields] * len(objects)
    lines = printed(run, full, command, "ndjson", fields).splitlines()
    assert list(map(json.loads, lines)) == objects
    shown = printed(run, full, command, "csv", fields)
    header, *rows = csv.reader(io.StringIO(shown))
    assert header == fields
    assert rows == [[plain(each[name]) for name in fields] for each in objects]
    header, *rows = (
        row.split("\t") for row in printed(run, full, command, "tsv", fields).splitlines()
    )
    assert header == fields
    assert len(rows) == len(objects)
    header_line, *table = printed(run, full, command, "table", fields).splitlines()
    assert header_line.split() == [name.upper() for name in fields]
    assert len(table) == len(objects)


def plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


@pytest.mark.parametrize("command", COMMANDS)
def test_people_see_characters_as_they_are(full: str, run: Run, command: str) -> None:
    forms = ("table",) if command == "runs" else ("text", "table")
    for form in forms:
        shown = printed(run, full, command, form, COMMANDS[command])
        assert "\\u" not in shown
        if command.split(maxsplit=1)[0] in {"grep", "show", "dump", "runs", "latest"}:
            assert "wörld" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_the_form_that_a_command_does_not_have_is_a_usage_error(run: Run, command: str) -> None:
    for options in (["--format", "yaml"], ["--fields", "no_such_field"]):
        result = run("datanommer", *command.split(), *options)
        assert (result.returncode, result.stdout) == (2, "")


def test_a_reject_is_shown_as_json(full: str, run: Run) -> None:
    [reject_id] = run("datanommer-rejected", "list", "--url", full, "--fields", "id").stdout.split()
    options = ["--url", full, reject_id, "--format", "json"]
    shown = json.loads(run("datanommer-rejected", "show", *options).stdout)
    assert shown["kind"] == "invalid"
    assert json.loads(shown["raw"])["body"] == "wörld"


def test_a_dump_with_chosen_fields_is_json_without_the_others(full: str, run: Run) -> None:
    for form in ("json", "ndjson"):
        shown = run(
            "datanommer-dump", "--url", full, "--format", form, "--fields", "i,topic"
        ).stdout
        assert '"certificate"' not in shown
        assert shown.count('{"i": ') == 2


def test_the_newest_of_each_category_comes_in_any_form(full: str, run: Run) -> None:
    shown = run("datanommer-latest", "--url", full, "--fields", "category").stdout
    assert [each["category"] for each in json.loads(shown)] == ["bodhi", "logging"]


def test_a_category_has_no_topic(full: str, run: Run) -> None:
    result = run("datanommer-stats", "--url", full, "--fields", "topic,messages")
    assert (result.returncode, "count --by topic" in result.stderr) == (2, True)


def test_an_age_without_a_category_says_whose_it_is(full: str, run: Run) -> None:
    result = run("datanommer-latest", "--url", full, "--timesince")
    assert len(json.loads(result.stdout)) == 2
    assert result.stderr == "These are of bodhi, logging.\n"
