"""``datanommer-show`` prints whole messages, by any form of their ids."""

from __future__ import annotations

import json
from typing import Any

import fedmsg.encoding
import pytest

from datanommer.models import add, add_all
from datanommer.models.database.binding import bound_engine
from datanommer.models.exchange import parser
from datanommer.models.storing.batch import Batch, store
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, line
from shell import Run

UUID = "6f4dfec9-80d7-49e6-80e0-f2357b63422c"


@pytest.mark.parametrize(
    "name",
    [
        f"2013-{UUID}",
        UUID,
        f"2012-{UUID}",
        UUID.upper(),
        UUID.replace("-", ""),
        f"urn:uuid:{UUID}",
        f" 2013-{UUID}",
        f"https://apps.fedoraproject.org/datagrepper/id?id=2013-{UUID}&is_raw=true",
        f"https://apps.fedoraproject.org/datagrepper/v2/id?id={UUID}",
        f"http://localhost/messages/{UUID}/",
    ],
)
def test_an_id_is_known_in_many_forms(archive: str, run: Run, name: str) -> None:
    add_all([envelope(msg_id=f"2013-{UUID}"), envelope()])
    result = run("datanommer-show", "--url", archive, "--fields", "msg_id", name)
    assert (result.returncode, result.stdout) == (0, f"2013-{UUID}\n")


def test_an_id_without_a_year_is_found_under_any(archive: str, run: Run) -> None:
    add(envelope(msg_id=UUID))
    for name in (UUID, f"2013-{UUID}"):
        shown = run("datanommer-show", "--url", archive, "--fields", "msg_id", name)
        assert shown.stdout == f"{UUID}\n"


def test_the_id_of_a_row_is_an_id(archive: str, run: Run) -> None:
    add(envelope(msg="this"))
    row_id = run("datanommer-grep", "--url", archive, "--fields", "id").stdout.strip()
    assert run("datanommer-show", "--url", archive, "--fields", "msg", row_id).stdout == "this\n"


def test_what_is_not_there_is_named_and_the_rest_is_printed(archive: str, run: Run) -> None:
    add(envelope(msg_id=f"2013-{UUID}"))
    options = ["--fields", "msg_id", "none", UUID, "123456789012345678"]
    result = run("datanommer-show", "--url", archive, *options)
    assert (result.returncode, result.stdout) == (1, f"2013-{UUID}\n")
    assert result.stderr == (
        "There is no message with the id none.\n"
        "There is no message with the id 123456789012345678.\n"
        "datanommer-grep --format table shows the ids that there are.\n"
    )


@pytest.mark.parametrize(
    "name", ["https://[x/", "https://x/id?id=%00", "https://x", "2099-nul", f"2019-{UUID}", "x\n"]
)
def test_what_is_no_id_of_a_message_is_not_there(archive: str, run: Run, name: str) -> None:
    add_all([envelope(msg_id=f"2013-{UUID}"), envelope(msg_id="2020-nul")])
    result = run("datanommer-show", "--url", archive, name)
    assert result.returncode in {1, 2}
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_raw_is_the_body_alone(database: str, run: Run) -> None:
    for options in (["--format", "json"], ["--fields", "id"]):
        assert run("datanommer-show", "--url", database, "--raw", *options, UUID).returncode == 2


def test_an_empty_archive_has_no_message(archive: str, run: Run) -> None:
    result = run("datanommer-show", "--url", archive, UUID)
    assert (result.returncode, result.stdout) == (1, "")


def test_the_text_is_the_message_for_people(archive: str, run: Run) -> None:
    add(envelope(BODHI_TOPIC, msg={**BODHI_MSG, "who": "wörld"}, msg_id=f"2013-{UUID}"))
    shown = run("datanommer-show", "--url", archive, UUID).stdout
    assert shown.startswith(
        f"msg_id:         2013-{UUID}\n"
        "topic:          org.fedoraproject.stg.bodhi.update.comment\n"
        "time:           2013-02-18T05:55:18Z\n"
        "stored_at:      20"
    )
    assert "\nusers:          ralph\n" in shown
    assert "\nsubtitle:       ralph commented on bodhi update xmonad" in shown
    assert '\nmsg:\n  {\n    "comment": {\n' in shown
    assert '\n    "who": "wörld"\n  }\n' in shown


def test_json_has_all_of_it(archive: str, run: Run) -> None:
    add(envelope(msg_id=UUID))
    dumped = run("datanommer-dump", "--url", archive).stdout
    assert run("datanommer-show", "--url", archive, UUID, "--format", "json").stdout == dumped


BODIES = [
    {"msg": {"b": 1, "a": [1.5, 1e100, True, None, "wörld \u0000 \ud83d\ude00"]}},
    {"msg": {}, "timestamp": 1361166918.25, "crypto": "x509", "signature": "c2ln\n"},
    {"msg": "text", "headers": {}, "unknown": {"z": 1, "a": 2}, "certificate": "Y2VydA==\n"},
    {"msg": [1], "username": None, "i": 1.0},
]


@pytest.mark.parametrize("body", BODIES)
def test_raw_is_what_fedmsg_put_on_the_bus(archive: str, run: Run, body: dict[str, Any]) -> None:
    sent = envelope(msg_id=UUID, **body)
    add(sent)
    shown = run("datanommer-show", "--url", archive, "--raw", UUID)
    assert shown.stdout == f"{fedmsg.encoding.dumps(sent['body'])}\n"


def test_raw_is_the_body_of_fedora_messaging(archive: str, run: Run) -> None:
    body = {"z": 1, "a": {"who": "wörld", "n": 1.5}}
    sent = line(id=UUID, body=body)
    store(bound_engine(), Batch.of([parser.parse(sent)]))
    shown = run("datanommer-show", "--url", archive, "--raw", UUID)
    assert shown.stdout == f"{json.dumps(body)}\n"
