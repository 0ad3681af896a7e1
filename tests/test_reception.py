"""What the hub hands over is kept as the text that came, and becomes a message in its turn."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from certificates import PAST, Authority
from datanommer.models.errors import AuthorityOutdated
from datanommer.models.message import Row
from datanommer.models.reception import Received, Receiver
from datanommer.models.signatures import Validator
from datanommer.models.spool import Spool
from datanommer.models.store import Reject
from envelopes import envelope, received, without
from shell import Run

TOPIC = "org.example.dev.demo.hello"


def row(handed_over: Received) -> Row:
    item = Receiver().item(handed_over)
    assert isinstance(item, Row)
    return item


def reject(handed_over: Received) -> Reject:
    item = Receiver().item(handed_over)
    assert isinstance(item, Reject)
    return item


class TestWhatComes:
    def test_over_zeromq_is_text(self) -> None:
        sent = envelope(msg={"n": 1e22, "text": "w\u00f6rld"})
        came = SimpleNamespace(topic=sent["topic"], body=json.dumps(sent["body"]))
        stored = row(Received.of(came))
        assert (stored.msg_id, stored.msg) == (
            sent["body"]["msg_id"],
            json.dumps(sent["body"]["msg"]),
        )

    def test_over_stomp_is_an_envelope_with_headers(self) -> None:
        topic = "/topic/VirtualTopic.eng.brew.build.complete"
        headers = {"message-id": "ID:1", "timestamp": "1361166918000"}
        stored = row(Received.of({"topic": topic, "headers": headers, "body": {"id": 1}}))
        assert (stored.msg_id, stored.topic, stored.category) == ("ID:1", topic, "brew")
        assert (stored.msg, stored.headers) == ('{"id": 1}', json.dumps(headers))

    def test_from_datagrepper_is_an_envelope(self) -> None:
        sent = envelope()
        assert (
            row(Received.of({"topic": sent["topic"], "body": sent["body"]})).i == sent["body"]["i"]
        )

    @pytest.mark.parametrize("body", ["no JSON", "w\u00f6rld \u20ac", "", "{", '{"a": 1} and more'])
    def test_that_is_no_json_is_the_content_of_a_message(self, body: str) -> None:
        stored = row(Received(TOPIC, body))
        assert (stored.topic, json.loads(stored.msg)) == (TOPIC, body)

    @pytest.mark.parametrize("body", ["[]", "null", "1.50", '"text"', '{"no": "topic"}'])
    def test_that_is_json_without_a_topic_is_the_content_of_a_message(self, body: str) -> None:
        stored = row(Received(TOPIC, body))
        assert (stored.topic, json.loads(stored.msg)) == (TOPIC, json.loads(body))

    @pytest.mark.parametrize(
        ("body", "kind"), [("[" * 100_000, "too large"), ('{"n": ' + "1" * 5000 + "}", "invalid")]
    )
    def test_that_python_cannot_read_is_rejected_as_it_came(self, body: str, kind: str) -> None:
        refused = reject(Received(TOPIC, body, '{"a": "b"}'))
        assert refused.kind == kind
        assert (
            refused.raw.decode()
            == f'{{"topic": "{TOPIC}", "body": {body}, "headers": {{"a": "b"}}}}'
        )


def test_what_has_neither_id_nor_time_gets_the_same_each_time() -> None:
    came = received(without(envelope(), "msg_id", "timestamp"))
    first = row(came)
    assert row(came) == first
    assert row(received(without(envelope(), "msg_id", "timestamp"))).msg_id != first.msg_id


def test_what_has_a_time_gets_the_id_that_another_hub_gives_it() -> None:
    sent = without(envelope(), "msg_id")
    assert row(received(sent)).msg_id == row(received(sent)).msg_id


class TestSignatures:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        authority = Authority(tmp_path)
        authority.issue("shell.test")
        return authority

    @pytest.fixture
    def refused(self) -> list[tuple[str, Any, Any]]:
        return []

    @pytest.fixture
    def receiver(self, authority: Authority, refused: list[tuple[str, Any, Any]]) -> Receiver:
        validator = Validator(authority.config, keep_for=0)
        return Receiver(validator, lambda *about: refused.append(about))

    def test_what_is_signed_is_stored(self, authority: Authority, receiver: Receiver) -> None:
        came = received(authority.sign(envelope(), "shell.test"))
        assert isinstance(receiver.item(came), Row)
        assert came.is_accepted

    def test_what_is_not_is_told_and_not_stored(
        self, receiver: Receiver, refused: list[tuple[str, Any, Any]]
    ) -> None:
        sent = envelope()
        assert receiver.item(received(sent)) is None
        assert receiver.item(Received(TOPIC, "[" * 100_000)) is None
        assert refused == [
            ("unsigned", sent["body"]["msg_id"], sent["topic"]),
            ("the message nests deeper than 500 levels", None, TOPIC),
        ]

    def test_what_was_found_to_be_valid_is_not_asked_again(self, receiver: Receiver) -> None:
        came = received(envelope())
        came.is_accepted = True
        assert isinstance(receiver.item(came), Row)

    def test_nothing_is_refused_while_the_revocation_list_has_run_out(
        self, authority: Authority, receiver: Receiver, refused: list[tuple[str, Any, Any]]
    ) -> None:
        came = received(authority.sign(envelope(), "shell.test"))
        authority.revoke(valid=PAST)
        with pytest.raises(AuthorityOutdated, match=r"crl\.pem is valid from"):
            receiver.item(came)
        assert receiver.item(received(envelope())) is None  # it would be refused anyhow
        authority.revoke()
        assert isinstance(receiver.item(came), Row)
        assert [reason for reason, *_ in refused] == ["unsigned"]

    def test_a_spool_is_drained_of_what_is_signed_alone(
        self, authority: Authority, archive: str, run: Run, tmp_path: Path
    ) -> None:
        spool = Spool(tmp_path / "spool", min_free_bytes=0)
        valid = received(envelope())
        valid.is_accepted = True
        spool.put([received(authority.sign(envelope(), "shell.test")), received(envelope()), valid])
        file = tmp_path / "config.py"
        config = {**authority.config, "datanommer.spool_dir": str(spool.folder)}
        file.write_text(f"config = {config!r}")
        drained = run("datanommer-spool", "drain", "--url", archive, "--config-filename", str(file))
        assert drained.stdout == "stored 2, duplicates 0, rejected 0\n"
        assert drained.stderr.startswith("Refused: unsigned (msg_id '2013-")
        assert spool.waiting().messages == 0
