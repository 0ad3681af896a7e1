"""``datanommer-dump`` writes every message; ``datanommer-load`` takes it back, and other forms."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pty
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from classic import execute
from datanommer.models import Message, add, add_all, init, session
from datanommer.models.database.binding import bound_engine
from datanommer.models.exchange.dump import dump
from datanommer.models.filtering.filters import Filters
from envelopes import BODHI_MSG, BODHI_TOPIC, HARD, envelope, line
from orm import Rejected
from shell import Run, into_head, peak_memory, script

AT_ONCE = 5  # seconds
CLASSIC_KEYS = {
    "i",
    "msg_id",
    "topic",
    "timestamp",
    "certificate",
    "signature",
    "username",
    "crypto",
    "msg",
    "headers",
    "source_name",
    "source_version",
}
UP_TO_MARCH = ("--before", "2013-02")


@pytest.fixture
def full(archive: str) -> str:
    """The URL of a database with one of everything that is hard to carry."""
    assert add_all(HARD).stored == len(HARD)
    return archive


def dumped(run: Run, url: str, *options: str) -> Any:
    return json.loads(run("datanommer-dump", "--url", url, *options).stdout)


def all_bodies() -> list[str]:
    """The JSON of all bodies, by id, which tells 1 from 1.0."""
    messages = session.query(Message).order_by(Message.msg_id)
    bodies = [json.dumps(message.body, sort_keys=True) for message in messages]
    session.remove()
    return bodies


class TestDump:
    def test_writes_one_json_list_of_all_messages(self, full: str, run: Run) -> None:
        records = dumped(run, full)
        assert len(records) == len(HARD)
        for record in records:
            assert CLASSIC_KEYS | {"users", "packages"} <= set(record)
            assert list(record)[:2] == ["topic", "msg"]

    def test_is_ordered_by_time_and_then_by_arrival(self, full: str, run: Run) -> None:
        ids = [record["msg_id"] for record in dumped(run, full)]
        assert ids.index("2013-plain") < ids.index("2013-tie-1")
        assert ids.index("2013-tie-1") + 1 == ids.index("2013-tie-0")

    def test_shows_timestamps_in_the_form_sent(self, full: str, run: Run) -> None:
        shown = {record["msg_id"]: record["timestamp"] for record in dumped(run, full)}
        for sent in HARD:
            timestamp, msg_id = sent["body"].get("timestamp"), sent["body"].get("msg_id")
            if timestamp is not None:
                assert repr(shown[msg_id]) == repr(timestamp)

    def test_shows_signatures_as_they_were_sent(self, full: str, run: Run) -> None:
        shown = {record["msg_id"]: record["signature"] for record in dumped(run, full)}
        for sent in HARD:
            if "signature" in sent["body"]:
                assert shown[sent["body"]["msg_id"]] == sent["body"]["signature"]

    def test_shows_the_users_of_a_message(self, full: str, run: Run) -> None:
        (record,) = dumped(run, full, "--category", "bodhi")
        assert record["users"] == ["ralph"]
        assert record["packages"] == ["xmonad"]

    def test_of_nothing_is_an_empty_list(self, archive: str, run: Run) -> None:
        assert dumped(run, archive) == []
        assert run("datanommer-dump", "--url", archive, "--format", "ndjson").stdout == ""

    def test_ndjson_is_one_object_a_line(self, full: str, run: Run) -> None:
        lines = run("datanommer-dump", "--url", full, "--format", "ndjson").stdout.splitlines()
        assert [json.loads(line) for line in lines] == dumped(run, full)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--since", "2013-02-18T05:55:19", *UP_TO_MARCH], ["2013-tie-1", "2013-tie-0"]),
            (["--since", "2013-02-18T06:55:19+01:00", *UP_TO_MARCH], ["2013-tie-1", "2013-tie-0"]),
            (["--before", "1999-12-31"], []),
            (["--topic", "org.fedoraproject.prod.bodhi.update.comment"], ["2013-signed"]),
            (["--category", "bodhi"], ["2013-signed"]),
            (["--category", "bodhi", "--topic", "org.example.other"], []),
        ],
    )
    def test_narrows(self, full: str, run: Run, options: list[str], expected: list[str]) -> None:
        records = dumped(run, full, *options)
        assert [record["msg_id"] for record in records] == expected

    def test_since_and_before_are_inclusive(self, full: str, run: Run) -> None:
        moment = "2013-02-18 05:55:19"
        records = dumped(run, full, "--since", moment, "--before", moment)
        assert [record["msg_id"] for record in records] == ["2013-tie-1", "2013-tie-0"]

    def test_the_zone_of_the_machine_changes_nothing(
        self, full: str, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = dumped(run, full, "--since", "2013-02-18T05:55:19")
        monkeypatch.setenv("TZ", "America/New_York")
        monkeypatch.setenv("PGTZ", "Asia/Tokyo")
        assert dumped(run, full, "--since", "2013-02-18T05:55:19") == expected

    def test_a_bad_date_is_a_usage_error(self, archive: str, run: Run) -> None:
        result = run("datanommer-dump", "--url", archive, "--since", "garbage")
        assert result.returncode == 2
        assert "'garbage' is not a time" in result.stderr
        assert result.stdout == ""

    @pytest.fixture
    def large(self, archive: str) -> str:
        """A dump of all of it takes 20 s: 4,000 messages of 2 MB, which PostgreSQL compresses."""
        columns = "i, timestamp, topic, category, msg"
        add(envelope(msg="x" * 2_000_000))
        execute(
            archive,
            f"INSERT INTO messages (msg_id, {columns}) "
            f"SELECT 'copy-' || n, {columns} FROM messages, generate_series(1, 4000) n",
        )
        return archive

    def test_a_reader_who_has_enough_ends_it_at_once(self, large: str) -> None:
        result = into_head(f"{script('datanommer-dump')} --url '{large}'", timeout=AT_ONCE)
        assert (result.returncode, result.stderr) == (0, "")

    def test_a_full_disk_ends_it_at_once(self, large: str) -> None:
        command = [script("datanommer-dump"), "--url", large]
        with Path("/dev/full").open("w") as full_disk:
            result = subprocess.run(command, stdout=full_disk, timeout=AT_ONCE, check=False)
        assert result.returncode == 74

    def test_a_program_whose_output_fails_gets_its_error_at_once(self, large: str) -> None:
        class Full:
            def write(self, data: bytes, /) -> None:
                if data:
                    raise OSError(errno.ENOSPC, "No space left on device")

        began = time.monotonic()
        with pytest.raises(OSError, match="No space"):
            dump(bound_engine(), Full(), Filters())
        assert time.monotonic() - began < AT_ONCE
        assert execute(large, "SELECT count(*) FROM messages") == [(4001,)]

    def test_a_closed_pipe_ends_it_quietly(self, archive: str) -> None:
        add_all([envelope(msg="x" * 10_000) for _ in range(200)])
        command = f"{script('datanommer-dump')} --url '{archive}' --format ndjson | head -n 1"
        result = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0
        assert result.stderr == ""
        assert json.loads(result.stdout)["msg"].startswith("xxx")

    @pytest.mark.parametrize("messages", [1, 200])
    def test_a_full_disk_is_one_line_and_74(self, archive: str, messages: int) -> None:
        add_all([envelope(msg="x" * 10_000) for _ in range(messages)])
        with Path("/dev/full").open("w") as full_disk:
            result = subprocess.run(
                [script("datanommer-dump"), "--url", archive],
                stdout=full_disk,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert result.returncode == 74
        assert result.stderr.count("\n") == 1
        assert "No space left on device" in result.stderr


class TestRoundTrip:
    @pytest.mark.parametrize("form", ["json", "ndjson", "csv", "tsv"])
    def test_a_dump_of_a_loaded_dump_is_the_same_to_the_byte(
        self, full: str, second_database: str, run: Run, tmp_path: Path, form: str
    ) -> None:
        bodies = all_bodies()
        first = tmp_path / "first"
        first.write_text(run("datanommer-dump", "--url", full, "--format", form).stdout)
        result = run("datanommer-load", "--url", second_database, str(first))
        assert result.stdout == f"stored {len(HARD)}, duplicates 0, rejected 0\n"
        second = run("datanommer-dump", "--url", second_database, "--format", form).stdout
        assert second == first.read_text()
        init(second_database)
        assert all_bodies() == bodies

    def test_users_and_packages_are_taken_as_given(
        self, full: str, second_database: str, run: Run
    ) -> None:
        (record,) = dumped(run, full, "--category", "bodhi")
        record.update(users=["someone else"], packages=[])
        run("datanommer-load", "--url", second_database, input=json.dumps(record))
        (loaded,) = dumped(run, second_database)
        assert (loaded["users"], loaded["packages"]) == (["someone else"], [])


class TestLoad:
    def test_a_load_can_be_repeated(self, full: str, run: Run) -> None:
        dump = run("datanommer-dump", "--url", full).stdout
        result = run("datanommer-load", "--url", full, input=dump)
        assert result.stdout == f"stored 0, duplicates {len(HARD)}, rejected 0\n"

    def test_a_dump_may_be_packed(self, full: str, run: Run, tmp_path: Path) -> None:
        dump = run("datanommer-dump", "--url", full).stdout
        file = tmp_path / "dump.json.gz"
        file.write_bytes(gzip.compress(dump.encode()))
        expected = f"stored 0, duplicates {len(HARD)}, rejected 0\n"
        assert run("datanommer-load", "--url", full, str(file)).stdout == expected
        with file.open("rb") as packed:
            assert run("datanommer-load", "--url", full, stdin=packed).stdout == expected
        file.write_bytes(file.read_bytes()[:-20])
        result = run("datanommer-load", "--url", full, str(file))
        assert result.returncode == 1
        assert "cannot be read (Compressed file ended before" in result.stderr

    def test_says_that_it_reads_from_the_terminal(self, archive: str) -> None:
        leader, follower = pty.openpty()
        with subprocess.Popen(
            [script("datanommer-load"), "--url", archive],
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.close(follower)
            assert process.stderr
            assert process.stdout
            assert process.stderr.readline() == "Reading from the terminal; Ctrl-D ends it.\n"
            os.write(leader, json.dumps(envelope()).encode() + b"\n\x04")
            assert process.stdout.read() == "stored 1, duplicates 0, rejected 0\n"
        os.close(leader)

    def test_a_classic_record_gets_its_users_from_the_processors(
        self, archive: str, run: Run
    ) -> None:
        record = {
            **dict.fromkeys(CLASSIC_KEYS),
            "topic": BODHI_TOPIC,
            "msg": BODHI_MSG,
            "msg_id": "2013-x",
            "timestamp": 1361166918.0,
            "i": 1,
            "headers": {},
        }
        run("datanommer-load", "--url", archive, input=json.dumps([record]))
        assert dumped(run, archive)[0]["users"] == ["ralph"]

    @pytest.mark.parametrize("separator", ["\n", "", " ", "\n\n", ",\n"])
    def test_envelopes_one_after_another(self, archive: str, run: Run, separator: str) -> None:
        sent = [envelope(), envelope(), envelope()]
        text = separator.join(json.dumps(message, indent=2) for message in sent)
        result = run("datanommer-load", "--url", archive, input=text)
        assert result.stdout == "stored 3, duplicates 0, rejected 0\n"
        bodies = [message.body for message in session.query(Message).order_by(Message.id)]
        assert bodies == [message["body"] for message in sent]

    def test_a_line_of_fedora_messaging(self, archive: str, run: Run) -> None:
        line = {
            "body": {"test_key1": "test_value1"},
            "headers": {
                "fedora_messaging_schema": "base.message",
                "fedora_messaging_severity": 20,
                "sent-at": "2021-07-21T12:23:12+00:00",
            },
            "id": "6f4dfec9-80d7-49e6-80e0-f2357b63422c",
            "queue": "this shouldn't matter",
            "topic": "org.fedoraproject.stg.logging.stats.test",
        }
        run("datanommer-load", "--url", archive, input=json.dumps(line))
        stored = Message.from_msg_id("2021-6f4dfec9-80d7-49e6-80e0-f2357b63422c")
        assert stored is not None
        assert stored.msg == line["body"]
        assert stored.headers == line["headers"]
        assert stored.timestamp.isoformat() == "2021-07-21T12:23:12"
        assert stored.category == "logging"

    def test_an_envelope_with_headers_of_any_kind(self, archive: str, run: Run) -> None:
        sent = {**envelope(), "headers": {"sent-at": "2021-07-21T12:23:12+00:00"}}
        run("datanommer-load", "--url", archive, input=json.dumps(sent))
        assert [message.body for message in session.query(Message)] == [sent["body"]]

    @pytest.mark.parametrize("left_out", [("id", "queue"), ("id", "queue", "headers")])
    def test_a_line_of_fedora_messaging_that_says_no_more_than_it_must(
        self, archive: str, run: Run, left_out: tuple[str, ...]
    ) -> None:
        sent = {key: value for key, value in line().items() if key not in left_out}
        run("datanommer-load", "--url", archive, input=json.dumps(sent))
        (stored,) = session.query(Message)
        assert (stored.topic, stored.msg) == (sent["topic"], sent["body"])
        assert stored.headers == sent.get("headers", {})

    def test_several_files_and_more_than_a_batch(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        files = []
        for name in ("one", "two"):
            files.append(tmp_path / name)
            files[-1].write_text("\n".join(json.dumps(envelope()) for _ in range(1100)))
        result = run("datanommer-load", "--url", archive, *map(str, files))
        assert result.stdout == "stored 2200, duplicates 0, rejected 0\n"

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("this is no JSON", "line 2: not JSON"),
            ('{"topic": "t", "body": {"msg": ', "line 2: cut off"),
            ('{"topic": "t", "body": {"msg": "wör', "line 2: cut off"),
            ('{"topic": "t"\n, oops}', "line 3: not JSON"),
        ],
    )
    def test_what_stands_before_a_fault_is_loaded(
        self, archive: str, run: Run, text: str, complaint: str
    ) -> None:
        result = run(
            "datanommer-load", "--url", archive, input=json.dumps(envelope()) + "\n" + text
        )
        assert result.returncode == 1
        assert result.stdout == "stored 1, duplicates 0, rejected 0\n"
        assert complaint in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_list_that_is_cut_off_is_said_to_be(self, archive: str, run: Run) -> None:
        result = run("datanommer-load", "--url", archive, input=f"[{json.dumps(envelope())},\n")
        assert (result.returncode, result.stdout) == (1, "stored 1, duplicates 0, rejected 0\n")
        assert "cut off" in result.stderr

    def test_the_way_to_see_what_is_rejected_is_said(self, archive: str, run: Run) -> None:
        add(envelope())
        result = run("datanommer-load", "--url", archive, input=f"5 6 {json.dumps(envelope())}")
        assert (result.returncode, result.stdout) == (0, "stored 1, duplicates 0, rejected 2\n")
        told, command = result.stderr.rstrip("\n").split(": ")
        assert told == "To see what was rejected, and why, ask the same database"
        shown = run(*command.split(), "--url", archive)
        assert (shown.returncode, shown.stdout.count("\n")) == (0, 2)

    def test_what_is_not_utf8_is_said_to_be(self, archive: str) -> None:
        result = subprocess.run(
            [script("datanommer-load"), "--url", archive],
            input=json.dumps(envelope()).encode() + b"\n\xff",
            capture_output=True,
            check=False,
        )
        assert result.returncode == 1
        assert b"not UTF-8" in result.stderr

    def test_what_is_no_message_is_rejected_and_the_rest_loaded(
        self, archive: str, run: Run
    ) -> None:
        lines = [
            "5",
            '{"a": 1}',
            "[" * 2000 + "]" * 2000,
            '{"topic": "t", "body": {"msg": ' + "9" * 5000 + "}}",
            '{"topic": "t", "body": {"msg": NaN}}',
            json.dumps({**envelope()["body"], "extra": "odd"}),
            json.dumps(envelope()),
        ]
        result = run("datanommer-load", "--url", archive, input="[" + ",\n".join(lines) + "]")
        assert result.stdout == "stored 1, duplicates 0, rejected 6\n"
        assert result.returncode == 0
        raws = {rejected.raw.decode() for rejected in session.query(Rejected)}
        assert {lines[0], lines[1], lines[3]} < raws

    @pytest.mark.parametrize("unreadable", ["9" * 5001, "[" * 3000 + "]" * 3000])
    @pytest.mark.parametrize("indent", [None, 2])
    @pytest.mark.parametrize("is_list", [True, False])
    def test_what_cannot_be_read_is_rejected_whole_and_alone(
        self, archive: str, run: Run, unreadable: str, indent: int | None, is_list: bool
    ) -> None:
        tricky = ']}, \\ " {[ \n' + "x" * 2**20  # brackets that are none, and more than a chunk
        texts = [json.dumps(envelope(msg=["there", tricky]), indent=indent) for _ in range(4)]
        texts[1] = texts[1].replace('"there"', unreadable)
        together = f"[{', '.join(texts)}]" if is_list else " ".join(texts)
        result = run("datanommer-load", "--url", archive, input=together)
        assert result.stdout == "stored 3, duplicates 0, rejected 1\n"
        assert (result.returncode, result.stderr.count("\n")) == (0, 1)
        assert session.query(Rejected).one().raw.decode() == texts[1]

    def test_a_number_that_cannot_be_read_is_rejected_alone(self, archive: str, run: Run) -> None:
        text = f"[{'9' * 5001},{json.dumps(envelope())},{'8' * 5001}]"
        result = run("datanommer-load", "--url", archive, input=text)
        assert result.stdout == "stored 1, duplicates 0, rejected 2\n"
        raws = {rejected.raw.decode() for rejected in session.query(Rejected)}
        assert raws == {"9" * 5001, "8" * 5001}

    @pytest.mark.parametrize("end", ["", '"', "]}"])
    def test_a_line_that_cannot_be_read_and_is_cut_off_is_rejected_alone(
        self, archive: str, run: Run, end: str
    ) -> None:
        broken = '{"a":' * 3000 + end
        text = f"{broken}\r\n{json.dumps(envelope())}\n{broken}\n"
        result = run("datanommer-load", "--url", archive, input=text)
        assert result.stdout == "stored 1, duplicates 0, rejected 2\n"
        rejected = session.query(Rejected).one()
        assert (rejected.raw.decode(), rejected.seen) == (broken, 2)

    def test_an_element_that_cannot_be_read_and_is_cut_off_is_said_to_be(
        self, archive: str, run: Run
    ) -> None:
        text = f"[{json.dumps(envelope())},\n{'[' * 3000}"
        result = run("datanommer-load", "--url", archive, input=text)
        assert (result.returncode, result.stdout) == (1, "stored 1, duplicates 0, rejected 0\n")
        assert "line 2: cut off in the middle of a message" in result.stderr

    def test_a_missing_file_is_a_usage_error(self, archive: str, run: Run) -> None:
        result = run("datanommer-load", "--url", archive, "not-there.json")
        assert result.returncode == 2
        assert "not-there.json" in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_file_that_cannot_be_read_on_is_said_to_be(self, archive: str, run: Run) -> None:
        result = run("datanommer-load", "--url", archive, "/proc/self/mem")
        assert (result.returncode, result.stdout) == (1, "stored 0, duplicates 0, rejected 0\n")
        assert "/proc/self/mem, line 1: cannot be read (Input/output error)" in result.stderr
        assert "output cannot" not in result.stderr


class TestMemory:
    def test_a_dump_takes_no_more_for_more_messages(self, archive: str) -> None:
        add_all([envelope(msg="x" * 1000) for _ in range(1000)])
        with bound_engine().begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
                "SELECT msg_id || n, i, topic, category, timestamp, msg "
                "FROM messages, generate_series(1, 100) n"
            )
        assert peak_memory("datanommer-dump", "--url", archive) < 100_000

    def test_a_load_takes_no_more_for_more_messages(self, archive: str, tmp_path: Path) -> None:
        peaks = []
        for number in (2_000, 20_000):
            file = tmp_path / f"{number}.json"
            file.write_text("\n".join(json.dumps(envelope(msg="x" * 1000)) for _ in range(number)))
            peaks.append(peak_memory("datanommer-load", "--url", archive, str(file)))
        assert peaks[1] < peaks[0] * 1.2
