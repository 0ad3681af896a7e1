"""The messages of scripts: their schemas, ``datanommer-validate``, and how fedmsg shows them."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fedmsg.meta.base import BaseProcessor

from bus import Bus
from datanommer.models import Message, add_all, session
from datanommer.models.logging_stats import message_types
from envelopes import envelope
from shell import ROOT, Run

STATS = "logging.stats"
PREFIX = f"org.fedoraproject.prod.{STATS}"

START = {"host": "log01", "run_id": "1"}
HOST = {**START, "synced_host": "proxy01"}
DATE = {**HOST, "log_date": "2021-07-20"}
FAIL = {**DATE, "reason": "timed out"}
#: What the document about these messages says that each of them holds.
SYNC = {
    "start": START,
    "finish": START,
    "host.start": HOST,
    "host.finish": HOST,
    "host.skip": {**HOST, "reason": "Synced host unknown"},
    "host.logdate.start": DATE,
    "host.logdate.finish": DATE,
    "host.logdate.fail.retry": FAIL,
    "host.logdate.fail.final": FAIL,
}
#: What other scripts have been seen to send.
OTHERS = [
    *(f"combinehttplogs.{each}" for each in ("start", "finish")),
    *(
        f"combinehttplogs.logmerge.{what}.{each}"
        for what in ("proxy", "download", "people")
        for each in ("start", "finish")
    ),
    *(f"condense-mirrorlogs.{each}" for each in ("start", "finish")),
    *(f"condense-mirrorlogs.mirrorlist.{each}" for each in ("start", "sort", "finish")),
    *(
        f"{name}.{each}"
        for name in ("countme-update", "countme-centos-update")
        for each in ("start", "finish", "command.start", "command.finish")
    ),
]


def without(fields: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != key}


def renamed(fields: dict[str, Any], key: str, sent: str) -> dict[str, Any]:
    return {**without(fields, key), sent: fields[key]}


class TestTypes:
    @pytest.mark.parametrize("topic", SYNC)
    def test_what_the_document_says_is_valid(self, topic: str) -> None:
        assert message_types.check(f"{STATS}.sync.{topic}", SYNC[topic]).outcome == "valid"
        more = {**SYNC[topic], "more": [1]}
        assert message_types.check(f"{STATS}.sync.{topic}", more).outcome == "valid"

    @pytest.mark.parametrize(("topic", "key"), [(t, key) for t in SYNC for key in SYNC[t]])
    def test_each_field_is_needed_and_is_text(self, topic: str, key: str) -> None:
        name = f"{STATS}.sync.{topic}"
        missing = message_types.check(name, without(SYNC[topic], key))
        assert missing == ("invalid", (f"'{key}' is missing",))
        anything_else: list[Any] = [5, None, ["x"], {}]
        for wrong in anything_else:
            verdict = message_types.check(name, {**SYNC[topic], key: wrong})
            assert verdict == ("invalid", (f"{key} is not of type string",))

    @pytest.mark.parametrize("topic", OTHERS)
    def test_what_other_scripts_send_is_known(self, topic: str) -> None:
        assert message_types.check(f"{STATS}.{topic}", START).outcome == "valid"
        assert message_types.check(f"{STATS}.{topic}", {"loghost": "h"}).outcome == "warning"

    @pytest.mark.parametrize("msg", [{}, {"a": {"b": [1]}}, [], "text", None, 5])
    def test_debugging_is_free_form(self, msg: Any) -> None:
        for name in ("debug", "debug.x", "debug.x.y"):
            assert message_types.check(f"{STATS}.{name}", msg).outcome == "valid"

    @pytest.mark.parametrize("msg", [None, "text", 5, [], True])
    def test_no_other_message_is_anything_but_an_object(self, msg: Any) -> None:
        verdict = message_types.check(f"{STATS}.sync.start", msg)
        assert verdict == ("invalid", ("the message is not of type object",))

    def test_known_drift_is_a_warning(self) -> None:
        name = f"{STATS}.sync.host.logdate.fail.retry"
        drifted = renamed(renamed(FAIL, "host", "loghost"), "reason", "failure")
        assert message_types.check(name, drifted) == (
            "warning",
            ("'loghost' is sent for 'host'", "'failure' is sent for 'reason'"),
        )

    def test_drift_does_not_hide_what_is_wrong(self) -> None:
        verdict = message_types.check(f"{STATS}.sync.start", {"loghost": "log01"})
        assert verdict.outcome == "invalid"
        assert verdict.reasons[0] == "'run_id' is missing"
        assert message_types.check(f"{STATS}.sync.start", {**START, "host": 5, "loghost": "x"})[
            0
        ] == ("invalid")

    @pytest.mark.parametrize(
        "topic", ["sync.strat", "sync", "sync.start.x", "nothing.known", "debugging"]
    )
    def test_a_type_that_is_not_known_is_held_to_its_family(self, topic: str) -> None:
        known = message_types.check(f"{STATS}.{topic}", START)
        assert known == ("warning", (f"no message type {STATS}.{topic} is known",))
        assert message_types.check(f"{STATS}.{topic}", {}).outcome == "invalid"

    def test_the_prefix_of_the_bus_does_not_matter(self) -> None:
        assert message_types.name_of(f"{PREFIX}.sync.start") == f"{STATS}.sync.start"
        assert message_types.name_of(f"{STATS}.sync.start") == f"{STATS}.sync.start"
        for other in ("org.fedoraproject.prod.bodhi.update", "xlogging.stats.y", "logging.statsy"):
            assert message_types.name_of(other) is None


class TestSchemas:
    def test_each_is_a_valid_schema_with_a_description(self) -> None:
        for schema in message_types.schemas().values():
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
            assert schema["description"]

    def test_each_file_is_named_for_its_title(self) -> None:
        for name, schema in message_types.schemas().items():
            assert schema["title"] in (name, f"{name}.*")

    def test_each_type_has_a_sentence_of_its_own_fields(self) -> None:
        for name, schema in message_types.schemas().items():
            if schema["title"] == name:
                fields = {
                    key
                    for each in message_types.lineage(name)
                    for key in each.get("properties", {})
                }
                schema["x-sentence"].format_map(dict.fromkeys(fields, "x"))

    def test_the_page_is_what_the_schemas_make(self) -> None:
        maker = runpy.run_path(str(ROOT / "docs" / "message_types.py"))
        page = (ROOT / "docs" / "logging-stats.rst").read_text(encoding="utf-8")
        assert page == maker["renewed"](page)
        assert "``sync.host.logdate.fail.final``" in page

    def test_storing_messages_does_not_wait_for_the_validator(self) -> None:
        code = (
            "import datanommer.consumer, datanommer.commands.load, sys;"
            "from datanommer.models.exchange import parser;"
            "from datanommer.models.storing import extractions;"
            "print(len(extractions.installed()), 'jsonschema' in sys.modules)"
        )
        printed = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            check=True,
        )
        assert printed.stdout == "1 False\n"


ENVELOPES = [
    envelope(f"{PREFIX}.sync.start", msg=START, msg_id="2021-1", timestamp=1626800000),
    envelope(f"{PREFIX}.sync.start", msg=START, msg_id="2021-2", timestamp=1626800001),
    envelope(
        f"{PREFIX}.sync.start",
        msg=renamed(START, "host", "loghost"),
        msg_id="2021-3",
        timestamp=1626800002,
    ),
    envelope(f"{PREFIX}.sync.start", msg={}, msg_id="2021-4", timestamp=1626800003),
    envelope(f"{PREFIX}.debug.x", msg="any\u0000thing", msg_id="2021-5", timestamp=1626900000),
    envelope("org.fedoraproject.prod.bodhi.x", msg={}, msg_id="2021-6", timestamp=1626800000),
    envelope("org.fedoraproject.prod.logging.other", msg={}, msg_id="2021-7"),
]
REPORT = f"""\
{PREFIX}.debug.x: valid 1, warning 0, invalid 0
  first valid: 2021-5
{PREFIX}.sync.start: valid 2, warning 1, invalid 1
  first valid: 2021-1
  first warning: 2021-3  'loghost' is sent for 'host'  {{"run_id": "1", "loghost": "log01"}}
  first invalid: 2021-4  'host' is missing; 'run_id' is missing  {{}}
valid 3, warning 1, invalid 1
"""


class TestValidate:
    """``datanommer-validate``"""

    def test_reports_what_the_archive_has(self, archive: str, run: Run) -> None:
        add_all(ENVELOPES)
        result = run("datanommer-validate", "--url", archive)
        assert (result.stdout, result.stderr, result.returncode) == (REPORT, "", 65)

    def test_only_what_is_asked_for(self, archive: str, run: Run) -> None:
        add_all(ENVELOPES)

        def total(*options: str) -> str:
            return run("datanommer-validate", "--url", archive, *options).stdout.splitlines()[-1]

        assert total("--since", "2021-07-21") == "valid 1, warning 0, invalid 0"
        assert total("--before", "2021-07-20T16:53:20") == "valid 1, warning 0, invalid 0"
        assert total("--topic", f"{PREFIX}.sync.start") == "valid 2, warning 1, invalid 1"
        without_prefix = ("--topic", f"{STATS}.sync.start", "--since", "2021-07-20T16:53:22")
        assert total(*without_prefix) == "valid 0, warning 1, invalid 1"

    def test_all_well_or_warnings_only_is_0(self, archive: str, run: Run) -> None:
        add_all(ENVELOPES[:3])
        assert run("datanommer-validate", "--url", archive).returncode == 0

    def test_as_json(self, archive: str, run: Run) -> None:
        add_all(ENVELOPES)
        result = run("datanommer-validate", "--url", archive, "--format", "json")
        found = json.loads(result.stdout)
        assert found[f"{PREFIX}.debug.x"]["valid"] == 1
        assert found[f"{PREFIX}.sync.start"] == {
            "valid": 2,
            "warning": 1,
            "invalid": 1,
            "first": {
                "valid": {"msg_id": "2021-1", "reasons": [], "msg": START},
                "warning": {
                    "msg_id": "2021-3",
                    "reasons": ["'loghost' is sent for 'host'"],
                    "msg": {"run_id": "1", "loghost": "log01"},
                },
                "invalid": {
                    "msg_id": "2021-4",
                    "reasons": ["'host' is missing", "'run_id' is missing"],
                    "msg": {},
                },
            },
        }
        assert result.returncode == 65

    @pytest.mark.parametrize("form", ["json", "ndjson"])
    def test_a_dump(self, archive: str, run: Run, tmp_path: Path, form: str) -> None:
        add_all(ENVELOPES)
        dump = tmp_path / "dump.json"
        dump.write_text(run("datanommer-dump", "--url", archive, "--format", form).stdout)
        # Without a database.
        assert run("datanommer-validate", str(dump)).stdout == REPORT
        late = run("datanommer-validate", "--since", "2021-07-21", str(dump)).stdout
        assert late.splitlines()[-1] == "valid 1, warning 0, invalid 0"

    def test_envelopes_from_standard_input(self, run: Run) -> None:
        lines = "".join(f"{json.dumps(each)}\n" for each in ENVELOPES)
        assert run("datanommer-validate", "-", input=lines).stdout == REPORT

    def test_what_a_script_would_send(self, run: Run) -> None:
        sent = subprocess.run(
            [
                *("bash", "-c", '. "$0"; for t; do send_bus_msg "$t" run_id=1; done'),
                str(ROOT / "contrib" / "send_bus_msg.sh"),
                *(f"{STATS}.sync.start", f"{STATS}.sync.host.start"),
            ],
            env={"SEND_BUS_MSG_DRY_RUN": "1", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        result = run("datanommer-validate", "-", input=sent.stdout)
        assert f"{STATS}.sync.start: valid 1, warning 0, invalid 0" in result.stdout
        assert "'synced_host' is missing" in result.stdout
        assert result.returncode == 65

    def test_a_file_of_other_things(self, run: Run) -> None:
        text = '5 "x" [] {"topic": 5, "msg": 1} {"body": 7} {"topic": "org.x", "msg": {}} 1e999999'
        result = run("datanommer-validate", "-", input=text.replace("[]", ""))
        assert result.stdout == "valid 0, warning 0, invalid 0\n"
        assert result.stderr == "What is no message at all: 5.\n"
        assert result.returncode == 65

    def test_a_file_that_is_cut_off_is_reported_as_far_as_it_goes(self, run: Run) -> None:
        result = run("datanommer-validate", "-", input=json.dumps(ENVELOPES[0]) + '\n{"topic": "x')
        assert "sync.start: valid 1" in result.stdout
        assert "line 2: cut off" in result.stderr
        assert result.returncode == 1

    def test_ids_and_topics_cannot_break_the_lines(self, run: Run) -> None:
        value = {"topic": f"{STATS}.debug.\n\x1b[31m", "msg_id": "a\nb", "msg": {}}
        stdout = run("datanommer-validate", "-", input=json.dumps(value)).stdout
        assert "\x1b" not in stdout
        assert stdout.count("\n") == 3


class TestNeverRefused:
    def test_what_is_invalid_is_stored_as_any_other(self, archive: str) -> None:
        add_all(ENVELOPES)
        assert session.query(Message).count() == len(ENVELOPES)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(tmp_path)
    yield bus
    bus.close()


class TestWords:
    """How the tools of fedmsg show the messages."""

    def test_a_real_tool_says_them(self, bus: Bus) -> None:
        tail = bus.start("fedmsg-tail", "--terse")
        bus.publisher.wait_for_subscriber()
        bus.publisher.publish(envelope(f"{PREFIX}.sync.host.logdate.fail.final", msg=FAIL))
        tail.wait_until_it_says(
            "log01 failed to sync the logs of 2021-07-20 from proxy01 and gives up: timed out"
        )

    def show(self, topic: str, msg: Any) -> dict[str, Any]:
        """What a process of fedmsg says of a message, with any prefix of its own."""
        code = (
            "import json, sys, fedmsg.config, fedmsg.meta as meta\n"
            "config = {**fedmsg.config.defaults, 'topic_prefix_re': r'org\\.example\\.[a-z]+'}\n"
            "meta.make_processors(**config)\n"
            "body = json.loads(sys.argv[1])\n"
            "said = {name: getattr(meta, f'msg2{name}')(body, **config)"
            " for name in ('title', 'subtitle', 'link', 'usernames', 'packages', 'objects')}\n"
            "print(json.dumps(said, default=sorted))"
        )
        printed = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, json.dumps({"topic": topic, "msg": msg})],
            capture_output=True,
            text=True,
            check=True,
        )
        said: dict[str, Any] = json.loads(printed.stdout)
        return said

    def test_fedmsg_finds_the_processor_whatever_the_prefix_is(self) -> None:
        assert self.show(f"com.example.a.b.{STATS}.sync.host.logdate.start", DATE) == {
            "title": f"{STATS}.sync.host.logdate.start",
            "subtitle": "log01 started to sync the logs of 2021-07-20 from proxy01",
            "link": "",
            "usernames": [],
            "packages": [],
            "objects": ["proxy01/2021-07-20"],
        }

    @pytest.mark.parametrize(
        ("topic", "msg", "words"),
        [
            ("sync.start", renamed(START, "host", "loghost"), "log01 started to sync logs"),
            (
                "sync.host.skip",
                {**without(HOST, "host"), "failure": "a\nb\x1b[31m{host}" + "x" * 500},
                "(not said) skipped proxy01: 'a b\\x1b[31m{host}" + "x" * 186 + "'...",
            ),
            ("sync.host.start", None, "(not said) started to sync logs from (not said)"),
            ("debug.x", ["any"], "(not said) is debugging"),
            ("sync.strat", START, "log01 sent a message that is not known"),
            (
                "countme-update.command.finish",
                {**START, "command": "ls", "result": 0},
                "log01 ran ls, which ended with 0",
            ),
        ],
    )
    def test_whatever_is_in_a_message_there_is_one_line(
        self, topic: str, msg: Any, words: str
    ) -> None:
        assert message_types.sentence(f"{STATS}.{topic}", msg) == words

    def test_the_processor_is_known_by_the_topic_alone(self) -> None:
        # So that whoever extracts users and packages need not ask for each message.
        from datanommer.models.logging_stats.fedmsg_processor import LoggingStatsProcessor

        assert LoggingStatsProcessor.handle_msg is BaseProcessor.handle_msg
