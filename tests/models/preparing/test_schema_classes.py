"""The schema classes of real senders tell whom a message concerns, and who did it."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from datanommer.models.preparing import concerned, fedora_messaging
from datanommer.models.preparing.concerned import Concerned

UPDATE = {
    "alias": "FEDORA-2022-1",
    "user": {"name": "bob"},
    "builds": [{"nvr": "nethack-3.6.6-1.fc37"}],
    "status": "testing",
    "request": None,
    "release": {"name": "F37"},
}
BUILD = {"owner": "alice", "name": "nethack", "version": "3.6.6", "release": "1"}
#: A message of each package, as its application sends it, so far as the class reads it.
MESSAGES: dict[str, tuple[dict[str, Any], Concerned]] = {
    "bodhi.update.comment.v1": (
        {"comment": {"user": {"name": "alice"}, "text": "works", "update": UPDATE}},
        Concerned(("alice", "bob"), ("nethack",), "alice"),
    ),
    "bodhi.update.request.testing.v1": (
        {"agent": "bob", "update": UPDATE},
        Concerned(("bob",), ("nethack",), "bob"),
    ),
    "copr.build.start": (
        {"user": "alice", "owner": "bob", "copr": "games", "pkg": "nethack", "build": 7},
        Concerned(("alice", "bob"), (), "alice"),
    ),
    "pagure.issue.new": (
        {"agent": "alice", "issue": {"user": {"name": "bob"}, "assignee": None}},
        Concerned(("alice", "bob"), (), "alice"),
    ),
    "koji_fedoramessaging.build.BuildStateChangeV1": (
        {**BUILD, "old": 0, "new": 1},
        Concerned(("alice",), ("nethack",), None),
    ),
    "discourse.event.v1": (
        {
            "webhook_headers": {
                "X-Discourse-Event-Type": "post",
                "X-Discourse-Event": "post_created",
            },
            "webhook_body": {"post": {"username": "alice"}},
        },
        Concerned((), (), "alice"),
    ),
    "webhook_to_fedora_messaging.github.message_v1": (
        {"agent": "alice", "headers": {}, "body": {}},
        Concerned(("alice",), (), "alice"),
    ),
}


def of(schema: str | None, msg: Any, **headers: Any) -> Concerned:
    """Whom a message concerns that came over AMQP."""
    named = {} if schema is None else {"fedora_messaging_schema": schema}
    line = {"id": "7f6de4c2", "topic": "org.example.prod.x.y", "body": msg}
    envelope = fedora_messaging.to_envelope({**line, "headers": {**named, **headers}})
    return concerned.find(concerned.body_of(envelope, envelope["topic"]))


def test_the_packages_of_fedora_are_installed() -> None:
    assert len(SCHEMAS) > 80


@pytest.mark.parametrize("schema", MESSAGES)
def test_a_sender_says_whom_its_message_concerns_and_who_did_it(schema: str) -> None:
    msg, expected = MESSAGES[schema]
    assert of(schema, msg) == expected


SCHEMAS = sorted(each.name for each in entry_points(group="fedora.messages"))
CONTENTS: list[Any] = [{}, None, [], "text", 5, {"a": 1}, {"update": None, "comment": []}]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_whatever_a_class_does_the_message_does_not_suffer_and_nothing_is_logged(
    schema: str, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level(logging.INFO)
    for msg in CONTENTS:
        found = of(schema, msg)
        assert found.missing_package is None
        assert all(isinstance(name, str) for names in found[:2] for name in names or ())
    assert caplog.records == []
    assert [str(warning.message) for warning in recwarn] == []


def test_a_list_of_names_may_hold_none() -> None:
    found = of("pagure.issue.new", {"agent": None, "issue": {"user": {"name": "bob"}}})
    assert found.users == ("bob",)


def test_the_headers_name_users_and_packages_where_the_class_is_not_installed() -> None:
    names = {"fedora_messaging_user_alice": True, "fedora_messaging_rpm_nethack": True}
    found = of("nowhere.v1", {}, **names, fedora_messaging_schema_package="nowhere-messages")
    assert found == Concerned(("alice",), ("nethack",), None, "nowhere-messages")
    assert of("nowhere.v1", {}).missing_package == "the package with nowhere.v1"
    for schema in ("base.message", None):
        assert of(schema, {}).missing_package is None


BROKEN = """
from importlib.metadata import entry_points
from datanommer.models.preparing import concerned

for schema in ("broken.v1", "pagure.issue.new"):
    headers = {"fedora_messaging_schema": schema}
    msg = {"agent": "alice", "issue": {"user": {"name": "bob"}}}
    for _ in range(2):
        body = {"topic": "x", "msg": msg, "msg_id": "1", "headers": headers}
        print(concerned.find(body).agent)
"""


def test_a_class_that_cannot_be_imported_is_named_once_and_hides_no_other(tmp_path: Path) -> None:
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[fedora.messages]\nbroken.v1 = broken:Message\n")
    (tmp_path / "broken.py").write_text("raise SyntaxError('half of a file')\n")
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BROKEN],
        env={"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["None", "None", "alice", "alice"]
    assert result.stderr.count("broken.v1 cannot be imported: SyntaxError") == 1
    assert "Traceback" not in result.stderr
