"""``datanommer-rejected``: what could not be stored, why, and another try."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from classic import execute
from datanommer.models import Counts, Message, add, add_all, session
from datanommer.models.database.binding import bound_engine
from datanommer.models.errors import KINDS
from datanommer.models.rejecting.retry import retry
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, without
from orm import Rejected
from shell import Run, script

NOT_TODAY = "refused by an older version"


def rejects() -> list[Rejected]:
    session.rollback()
    return session.query(Rejected).order_by(Rejected.id).all()


def stored(msg_id: str) -> Message:
    session.rollback()
    found = Message.from_msg_id(msg_id)
    assert found is not None
    return found


def refused_once(url: str, sent: Any, **columns: Any) -> int:
    """Keep something among the rejects that is stored today; its id."""
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    kept = {"kind": "invalid", "reason": NOT_TODAY, "raw": raw, "seen": 3, **columns}
    ((number,),) = execute(
        url,
        f"INSERT INTO rejected ({', '.join(kept)}, sha256) "
        f"VALUES ({', '.join(['%s'] * len(kept))}, sha256(%s)) RETURNING id",
        [*kept.values(), raw],
    )
    return int(number)


def one_of_each_kind(url: str) -> None:
    add_all([envelope(msg_id="2013-x", msg=1), envelope(msg_id="2013-x", msg=2)])
    add(envelope(msg_id="2013-invalid", i=2**63))
    add(envelope(topic="t" * 1025))
    refused_once(url, {"table": "users", "name": ""}, kind="classic")


class TestList:
    def lines(self, run: Run, url: str, *options: str) -> list[list[str]]:
        result = run("datanommer-rejected", "list", "--url", url, *options)
        assert (result.returncode, result.stderr) == (0, "")
        return [line.split("\t") for line in result.stdout.splitlines()]

    def test_prints_a_line_for_each_newest_first(self, archive: str, run: Run) -> None:
        one_of_each_kind(archive)
        lines = self.lines(run, archive)
        assert [line[2] for line in lines] == ["classic", "too large", "invalid", "conflict"]
        number, received, _, seen, msg_id, topic, reason = lines[2]
        (invalid,) = session.query(Rejected).filter_by(kind="invalid")
        assert (number, seen) == (str(invalid.id), "1")
        assert received == f"{invalid.received_at.isoformat(timespec='seconds')}Z"
        assert (msg_id, topic) == ("2013-invalid", "org.example.dev.demo.hello")
        assert reason == f"i is {2**63}, beyond 64 bits"
        assert lines[0][4:6] == ["-", "-"]

    @pytest.mark.parametrize("kind", KINDS)
    def test_of_one_kind(self, archive: str, run: Run, kind: str) -> None:
        one_of_each_kind(archive)
        assert [line[2] for line in self.lines(run, archive, "--kind", kind)] == [kind]

    def test_of_some_time(self, archive: str, run: Run) -> None:
        for year in (2014, 2013, 2015):
            refused_once(archive, envelope(), received_at=f"{year}-02-18 05:55:18+00")
        window = ["--since", "2013-02-18T05:55:18", "--before", "2014-02-18T06:55:18+01:00"]
        found = [line[1] for line in self.lines(run, archive, *window)]
        assert found == ["2014-02-18T05:55:18Z", "2013-02-18T05:55:18Z"]
        newest = self.lines(run, archive, "--limit", "1")
        assert [line[1] for line in newest] == ["2015-02-18T05:55:18Z"]

    def test_a_sender_can_neither_break_a_line_nor_command_a_terminal(
        self, archive: str, run: Run
    ) -> None:
        add(envelope(msg_id="2013-\n\t\x1b[2J\u202e", i=2**63))
        ((*_, msg_id, _, _),) = self.lines(run, archive)
        assert msg_id == "2013-\\n\\t\\x1b[2J\\u202e"

    @pytest.mark.parametrize(
        "options",
        [["--kind", "no such"], ["--limit", "x"], ["--limit", str(2**63)], ["--since", "x"]],
    )
    def test_what_cannot_be_is_a_usage_error(self, run: Run, options: list[str]) -> None:
        assert run("datanommer-rejected", "list", *options).returncode == 2


class TestShow:
    def test_prints_all_of_it(self, archive: str, run: Run) -> None:
        sent = envelope(msg_id="2013-invalid", i=2**63)
        add_all([sent, sent])
        (kept,) = rejects()
        shown = run("datanommer-rejected", "show", "--url", archive, str(kept.id)).stdout
        facts = dict(line.split(maxsplit=1) for line in shown.splitlines())
        assert facts["kind:"] == "invalid"
        assert facts["seen:"] == "2"
        assert facts["msg_id:"] == "2013-invalid"
        assert facts["reason:"] == kept.reason
        assert json.loads(facts["raw:"]) == sent

    def test_raw_is_what_was_received_to_the_byte(self, archive: str, run: Run) -> None:
        raw = bytes(range(256)) + b"\r\n"
        number = refused_once(archive, raw)
        command = [script("datanommer-rejected"), "show", "--url", archive, "--raw", str(number)]
        assert subprocess.check_output(command) == raw
        readable = run("datanommer-rejected", "show", "--url", archive, str(number)).stdout
        assert "\\x1b" in readable
        assert "\x1b" not in readable

    def test_of_one_that_is_not_there_says_so(self, archive: str, run: Run) -> None:
        result = run("datanommer-rejected", "show", "--url", archive, "678")
        assert (result.returncode, result.stdout) == (1, "")
        assert "no reject with the id 678" in result.stderr


class TestRetry:
    def retry(self, run: Run, url: str, *which: str) -> str:
        result = run("datanommer-rejected", "retry", "--url", url, *which)
        assert result.returncode == 0, result.stderr
        return str(result.stdout)

    def test_what_is_stored_now_is_a_reject_no_more(self, archive: str, run: Run) -> None:
        sent = envelope(BODHI_TOPIC, msg=BODHI_MSG, msg_id="2013-x", odd=[1.0, 1e22, "\0"])
        refused_once(archive, sent)
        assert self.retry(run, archive, "--all") == "stored 1, duplicates 0, still rejected 0\n"
        assert json.dumps(stored("2013-x").body, sort_keys=True) == json.dumps(
            sent["body"], sort_keys=True
        )
        assert [user.name for user in stored("2013-x").users] == ["ralph"]
        assert rejects() == []

    def test_so_is_what_turns_out_to_be_a_duplicate(self, archive: str, run: Run) -> None:
        sent = envelope()
        add(sent)
        refused_once(archive, sent)
        assert self.retry(run, archive, "--all") == "stored 0, duplicates 1, still rejected 0\n"
        assert rejects() == []

    def test_what_is_refused_again_stays_as_often_seen_with_the_reason_of_today(
        self, archive: str, run: Run
    ) -> None:
        refused_once(archive, envelope(i=2**63))
        for _ in range(2):
            shown = self.retry(run, archive, "--all")
            assert shown == "stored 0, duplicates 0, still rejected 1\n"
        (kept,) = rejects()
        assert (kept.seen, kept.kind) == (3, "invalid")
        assert kept.reason == f"i is {2**63}, beyond 64 bits"

    def test_every_reject_there_can_be_stays_what_it_is(self, archive: str, run: Run) -> None:
        deep: dict[str, Any] = {}
        for _ in range(5000):
            deep = {"deeper": deep}
        circle: dict[str, Any] = {}
        circle["again"] = circle
        bad: list[Any] = [
            None,
            [],
            b"not JSON \xff",
            envelope(msg=float("nan")),
            envelope(msg={"bytes": b"\xff"}),
            envelope(msg=10**5000),
            envelope(i=10**5000),
            envelope(msg=circle),
            envelope(msg=deep),
            envelope(topic="nul\0"),
            envelope(timestamp=1344350850886),
            without(envelope(topic=""), "msg_id"),
        ]
        add_all(bad)
        before = [(kept.id, kept.kind, kept.reason, kept.seen) for kept in rejects()]
        assert self.retry(run, archive, "--all") == "stored 0, duplicates 0, still rejected 12\n"
        assert [(kept.id, kept.kind, kept.reason, kept.seen) for kept in rejects()] == before

    def test_a_conflict_stays_a_conflict(self, archive: str, run: Run) -> None:
        add_all([envelope(msg_id="2013-x", msg=1), envelope(msg_id="2013-x", msg=2)])
        assert self.retry(run, archive, "--all") == "stored 0, duplicates 0, still rejected 1\n"
        assert [(kept.kind, kept.seen) for kept in rejects()] == [("conflict", 1)]
        assert stored("2013-x").msg == 1

    def test_a_conflict_is_stored_when_what_it_conflicted_with_is_gone(
        self, archive: str, run: Run
    ) -> None:
        add_all([envelope(msg_id="2013-x", msg=1), envelope(msg_id="2013-x", msg=2)])
        execute(archive, "DELETE FROM messages")
        assert self.retry(run, archive, "--all") == "stored 1, duplicates 0, still rejected 0\n"
        assert stored("2013-x").msg == 2

    @pytest.mark.parametrize(
        "beside",
        [
            {"headers": {"sent-at": "2023-01-01T00:00:00+00:00", "fedora_messaging_severity": 20}},
            {"id": "1", "queue": "a", "priority": 4},
        ],
    )
    def test_an_envelope_is_stored_as_it_came_whatever_is_beside_its_body(
        self, archive: str, run: Run, beside: dict[str, Any]
    ) -> None:
        sent = {**envelope(msg_id="2013-x", msg=2), **beside}
        add_all([envelope(msg_id="2013-x", msg=1), sent])
        execute(archive, "DELETE FROM messages")
        assert self.retry(run, archive, "--all") == "stored 1, duplicates 0, still rejected 0\n"
        assert stored("2013-x").body == sent["body"]

    def test_of_two_that_conflict_with_each_other_the_first_is_stored(
        self, archive: str, run: Run
    ) -> None:
        for msg in (1, 2):
            refused_once(archive, envelope(msg_id="2013-x", msg=msg))
        assert self.retry(run, archive, "--all") == "stored 1, duplicates 0, still rejected 1\n"
        assert stored("2013-x").msg == 1
        assert [(kept.kind, kept.seen) for kept in rejects()] == [("conflict", 3)]

    def test_what_the_database_refuses_stays_and_the_rest_is_stored(
        self, archive: str, run: Run
    ) -> None:
        execute(archive, "ALTER TABLE messages ADD CHECK (i <> 678)")
        for i in (1, 678, 2):
            refused_once(archive, envelope(i=i))
        assert self.retry(run, archive, "--all") == "stored 2, duplicates 0, still rejected 1\n"
        (kept,) = rejects()
        assert "PostgreSQL refused it" in kept.reason
        assert kept.seen == 3

    def test_a_message_without_a_time_is_of_the_time_when_it_came(
        self, archive: str, run: Run
    ) -> None:
        sent = without(envelope(msg_id="2013-x"), "timestamp")
        refused_once(archive, sent, received_at="2013-02-18 05:55:18+00")
        self.retry(run, archive, "--all")
        assert stored("2013-x").timestamp.isoformat() == "2013-02-18T05:55:18"
        assert stored("2013-x").body == sent["body"]

    def test_a_record_of_a_dump_keeps_its_users(self, archive: str, run: Run) -> None:
        record = {**envelope(msg_id="2013-x")["body"], "users": ["lmacken"], "packages": []}
        refused_once(archive, record)
        self.retry(run, archive, "--all")
        assert [user.name for user in stored("2013-x").users] == ["lmacken"]

    def test_only_those_that_are_named(self, archive: str, run: Run) -> None:
        numbers = [str(refused_once(archive, envelope())) for _ in range(3)]
        shown = self.retry(run, archive, *numbers[:2])
        assert shown == "stored 2, duplicates 0, still rejected 0\n"
        assert [str(kept.id) for kept in rejects()] == numbers[2:]

    def test_only_those_of_a_kind(self, archive: str, run: Run) -> None:
        refused_once(archive, envelope(), kind="too large")
        refused_once(archive, envelope())
        shown = self.retry(run, archive, "--kind", "too large")
        assert shown == "stored 1, duplicates 0, still rejected 0\n"

    def test_classic_rows_are_kept_and_it_says_so(self, archive: str, run: Run) -> None:
        refused_once(archive, {"table": "users", "name": ""}, kind="classic")
        refused_once(archive, envelope())
        result = run("datanommer-rejected", "retry", "--url", archive, "--all")
        assert result.stdout == "stored 1, duplicates 0, still rejected 1\n"
        assert "Not tried: 1 of kind classic" in result.stderr
        assert [(kept.kind, kept.reason) for kept in rejects()] == [("classic", NOT_TODAY)]

    def test_many_go_in_several_batches(self, archive: str, run: Run) -> None:
        raw = [json.dumps(envelope()) for _ in range(2500)]
        execute(
            archive,
            "INSERT INTO rejected (kind, reason, raw, sha256) SELECT 'invalid', '', "
            "convert_to(raw, 'UTF8'), sha256(convert_to(raw, 'UTF8')) FROM unnest(%s) AS raw",
            [raw],
        )
        shown = self.retry(run, archive, "--all")
        assert shown == "stored 2500, duplicates 0, still rejected 0\n"
        assert rejects() == []

    def test_two_at_a_time_store_each_once(self, archive: str) -> None:
        for _ in range(200):
            refused_once(archive, envelope())
        counts: list[Counts] = []

        def try_again() -> None:
            counts.extend(retry(bound_engine()))

        threads = [threading.Thread(target=try_again) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(count.stored for count in counts) == 200
        assert session.query(Message).count() == 200
        assert rejects() == []

    def test_an_id_that_is_not_there_is_an_error_before_any_is_tried(
        self, archive: str, run: Run
    ) -> None:
        number = refused_once(archive, envelope())
        result = run("datanommer-rejected", "retry", "--url", archive, str(number), "678")
        assert (result.returncode, result.stdout) == (1, "")
        assert "no reject with the id 678" in result.stderr
        assert len(rejects()) == 1

    @pytest.mark.parametrize("which", [[], ["1", "--all"], ["--all", "--kind", "invalid"], ["x"]])
    def test_which_ones_must_be_said_in_one_way(
        self, archive: str, run: Run, which: list[str]
    ) -> None:
        result = run("datanommer-rejected", "retry", "--url", archive, *which)
        assert result.returncode == 2


class TestExport:
    def test_writes_what_was_received_and_why(self, archive: str, run: Run) -> None:
        one_of_each_kind(archive)
        result = run("datanommer-rejected", "export", "--url", archive)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        kept = rejects()
        assert [line["rejected"]["id"] for line in lines] == [each.id for each in kept]
        assert [line["rejected"]["reason"] for line in lines] == [each.reason for each in kept]
        assert [line["raw"] for line in lines] == [json.loads(each.raw) for each in kept]
        only = run("datanommer-rejected", "export", "--url", archive, "--kind", "invalid").stdout
        assert json.loads(only)["raw"]["body"]["msg_id"] == "2013-invalid"

    def test_can_be_mended_and_loaded(self, archive: str, run: Run, tmp_path: Path) -> None:
        add(envelope(msg_id="2013-x", timestamp=1344350850886))
        file = tmp_path / "rejected.json"
        exported = json.loads(run("datanommer-rejected", "export", "--url", archive).stdout)
        exported["raw"]["body"]["timestamp"] = 1344350850
        file.write_text(json.dumps(exported))
        loaded = run("datanommer-load", "--url", archive, str(file))
        assert loaded.stdout == "stored 1, duplicates 0, rejected 0\n"
        assert stored("2013-x").body["timestamp"] == 1344350850
        assert stored("2013-x").extra is None

    def test_loaded_as_it_is_comes_again_as_the_same_reject(self, archive: str, run: Run) -> None:
        add_all([envelope(i=2**63), envelope(msg=float("nan"))])
        exported = run("datanommer-rejected", "export", "--url", archive).stdout
        loaded = run("datanommer-load", "--url", archive, input=exported)
        assert loaded.stdout == "stored 0, duplicates 0, rejected 2\n"
        assert [kept.seen for kept in rejects()] == [2, 2]

    def test_what_is_no_json_is_text(self, archive: str, run: Run) -> None:
        refused_once(archive, b'{"cut": "off\xff\n')
        (line,) = run("datanommer-rejected", "export", "--url", archive).stdout.splitlines()
        text = json.loads(line)["raw"]
        assert text.encode("utf-8", "surrogateescape") == b'{"cut": "off\xff\n'
