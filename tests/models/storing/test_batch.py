"""What is stored, what is a duplicate, what is rejected; and that what was sent comes back."""

from __future__ import annotations

import json
import math
import re
import threading
from datetime import datetime
from typing import Any

import hypothesis
import psycopg2
import pytest
from hypothesis import strategies as st

import datanommer.models
from bus import eventually
from classic import execute
from datanommer.models import Message, add, add_all, session
from datanommer.models.classes import Certificate
from datanommer.models.database.binding import bound_engine
from datanommer.models.storing import copy_format, inserts
from datanommer.models.storing import rejects as storing_rejects
from envelopes import envelope, without
from orm import Rejected, Topic

DEEP: dict[str, Any] = {}
_inner = DEEP
for _ in range(5000):
    _inner["deeper"] = {}
    _inner = _inner["deeper"]

# JSON without NaN and with the characters that are hardest to keep.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=10,
)

_ONE_LINE = "c2ln" * 86
# Those that fedmsg's signers write, and others.
PACKED = [
    ("gpg", _ONE_LINE),
    ("x509", re.sub("(.{1,76})", r"\1\n", _ONE_LINE)),
    ("x509", re.sub("(.{1,76})", r"\1\n", "c2ln" * 38)),
    (None, "c2ln\n"),
]
UNPACKED = [
    ("x509", _ONE_LINE),
    ("x509_ng", "c2ln"),
    ("gpg", "c2ln\n"),
    ("x509", "c2ln\r\n"),
    ("x509", "\n"),
    ("x509", ""),
    ("x509", "c2lo=\n"),
    ("x509", "c2l\n"),
    ("x509", 'no base64 \\ " ö\n'),
    ("x509", 5),
]
SIGNATURES = PACKED + UNPACKED


def nested(levels: int) -> Any:
    """Objects and lists in each other."""
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def stored_bodies() -> list[dict[str, Any]]:
    session.rollback()
    return [message.body for message in session.query(Message).order_by(Message.id)]


def rejects() -> list[Rejected]:
    session.rollback()
    return session.query(Rejected).order_by(Rejected.id).all()


def same(left: Any, right: Any) -> bool:
    """Equal down to the form of numbers: 1 is not 1.0."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@pytest.mark.usefixtures("archive")
class TestWhatWasSentComesBack:
    @pytest.mark.parametrize(
        "msg",
        [
            "text",
            ["a", "list"],
            5,
            None,
            {},
            {"nul": "\0", "half a surrogate pair": "\ud800", "\0": 1},
            {"floats": [1e22, 1e5, -0.0, 0.1, 1.0], "large": 10**1000},
            {"unicode": "wörld ☃ 🎉", "escapes": '\\ " \n \t \x07'},
        ],
    )
    def test_any_json_is_a_fine_msg(self, msg: Any) -> None:
        sent = envelope(msg=msg)
        assert add(sent).stored == 1
        assert same(stored_bodies(), [sent["body"]])

    @pytest.mark.parametrize(
        "changed",
        [
            {"timestamp": 0},
            {"timestamp": 1361166918.0},
            {"timestamp": 1361166918.25},
            {"timestamp": 1344350850.886738},
            {"timestamp": 0.30000000000000004},
            {"timestamp": None},
            {"i": None},
            {"i": "seven"},
            {"i": 1.0},
            {"i": 2**63 - 1},
            {"username": None},
            {"username": 5},
            {"msg_id": None},
            {"msg_id": ""},
            {"headers": {}},
            {"headers": None},
            {"headers": {"sent-at": "2021-07-21T12:23:12+00:00"}},
            {"headers": ["odd"]},
            {"crypto": "x509", "certificate": "LS0t\nLS0=\n", "signature": "c2ln\n"},
            {"certificate": None, "signature": None},
            *({"crypto": crypto, "signature": text} for crypto, text in SIGNATURES),
            {"source_name": "datanommer", "source_version": "0.9.0"},
            {"link": "https://example.org/", "unknown\0": {"a": "\0"}},
        ],
    )
    def test_each_key_keeps_its_type_and_form(self, changed: dict[str, Any]) -> None:
        sent = envelope(**changed)
        assert add(sent).stored == 1
        assert same(stored_bodies(), [sent["body"]])

    @pytest.mark.parametrize("key", ["i", "msg", "msg_id", "timestamp", "username", "topic"])
    def test_an_absent_key_stays_absent(self, key: str) -> None:
        sent = without(envelope(), key)
        assert add(sent).stored == 1
        assert same(stored_bodies(), [sent["body"]])

    def test_a_body_that_is_whole_in_its_columns_has_no_extra(self) -> None:
        add(envelope(timestamp=1361166918.25, headers={}))
        assert session.query(Message).one().extra is None

    @pytest.mark.parametrize(("crypto", "signature"), PACKED)
    def test_a_signature_as_fedmsg_writes_it_is_whole_in_its_column(
        self, crypto: str | None, signature: str
    ) -> None:
        add(envelope(signature=signature, **({"crypto": crypto} if crypto else {})))
        stored = session.query(Message).one()
        assert (stored.signature, stored.extra) == (signature, None)

    @pytest.mark.parametrize(("crypto", "signature"), UNPACKED[:-1])
    def test_any_other_signature_is_the_same_to_clients(self, crypto: str, signature: str) -> None:
        add(envelope(signature=signature, crypto=crypto))
        stored = session.query(Message).one()
        assert stored.signature == stored.__json__()["signature"] == signature

    @pytest.mark.parametrize("msg", [nested(500), "[" * 600, ['\\"[{' * 600], [{}] * 600])
    def test_what_nests_no_deeper_than_it_may(self, msg: Any) -> None:
        sent = envelope(msg=msg)
        assert add_all([sent]).stored == 1
        assert stored_bodies() == [sent["body"]]

    def test_an_envelope_that_differs_from_its_body_is_kept(self) -> None:
        add({**envelope(topic="org.example.dev.demo.inner"), "topic": "org.example.dev.demo.outer"})
        stored = session.query(Message).one()
        assert stored.topic == "org.example.dev.demo.inner"
        assert stored.extra == {"envelope": {"topic": "org.example.dev.demo.outer"}}

    @hypothesis.given(
        msg=JSON,
        unknown=st.dictionaries(st.text(st.characters(codec=None)), JSON, max_size=3),
        timestamp=st.none() | st.integers(0, 253402300799) | st.floats(0, 253402300799),
        i=JSON.filter(lambda i: not isinstance(i, int) or -(2**63) <= i < 2**63),
    )
    @hypothesis.settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    )
    def test_whatever_is_sent(self, msg: Any, unknown: Any, timestamp: Any, i: Any) -> None:
        sent = envelope()
        sent["body"] = {**unknown, **sent["body"], "msg": msg, "timestamp": timestamp, "i": i}
        assert add(sent).stored == 1
        session.rollback()
        stored = Message.from_msg_id(sent["body"]["msg_id"])
        assert stored is not None
        assert same(stored.body, sent["body"])


@pytest.mark.usefixtures("archive")
class TestDuplicatesAndConflicts:
    @pytest.fixture(autouse=True, params=["messages", "staging"])
    def table(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        """The table that many rows are copied into, as long as none is a duplicate."""
        table: str = request.param
        monkeypatch.setattr(inserts, "_staging_until", 0.0 if table == "messages" else math.inf)
        return table

    def test_a_duplicate_is_counted_and_changes_nothing(self) -> None:
        sent = envelope()
        again = envelope(**{**sent["body"], "i": 99, "timestamp": 5, "username": "other"})
        assert add(sent) == (1, 0, 0)
        assert add(again) == (0, 1, 0)
        assert same(stored_bodies(), [sent["body"]])
        assert not rejects()

    def test_the_order_of_keys_makes_no_conflict(self) -> None:
        add(envelope(msg_id="2013-x", msg={"a": 1, "b": 2}))
        assert add(envelope(msg_id="2013-x", msg={"b": 2, "a": 1})).duplicates == 1

    def test_a_conflict_is_rejected_once_however_often_it_comes(self) -> None:
        first = envelope(msg_id="2013-x", msg="first")
        other = envelope(msg_id="2013-x", msg="other")
        assert add_all([first, other, other]) == (1, 0, 2)
        other_again = envelope(**{**other["body"], "i": 7, "timestamp": 7})
        assert add(other_again) == (0, 0, 1)
        assert same(stored_bodies(), [first["body"]])
        (rejected,) = rejects()
        assert (rejected.kind, rejected.msg_id, rejected.seen) == ("conflict", "2013-x", 3)
        assert "2013-x" in rejected.reason
        assert same(json.loads(rejected.raw), other)

    def test_another_topic_is_another_content(self) -> None:
        add(envelope("org.example.dev.a.one", msg_id="2013-x", msg={}))
        assert add(envelope("org.example.dev.a.two", msg_id="2013-x", msg={})).rejected == 1

    def test_within_a_batch_the_first_stays(self) -> None:
        batch = [envelope(msg_id="2013-b"), envelope(msg_id="2013-a", msg=1)]
        batch += [envelope(msg_id="2013-a", msg=1), envelope(msg_id="2013-a", msg=2)]
        assert add_all(batch) == (2, 1, 1)
        assert same(stored_bodies(), [batch[0]["body"], batch[1]["body"]])

    def test_ids_follow_arrival(self) -> None:
        sent = [envelope(msg_id=f"2013-{name}") for name in "zebra"]
        add_all(sent)
        assert [body["msg_id"] for body in stored_bodies()] == [
            message["body"]["msg_id"] for message in sent
        ]

    def test_no_character_of_a_text_is_lost_in_a_large_batch(self) -> None:
        texts = ["", " ", "\\N", "\\.", "\x01", "\x02", "a\x01\x02b", "\n", "\r\n", "\t", '"', "ö☃"]
        sent = [
            envelope(username=text, source_name=text, msg={"text": text}, msg_id=f"2013-{n}{text}")
            for n, text in enumerate(texts * 10)
        ]
        assert add_all(sent) == (len(sent), 0, 0)
        assert same(stored_bodies(), [message["body"] for message in sent])

    def test_messages_and_rejects_too_large_for_one_statement_go_in_several(
        self, archive: str, table: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(copy_format, "LARGE", 1000)
        monkeypatch.setattr(storing_rejects, "_BYTES_OF_A_STATEMENT", 1000)
        copied = []
        copy = copy_format.copy

        def noting(cursor: Any, table: str, *rest: Any) -> None:
            copied.append(table)
            copy(cursor, table, *rest)

        monkeypatch.setattr(copy_format, "copy", noting)
        batch = [envelope(msg=f"{number}" * 600) for number in range(9)]
        batch += [envelope(topic="", msg=f"{number}" * 600) for number in range(5)]
        assert add_all(batch) == (9, 0, 5)
        assert same(stored_bodies(), [each["body"] for each in batch[:9]])
        assert copied == [table]
        # PostgreSQL numbers the statements of a transaction.
        assert execute(archive, "SELECT count(DISTINCT cmin::text) FROM rejected") == [(5,)]
        assert len(next(copy_format._pieces(["x" * 600] * 9))) < 1500

    def test_large_rejects_are_kept_whole_and_once_like_small_ones(self) -> None:
        large = [
            envelope(topic="", msg_id=f"2013-{kind}", msg=f"\\.\n\t\0{kind}" * 400_000)
            for kind in "ab"
        ]
        small = envelope(topic="", msg_id="2013-c\t")
        assert add_all([*large, small, large[0]]) == (0, 0, 4)
        assert add_all([*large, envelope()]) == (1, 0, 2)
        kept = {each.msg_id: (each.seen, json.loads(each.raw)) for each in rejects()}
        sent = {"2013-a": (3, large[0]), "2013-b": (2, large[1]), "2013-c\t": (1, small)}
        assert kept == sent

    def test_duplicates_in_a_large_batch_are_found(self) -> None:
        sent = [envelope() for _ in range(100)]
        add_all(sent[:30])
        assert add_all([*sent, sent[0], sent[99]]) == (70, 32, 0)
        assert len(stored_bodies()) == 100

    def test_two_writers_with_the_same_messages_store_each_once(self) -> None:
        messages = [
            envelope(f"org.example.dev.topic{n % 7}.x", certificate=f"certificate {n % 5}")
            for n in range(400)
        ]
        counts = []

        def write(batch: list[Any]) -> None:
            for start in range(0, len(batch), 50):
                counts.append(add_all(batch[start : start + 50]))  # noqa: PERF401

        writers = [
            threading.Thread(target=write, args=[batch]) for batch in (messages, messages[::-1])
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sum(count.stored for count in counts) == 400
        assert sum(count.duplicates for count in counts) == 400
        assert session.query(Message).count() == 400
        assert sum(topic.messages for topic in session.query(Topic)) == 400
        assert session.query(Certificate).count() == 5


@pytest.mark.parametrize("error", ["deadlock_detected", "serialization_failure"])
class TestAnotherWriterInTheWay:
    """A rule of the database stands for the other writer."""

    def test_makes_a_batch_be_tried_again(self, archive: str, error: str) -> None:
        refuse(archive, error, times=2)
        assert add_all([envelope(), envelope()]).stored == 2
        assert len(stored_bodies()) == 2

    def test_for_ever_is_told(self, archive: str, error: str) -> None:
        refuse(archive, error, times=1000)
        with pytest.raises(psycopg2.OperationalError, match="in the way"):
            add_all([envelope()])
        assert not stored_bodies()


def refuse(url: str, error: str, times: int) -> None:
    """Let the database refuse messages so many times with that error."""
    execute(
        url,
        "CREATE SEQUENCE tries; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF nextval('tries') <= {times} THEN RAISE {error} USING MESSAGE = 'in the way'; "
        "END IF; RETURN NULL; END $$; "
        "CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH STATEMENT "
        "EXECUTE FUNCTION refuse()",
    )


@pytest.mark.usefixtures("archive")
class TestIdentity:
    def test_a_message_without_an_id_is_found_again_by_its_content(self) -> None:
        sent = without(envelope(), "msg_id")
        assert add(sent).stored == 1
        assert add(sent).duplicates == 1
        assert session.query(Message).one().msg_id.startswith("2013-")

    def test_a_message_without_id_and_timestamp_is_a_new_one_each_time(self) -> None:
        sent = without(envelope(), "msg_id", "timestamp")
        assert add_all([sent, sent]).stored == 2

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"message-id": "ID:1"}, "ID:1"),
            ({"message-id": "ID:changes", "amqp-message-id": "stays"}, "stays"),
        ],
    )
    def test_the_headers_may_have_the_id(self, headers: dict[str, str], expected: str) -> None:
        add({**without(envelope(), "msg_id"), "headers": headers})
        stored = session.query(Message).one()
        assert (stored.msg_id, stored.headers) == (expected, headers)

    def test_without_a_timestamp_it_is_now(self) -> None:
        add(without(envelope(), "timestamp"))
        stored = session.query(Message).one()
        assert stored.stored_at is not None
        assert abs((stored.stored_at - stored.timestamp).total_seconds()) < 60


@pytest.mark.usefixtures("archive")
class TestRejects:
    @pytest.mark.parametrize(
        ("sent", "kind", "reason"),
        [
            (None, "invalid", "envelope"),
            ("text", "invalid", "envelope"),
            ([], "invalid", "envelope"),
            ({}, "invalid", "body"),
            ({"topic": "t", "body": "text"}, "invalid", "body is text"),
            ({"body": {"msg": {}}}, "invalid", "topic"),
            (envelope(topic=""), "invalid", "topic"),
            (envelope(msg=float("nan")), "invalid", "msg"),
            (envelope(msg={"a": [float("inf")]}), "invalid", "msg"),
            (envelope(unknown=float("nan")), "invalid", "body"),
            (envelope(topic="org.example\0"), "invalid", "topic holds a NUL"),
            (envelope(username="nul\0"), "invalid", "username holds a NUL"),
            (envelope(topic="org.\ud800"), "invalid", "surrogate"),
            (envelope(timestamp=1344350850886), "invalid", "milliseconds"),
            (envelope(timestamp=1_830_000_000_000), "invalid", "1970 to 9999"),
            (envelope(timestamp=-1), "invalid", "1970 to 9999"),
            (envelope(timestamp=float("inf")), "invalid", "1970 to 9999"),
            (envelope(timestamp="2013-02-18"), "invalid", "timestamp is text"),
            (envelope(timestamp=True), "invalid", "timestamp is a boolean"),
            (envelope(i=2**63), "invalid", "64 bits"),
            (envelope(topic="t" * 1025), "too large", "topic is 1025 bytes"),
            (envelope(msg_id="ü" * 513), "too large", "msg_id is 1026 bytes"),
            (envelope(msg=DEEP), "too large", "nests deeper"),
            (envelope(unknown=DEEP), "too large", "nests deeper"),
            (envelope(headers=DEEP), "too large", "nests deeper"),
            (envelope(msg=nested(501)), "too large", "msg nests deeper than 500 levels"),
            (envelope(headers={"a": nested(500)}), "too large", "headers nests deeper"),
            (envelope(msg=10**5000), "invalid", "msg"),
            (envelope(msg=b"\xff\x00"), "invalid", "bytes"),
            (envelope(msg={(1, 2): 3}), "invalid", "keys"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_cannot_be_stored_is_kept_with_a_reason(
        self, sent: Any, kind: str, reason: str
    ) -> None:
        good = envelope()
        assert add_all([sent, good]) == (1, 0, 1)
        (rejected,) = rejects()
        assert rejected.kind == kind
        assert reason in rejected.reason
        assert len(rejected.raw) > 1
        assert same(stored_bodies(), [good["body"]])

    def test_a_reject_that_came_as_often_as_can_be_counted_keeps_nothing_out(
        self, archive: str
    ) -> None:
        bad = envelope(topic="")
        add(bad)
        execute(archive, "UPDATE rejected SET seen = 2147483646")
        assert add_all([bad, bad, envelope()]) == (1, 0, 2)
        session.rollback()
        assert [rejected.seen for rejected in rejects()] == [2147483647]

    def test_the_same_reject_again_raises_seen(self) -> None:
        sent = envelope(i=2**63)
        add_all([sent, sent])
        add(sent)
        assert [rejected.seen for rejected in rejects()] == [3]

    def test_raw_holds_all_that_came(self) -> None:
        sent = envelope(timestamp=1344350850886, msg={"nul": "\0", "half": "\ud800"})
        add(sent)
        assert same(json.loads(rejects()[0].raw), sent)

    def test_raw_holds_any_depth(self) -> None:
        add(envelope(msg=DEEP, msg_id="2013-deep"))
        (rejected,) = rejects()
        assert rejected.msg_id == "2013-deep"
        assert rejected.raw.count(b'{"deeper": ') == 5000

    def test_bytes_that_are_not_utf8_can_be_read_back(self) -> None:
        add(envelope(msg=["in a list", (b"{\xff",)]))
        text = json.loads(rejects()[0].raw)["body"]["msg"][1][0]
        assert text.encode("utf-8", "surrogateescape") == b"{\xff"


@pytest.mark.usefixtures("archive")
class TestTheClassicAPI:
    def test_a_message_has_the_classic_attributes(self) -> None:
        add(
            envelope(
                "org.fedoraproject.prod.bodhi.update.comment",
                msg_id="2013-x",
                i=7,
                msg={"a": 1},
                timestamp=1361166918.5,
                certificate="cert",
                signature="sig",
                crypto="x509",
                source_name="datanommer",
                source_version="0.6",
            )
        )
        stored = Message.from_msg_id("2013-x")
        assert stored is not None
        assert stored is Message.query.filter_by(msg_id="2013-x").first()
        assert stored.timestamp == datetime(2013, 2, 18, 5, 55, 18, 500000)  # noqa: DTZ001
        assert (stored.i, stored.category, stored.certificate) == (7, "bodhi", "cert")
        assert stored.headers == {}
        assert stored.__json__() == {
            "i": 7,
            "msg_id": "2013-x",
            "topic": "org.fedoraproject.prod.bodhi.update.comment",
            "timestamp": 1361166918.5,
            "certificate": "cert",
            "signature": "sig",
            "username": "apache",
            "crypto": "x509",
            "msg": {"a": 1},
            "headers": {},
            "source_name": "datanommer",
            "source_version": "0.6",
        }

    @pytest.mark.parametrize(
        ("topic", "category"),
        [
            ("org.fedoraproject.prod.bodhi.update.comment", "bodhi"),
            ("/topic/VirtualTopic.eng.brew.build.complete", "brew"),
            ("org.example.short", "Unclassified"),
            ("org.example.dev..empty", "Unclassified"),
        ],
    )
    def test_the_category_is_a_part_of_the_topic(self, topic: str, category: str) -> None:
        add(envelope(topic))
        assert session.query(Message).one().category == category

    def test_no_message_with_that_id_is_none(self) -> None:
        assert Message.from_msg_id("2013-not-there") is None


@pytest.mark.usefixtures("archive")
def test_a_batch_has_a_limit() -> None:
    with pytest.raises(ValueError, match="10,000"):
        add_all([envelope()] * 10_001)
    assert session.query(Message).count() == 0


def test_an_archive_that_began_small_is_not_read_whole_to_store_more(archive: str) -> None:
    def sent(number: int) -> dict[str, Any]:
        return envelope(headers={f"fedora_messaging_user_{number}": True})

    # PostgreSQL plans for the small tables that it has now.
    for number in range(20):
        add(sent(number))
    add_all([sent(number) for number in range(500)])

    def statistics() -> tuple[int, int]:
        ((inserted, read),) = execute(
            archive,
            "SELECT n_tup_ins, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'messages'",
        )
        return inserted, read

    # A connection hands its statistics over when it ends, at the latest.
    bound_engine().dispose()
    eventually(lambda: statistics()[0] == 520, "the statistics")
    assert statistics()[1] < 2_000


def test_the_face_hands_on_what_clients_use() -> None:
    for name in datanommer.models.__all__:
        assert getattr(datanommer.models, name) is not None


@pytest.mark.usefixtures("archive")
class TestWhatThisVersionDidNotForesee:
    """A rule of the database that we do not know stands for anything that it may refuse."""

    @pytest.mark.parametrize("size", [1, 7, 300])
    def test_a_refused_row_is_found_and_the_others_are_stored(self, size: int) -> None:
        with bound_engine().begin() as connection:
            connection.exec_driver_sql("ALTER TABLE messages ADD CHECK (username <> 'poison')")
        batch = [envelope() for _ in range(size)]
        poison = [envelope(username="poison"), envelope(username="poison")]
        mixed = [poison[0], *batch, poison[1]]
        assert add_all(mixed) == (size, 0, 2)
        kept = {rejected.msg_id: rejected for rejected in rejects()}
        for sent in poison:
            rejected = kept.pop(sent["body"]["msg_id"])
            assert "messages_username_check" in rejected.reason
            assert json.loads(rejected.raw)["body"] == sent["body"]
        assert not kept
        assert len(stored_bodies()) == size
