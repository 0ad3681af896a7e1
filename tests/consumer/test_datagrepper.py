"""A message that comes back from a datagrepper is the one that was sent, or a duplicate of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fedmsg.crypto
import fedmsg.crypto.utils
import pytest

from certificates import Authority
from classic import execute
from datanommer.models import Message, add, session
from datanommer.models.preparing.archive_copy import restored
from datanommer.models.preparing.fedora_messaging import to_envelope
from envelopes import bridged, envelope, given, line, without
from orm import Rejected

STOMP = {"topic": "/topic/x", "body": {"topic": "/topic/x", "msg": {"n": 1}}}
SENT: dict[str, dict[str, Any]] = {
    "as fedmsg sends it": envelope(),
    "with a signature": envelope(certificate="Y2VydA==\n", crypto="x509", signature="c2ln\n"),
    "with headers": envelope(headers={"a": "b"}),
    "without a username": without(envelope(), "username"),
}
#: What an archive does not give back as it was.
CHANGED: dict[str, dict[str, Any]] = {
    "without a counter": without(envelope(), "i"),
    "without content": without(envelope(), "msg"),
    "with null for a username": envelope(username=None),
    "with empty headers": envelope(headers={}),
    "with a whole second as a float": envelope(timestamp=1361166918.0),
    "with a key that has no column": envelope(more=1),
    "with keys that datagrepper adds": envelope(users=["x"], packages=[], source_name="x"),
    "without an id": without(envelope(), "msg_id"),
    "over STOMP": {**STOMP, "headers": {"timestamp": "1361166918000", "message-id": "ID:1"}},
    "over STOMP, without an id": {**STOMP, "headers": {"timestamp": "1361166918000"}},
    "over STOMP, without a time": {**STOMP, "headers": {"message-id": "ID:1"}},
}


def as_fedmsg_does(body: dict[str, Any]) -> dict[str, Any]:
    """What fedmsg's own backlog makes of it: it cuts off the fraction of a second, too."""
    return fedmsg.crypto.utils.fix_datagrepper_message(body)  # type: ignore[no-any-return]


CHANGES = (restored, as_fedmsg_does, dict)


def over_the_bus(body: dict[str, Any]) -> dict[str, Any]:
    return {"topic": body["topic"], "body": body}


def only_row() -> Message:
    session.rollback()
    (found,) = session.query(Message)
    return found


def copy_in(bound: str, sent: dict[str, Any]) -> dict[str, Any]:
    """What datagrepper gives for a message, from an archive of ours that stored it."""
    assert add(sent).stored == 1
    copy: dict[str, Any] = json.loads(json.dumps(only_row().as_dict()))
    session.rollback()
    execute(bound, "DELETE FROM messages")
    return copy


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
class TestWhatFedmsgSends:
    def test_is_restored_from_the_classic_line(self, sent: dict[str, Any]) -> None:
        body = restored(given(sent))
        assert json.dumps(body, sort_keys=True) == json.dumps(sent["body"], sort_keys=True)

    def test_is_restored_from_an_archive_of_ours(self, bound: str, sent: dict[str, Any]) -> None:
        body = restored(copy_in(bound, sent))
        assert json.dumps(body, sort_keys=True) == json.dumps(sent["body"], sort_keys=True)


def test_a_fraction_of_a_second_is_kept() -> None:
    assert restored(given(envelope(timestamp=1361166918.5)))["timestamp"] == 1361166918.5


def test_what_is_not_from_an_archive_is_left_as_it_is() -> None:
    body = envelope(username=None, headers={}, users=["x"])["body"]
    assert restored(body) == body


def test_a_signature_is_good_again(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("shell.test")
    signed = authority.sign(envelope(), "shell.test")
    copy = {**given(signed), "users": [], "packages": []}
    assert fedmsg.crypto.validate(restored(copy), **authority.config)
    assert not fedmsg.crypto.validate(as_fedmsg_does(copy), **authority.config)


@pytest.mark.parametrize("sent", (SENT | CHANGED).values(), ids=SENT | CHANGED)
class TestACopy:
    def test_of_what_is_stored_is_a_duplicate(self, bound: str, sent: dict[str, Any]) -> None:
        copy = copy_in(bound, sent)
        assert add(sent).stored == 1
        before = only_row().body
        for change in CHANGES:
            assert add(over_the_bus(change(copy))) == (0, 1, 0)
        assert only_row().body == before

    def test_that_is_stored_first_stays_and_what_was_sent_is_a_duplicate(
        self, bound: str, sent: dict[str, Any]
    ) -> None:
        given_for_it = copy_in(bound, sent)
        for change in CHANGES:
            execute(bound, "DELETE FROM messages")
            copy = change(given_for_it)
            assert add(over_the_bus(copy)).stored == 1
            assert add(sent) == (0, 1, 0)
            assert only_row().body == copy
            session.rollback()

    def test_that_says_something_else_is_a_conflict(self, bound: str, sent: dict[str, Any]) -> None:
        copy = restored(copy_in(bound, sent))
        add(sent)
        assert add(over_the_bus({**copy, "msg": {"other": 1}})) == (0, 0, 1)
        assert add(over_the_bus({**copy, "topic": "org.example.other"})) == (0, 0, 1)
        assert {each.kind for each in session.query(Rejected)} == {"conflict"}


@pytest.mark.usefixtures("bound")
class TestAMessageThatCameOverAMQP:
    """Other archives than datanommer's have no year in its id."""

    @pytest.mark.parametrize("is_first", [True, False])
    def test_is_a_duplicate_of_what_a_bridge_brought(self, is_first: bool) -> None:
        sent = line(sent_at="2020-12-31T23:59:59+00:00")
        copy = over_the_bus(restored(self._given(sent)))
        messages = [copy, bridged(sent, 1609459200)]
        assert [add(each) for each in messages[:: 1 if is_first else -1]] == [(1, 0, 0), (0, 1, 0)]

    def test_is_restored(self) -> None:
        sent = line()
        for agent in ({}, {"username": "ralph"}, {"agent_name": "ralph"}):
            assert restored({**self._given(sent), **agent}) == to_envelope(sent)["body"]

    def test_keeps_the_counter_and_the_username_of_a_bridge_from_fedmsg(self) -> None:
        sent = envelope(headers={"sent-at": "2021-07-21T12:23:12+00:00"}, i=5)
        assert restored(given(sent)) == sent["body"]

    def test_gets_the_year_when_it_was_sent(self) -> None:
        sent = line(sent_at="2020-12-31T23:59:59+00:00")
        body = restored(self._given(sent))
        assert body["msg_id"] == f"2020-{sent['id']}"
        assert restored(given(to_envelope(sent)))["msg_id"] == body["msg_id"]

    @pytest.mark.parametrize("sent_at", ["", 10**15])
    def test_keeps_its_id_where_nobody_can_tell_the_year(self, sent_at: Any) -> None:
        copy = {**self._given(line()), "timestamp": sent_at}
        assert restored(copy)["msg_id"] == copy["msg_id"]

    def _given(self, sent: dict[str, Any]) -> dict[str, Any]:
        return {**given(to_envelope(sent)), "msg_id": sent["id"]}
