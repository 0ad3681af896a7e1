"""What the hub hands over is kept as the text that came, and becomes a message in its turn."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from certificates import NOW, PAST, Authority
from datanommer.models.envelopes.identity import Fallback
from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import SignaturesUnknown
from datanommer.models.preparing.preparation import Item
from datanommer.models.receiving.received import Received
from datanommer.models.receiving.receiver import Receiver, Refused
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received, without
from shell import Run

TOPIC = "org.example.dev.demo.hello"


def item_of(receiver: Receiver, handed_over: Received) -> Item | Refused:
    [item] = receiver.each([handed_over])
    return item


def row(handed_over: Received) -> Row:
    item = item_of(Receiver({}), handed_over)
    assert isinstance(item, Row)
    return item


def reject(handed_over: Received) -> Reject:
    item = item_of(Receiver({}), handed_over)
    assert isinstance(item, Reject)
    return item


class Ignored:
    """A settlement that nobody waits for."""

    def acknowledge(self) -> None:
        pass

    def refuse(self) -> None:
        pass


def over_stomp(body: bytes = b"{}", **headers: str) -> Received:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Received.of_frame("/topic/a", body, names, Ignored())


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
        stored = row(Received.of_frame(topic, b'{"id": 1}', headers, Ignored()))
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
        assert (refused.kind, refused.topic) == (kind, TOPIC)
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


class TestWhatComesOverStomp:
    def test_has_the_first_id_that_names_it(self) -> None:
        sent = {**envelope()["body"], "msg_id": "of the body"}
        names = {"amqp_message_id": "of AMQP", "message_id": "ID:broker-1:1"}
        assert row(over_stomp(json.dumps(sent).encode(), **names)).msg_id == "of the body"
        assert row(over_stomp(b"{}", **names)).msg_id == "of AMQP"
        assert row(over_stomp(message_id="ID:broker-1:1")).msg_id == "ID:broker-1:1"

    def test_is_not_named_by_its_delivery(self) -> None:
        first, again = "T_/queue/a@@session-x1@@1", "T_/queue/a@@session-x2@@7"
        one = row(over_stomp(b"1", message_id=first, ack=first, redelivered="false", own="a"))
        assert one.msg_id not in {first, again}
        for same in (
            over_stomp(b"1", message_id=again, ack=again, redelivered="true", own="a"),
            over_stomp(b"1", subscription="another", own="a"),
        ):
            assert row(same).msg_id == one.msg_id
        for other in (over_stomp(b"2", own="a"), over_stomp(b"1", own="b"), over_stomp(b"1")):
            assert row(other).msg_id != one.msg_id

    def test_that_nests_too_deep_for_an_id_is_rejected(self) -> None:
        assert reject(over_stomp(b"[" * 900 + b"]" * 900)).kind == "too large"

    @pytest.mark.parametrize("body", [b'{"n": NaN}', b"\xff", b"[" * 100_000])
    def test_is_the_same_reject_when_it_is_delivered_again(self, body: bytes) -> None:
        first = reject(over_stomp(body, message_id="T_a@@session-x@@1", own="a"))
        again = reject(over_stomp(body, message_id="T_a@@session-y@@2", own="a"))
        assert first.sha256 == again.sha256
        assert first.sha256 != reject(over_stomp(body, own="b")).sha256

    @pytest.mark.parametrize("timestamp", ["", "-1", "1e3", "9" * 15, "\u0661", "1490021742137.5"])
    def test_without_a_time_that_can_be_read_is_of_now(self, timestamp: str) -> None:
        assert row(over_stomp(timestamp=timestamp)).timestamp.year > 2020

    def test_that_is_no_utf_8_is_rejected_with_its_bytes(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, min_free_bytes=0)
        spool.put([over_stomp(b"\xff\xfe\0", own="a")])
        chunk = spool.first(1, 1)
        assert chunk
        (waited,) = chunk.received
        for came in (over_stomp(b"\xff\xfe\0", own="a"), waited):
            refused = reject(came)
            assert (refused.kind, refused.reason) == ("invalid", "its body is not UTF-8")
            assert (
                refused.raw == b'{"topic": "/topic/a", "body": \xff\xfe\0, "headers": {"own": "a"}}'
            )


class TestSignatures:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        authority = Authority(tmp_path)
        authority.issue("shell.test")
        return authority

    @pytest.fixture
    def receiver(self, authority: Authority) -> Receiver:
        return Receiver(authority.config)

    def test_what_is_signed_is_stored(self, authority: Authority, receiver: Receiver) -> None:
        came = received(authority.sign(envelope(), "shell.test"))
        assert isinstance(item_of(receiver, came), Row)
        assert came.is_accepted

    def test_what_is_not_is_refused(self, receiver: Receiver) -> None:
        sent = envelope()
        unsigned, deep = received(sent), Received(TOPIC, "[" * 100_000)
        assert receiver.items([unsigned, deep]) == (
            [],
            [
                Refused("unsigned", sent["body"]["msg_id"], sent["topic"]),
                Refused("the message nests deeper than 500 levels", None, TOPIC),
            ],
        )

    def test_what_was_accepted_is_not_asked_again(self, receiver: Receiver) -> None:
        came = received(envelope())
        came.is_accepted = True
        assert isinstance(item_of(receiver, came), Row)

    def test_what_was_accepted_without_being_asked_stays_accepted(self, receiver: Receiver) -> None:
        came = received(envelope())
        item_of(Receiver({}), came)
        assert isinstance(item_of(receiver, came), Row)

    def test_nothing_signed_is_refused_while_the_revocation_list_has_run_out(
        self, authority: Authority
    ) -> None:
        authority.revoke(valid=PAST)
        came = received(authority.sign(envelope(), "shell.test"))
        with pytest.raises(SignaturesUnknown, match=r"crl\.pem is valid from"):
            item_of(Receiver(authority.config), came)
        assert isinstance(item_of(Receiver(authority.config), received(envelope())), Refused)
        authority.revoke()
        assert isinstance(item_of(Receiver(authority.config), came), Row)

    def test_a_certificate_that_ends_while_a_message_waits_was_good_when_it_came(
        self, tmp_path: Path
    ) -> None:
        authority = Authority(tmp_path, valid=(PAST[0], NOW[1]))
        authority.issue("ended.test", PAST)
        signed = authority.sign(envelope(), "ended.test")
        then = (PAST[0] + timedelta(hours=1)).timestamp()
        assert isinstance(item_of(Receiver(authority.config), received(signed)), Refused)
        for moment, kind in ((then, Row), (time.time(), Refused), (0, Refused)):
            waited = received(signed)
            waited.fallback = Fallback(moment, "x")
            assert isinstance(item_of(Receiver(authority.config), waited), kind), moment

    def test_a_certificate_that_was_revoked_while_a_message_waited_is_refused(
        self, authority: Authority
    ) -> None:
        waited = received(authority.sign(envelope(), "shell.test"))
        waited.fallback = Fallback(time.time(), "x")
        authority.revoke("shell.test")
        assert isinstance(item_of(Receiver(authority.config), waited), Refused)

    def test_while_gpg_cannot_be_run_nothing_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        gpg = tmp_path / "gpg"
        gpg.touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        receiver = Receiver(
            {"validate_signatures": True, "crypto_validate_backends": ["gpg"], "gpg_home": "/"}
        )
        gpg.unlink()
        signed = envelope(crypto="gpg", signature="bm9uZQ==")
        with pytest.raises(SignaturesUnknown, match="gpg cannot be run"):
            item_of(receiver, received(signed))

    def test_a_spool_is_drained_of_what_is_signed_alone(
        self, authority: Authority, archive: str, run: Run, tmp_path: Path
    ) -> None:
        spool = Spool(tmp_path / "spool", min_free_bytes=0)
        accepted = received(envelope())
        accepted.is_accepted = True
        signed = received(authority.sign(envelope(), "shell.test"))
        spool.put([signed, received(envelope()), accepted])
        file = tmp_path / "config.py"
        config = {**authority.config, "datanommer.spool_dir": str(spool.folder)}
        file.write_text(f"config = {config!r}")
        drained = run("datanommer-spool", "drain", "--url", archive, "--config-filename", str(file))
        assert drained.stdout == "stored 2, duplicates 0, rejected 0\n"
        assert drained.stderr.startswith("Refused: unsigned (msg_id '2013-")
        assert spool.waiting().messages == 0
