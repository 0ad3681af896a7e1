"""``datanommer-load`` and the other forms in which people keep messages."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from copies import SENT, copies, hear, records
from datanommer.commands.input import json_stream
from datanommer.models import Message, add, add_all, session
from envelopes import BODHI_TOPIC, envelope, given
from orm import Rejected
from shell import Run, peak_memory, script

NEW_LINE = "\n"
NOTHING = "stored 0, duplicates 0, rejected 0\n"
CLASSIC = (
    *("id", "msg_id", "i", "topic", "timestamp", "certificate", "signature", "category"),
    *("username", "crypto", "source_name", "source_version", "msg", "headers"),
)
#: The columns of Fedora's daily dumps.
FEDORA = tuple("agent_name" if name == "username" else name for name in CLASSIC)


def answer(messages: Sequence[Any]) -> dict[str, Any]:
    """An answer of datagrepper."""
    return {
        "arguments": {"categories": [], "contains": ['a"b'], "delta": 600.0, "start": 1361166918.0},
        "count": len(messages),
        "pages": 1,
        "raw_messages": messages,
        "total": len(messages),
    }


def table(columns: Iterable[str] = FEDORA) -> str:
    """The messages as the table of another archive, in CSV."""
    rows = [dict.fromkeys((*CLASSIC, "agent_name"), "") | _cells(each) for each in copies()]
    return written([columns, *([row[name] for name in columns] for row in rows)])


def _cells(message: dict[str, Any]) -> dict[str, str]:
    cells = {key: value for key, value in message.items() if value is not None}
    sent = datetime.fromtimestamp(message["timestamp"], UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    by = cells.get("username", "")
    cells.update(msg=json.dumps(message["msg"]), headers=json.dumps(message["headers"]))
    return {**cells, "_msg": cells["msg"], "timestamp": sent, "agent_name": by, "id": "7"}


def written(rows: Iterable[Iterable[str]]) -> str:
    output = io.StringIO()
    csv.writer(output).writerows(rows)
    return output.getvalue()


def stored(number: int, rejected: int = 0) -> str:
    return f"stored {number}, duplicates 0, rejected {rejected}\n"


@pytest.fixture
def original(second_database: str, run: Run) -> list[dict[str, Any]]:
    """The records of an archive that heard the messages on the bus."""
    return hear(run, second_database)


@pytest.fixture
def load(archive: str, tmp_path: Path) -> Callable[[bytes | str], subprocess.CompletedProcess[str]]:
    """Loads a file with this content."""

    def load(content: bytes | str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "some file"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        command = [script("datanommer-load"), "--url", archive, str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return load


Load = Callable[[bytes | str], "subprocess.CompletedProcess[str]"]


class TestAnAnswerOfDatagrepper:
    @pytest.mark.parametrize(
        "write",
        [
            lambda answers: "".join(map(json.dumps, answers)),
            lambda answers: "\n".join(map(json.dumps, answers)),
            json.dumps,
            lambda answers: json.dumps(answers, indent=2),
            lambda answers: "\ufeff" + ",".join(json.dumps(each, indent=4) for each in answers),
            lambda answers: "".join(json.dumps(dict(reversed(each.items()))) for each in answers),
            lambda answers: "".join(json.dumps({"more": 1, **each}) for each in answers),
            lambda answers: "".join(json.dumps({"more": 1, **each}) + "\n" for each in answers),
            lambda answers: gzip.compress(json.dumps(answers).encode()),
        ],
    )
    def test_becomes_what_was_sent(
        self,
        archive: str,
        run: Run,
        load: Load,
        original: list[dict[str, Any]],
        write: Callable[[Any], Any],
    ) -> None:
        answers = [answer(copies()[:3]), answer([]), answer(copies()[3:])]
        assert load(write([answers[0], answers[2]])).stdout == stored(7)
        assert load(write(answers)).stdout == "stored 0, duplicates 7, rejected 0\n"
        assert records(run, archive) == original

    def test_counts_as_a_duplicate_of_what_was_sent(self, archive: str, load: Load) -> None:
        assert add_all(SENT).stored == 7
        before = [each.body for each in session.query(Message).order_by(Message.id)]
        session.remove()
        result = load(json.dumps(answer(copies())))
        assert (result.returncode, result.stdout) == (0, "stored 0, duplicates 7, rejected 0\n")
        assert [each.body for each in session.query(Message).order_by(Message.id)] == before

    def test_of_the_newer_line_has_other_names(self, archive: str, load: Load) -> None:
        newer = [
            {key: value for key, value in each.items() if key != "username"} for each in copies()
        ]
        by = [each["username"] or "somebody" for each in copies()]
        named = [
            {
                **each,
                "agent_name": name,
                "category": "demo",
                "id": 7,
                "users": [],
                "packages": ["x"],
            }
            for each, name in zip(newer, by, strict=True)
        ]
        assert load(json.dumps(answer(named))).stdout == stored(7)
        found = {each.msg_id: each for each in session.query(Message)}
        for sent in SENT:
            assert found[sent["body"]["msg_id"]].body == sent["body"]
        of_amqp = found[SENT[5]["body"]["msg_id"]]
        assert (of_amqp.username, of_amqp.agent) == (None, "somebody")
        assert found["2013-plain"].agent is None

    def test_has_its_users_and_packages_taken_as_they_are(
        self, archive: str, run: Run, load: Load
    ) -> None:
        bodhi = next(each for each in copies() if each["topic"] == BODHI_TOPIC)
        named = {**bodhi, "msg_id": "2013-named", "users": ["lmacken"], "packages": []}
        load(json.dumps(answer([bodhi, named])))
        found = {each.msg_id: each for each in session.query(Message)}
        assert [each.name for each in found["2013-bodhi"].users] == ["ralph"]
        assert [each.name for each in found["2013-named"].users] == ["lmacken"]
        assert [each.name for each in found["2013-named"].packages] == []

    def test_that_is_cut_off_is_loaded_as_far_as_it_goes(self, load: Load) -> None:
        text = json.dumps(answer(copies()), indent=1)
        for end in (text.index('"total"'), text.rindex("]"), text.rindex("}")):
            result = load(text[:end])
            assert result.returncode == 1
            assert "stored" in result.stdout
            assert "cut off" in result.stderr
        assert result.stdout == "stored 0, duplicates 7, rejected 0\n"

    def test_has_what_is_no_message_rejected_alone(self, archive: str, load: Load) -> None:
        first, *rest = copies()
        text = json.dumps(answer([first, 5, {"a": 1}, "HERE", *rest]))
        deep = "[" * 3000 + "]" * 3000
        result = load(text.replace('"HERE"', f'{{"msg": {deep}}}'))
        assert (result.returncode, result.stdout) == (0, stored(7, rejected=3))
        assert f'{{"msg": {deep}}}' in {each.raw.decode() for each in session.query(Rejected)}

    def test_may_come_in_pieces_of_any_size(self) -> None:
        text = json.dumps([answer(copies()), answer([]), {"count": 5}, SENT[0]], indent=1).encode()
        expected = list(json_stream.read_values(iter([text]), "x"))
        assert len(expected) == 9
        for size in (1, 2, 3, 7, 50, 1000):
            pieces = (text[at : at + size] for at in range(0, len(text), size))
            assert list(json_stream.read_values(pieces, "x")) == expected

    def test_takes_no_more_memory_for_more_messages(self, archive: str, tmp_path: Path) -> None:
        peaks = []
        for number in (2_000, 20_000):
            message = [given(envelope(msg="x" * 1000)) for _ in range(number)]
            file = tmp_path / f"{number}.json"
            file.write_text(json.dumps(answer(message)))
            peaks.append(peak_memory("datanommer-load", "--url", archive, str(file)))
        assert peaks[1] < peaks[0] * 1.2


class TestATable:
    @pytest.mark.parametrize("columns", [FEDORA, CLASSIC, CLASSIC[::-1]])
    def test_becomes_what_was_sent(
        self,
        archive: str,
        run: Run,
        load: Load,
        original: list[dict[str, Any]],
        columns: tuple[str, ...],
    ) -> None:
        assert load(table(columns)).stdout == stored(7)
        assert records(run, archive) == original

    def test_may_have_the_names_of_the_classic_tables(self, archive: str, load: Load) -> None:
        columns = ["_msg" if name == "msg" else name for name in CLASSIC]
        assert load(table(columns)).stdout == stored(7)

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: gzip.compress(text.encode()),
            lambda text: "\ufeff" + text,
            lambda text: text.replace("\r\n", "\n").rstrip("\n"),
            lambda text: text + text.splitlines()[0] + "\n\n\n",
        ],
    )
    def test_is_found_out_by_its_content(
        self, load: Load, change: Callable[[str], bytes | str]
    ) -> None:
        assert load(change(table())).stdout == stored(7)

    @pytest.mark.parametrize(
        ("cell", "expected"),
        [
            ("2021-05-04 12:34:56", 1620131696),
            ("2021-05-04 12:34:56.25", 1620131696.25),
            ("2021-05-04 12:34:56.123456+00", 1620131696.123456),
            ("2021-05-04T14:34:56+02:00", 1620131696),
            ("1620131696.5", 1620131696.5),
        ],
    )
    def test_tells_times_in_utc(self, archive: str, load: Load, cell: str, expected: float) -> None:
        load(f"topic,msg,msg_id,timestamp\norg.x,{{}},2021-1,{cell}\n")
        (found,) = session.query(Message)
        assert repr(found.body["timestamp"]) == repr(expected)

    def test_may_have_line_breaks_and_long_cells(self, archive: str, load: Load) -> None:
        msg = {"text": "x" * 1_000_000}
        rows = [["org.x", json.dumps(msg, indent=2), "2021-1", "2021-05-04 12:34:56"]]
        load(written([["topic", "msg", "msg_id", "timestamp"], *rows]))
        (found,) = session.query(Message)
        assert found.msg == msg

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (b'org.x,"{""a"": ",2021-1,2021-05-04 12:34:56\n', "msg cannot be read as JSON"),
            (b"org.x,{},2021-1\n", "it has 3 cells, and the header 4"),
            (b"org.x,{},2021-1,soon\r\n", "timestamp is no time such as"),
            (b'org.x,"""\xff""",2021-1,2021-05-04 12:34:56\n', "it is not UTF-8"),
            (b'org.x,"{}"x,2021-1,2021-05-04 12:34:56\n', "it is not CSV"),
            (b"org.x," + b"[" * 9000 + b",2021-1,2021-05-04 12:34:56\n", "msg nests deeper"),
            (b"org.x," + b"9" * 9000 + b",2021-1,2021-05-04 12:34:56\n", "msg cannot be read"),
        ],
    )
    def test_that_has_a_row_that_cannot_be_read_keeps_its_text(
        self, archive: str, load: Load, row: bytes, reason: str
    ) -> None:
        good = b"org.x,{},2021-0,2021-05-04 12:34:56\n"
        result = load(b"topic,msg,msg_id,timestamp\n" + row + good)
        assert (result.returncode, result.stdout) == (0, stored(1, rejected=1))
        assert "datanommer-rejected list" in result.stderr
        rejected = session.query(Rejected).one()
        assert rejected.raw == row
        assert rejected.reason.startswith(reason)

    def test_that_is_cut_off_is_loaded_as_far_as_it_goes(self, load: Load) -> None:
        text = table()
        result = load(text[: text.rindex('"')])
        assert (result.returncode, result.stdout) == (1, stored(6))
        assert f"line {text.count(NEW_LINE)}: cut off in the middle of a row" in result.stderr
        packed = load(gzip.compress(text.encode())[:-20])
        assert packed.returncode == 1
        assert "cannot be read (Compressed file ended before" in packed.stderr

    @pytest.mark.parametrize(
        ("header", "missing"),
        [
            ("id,msg_id,topic,timestamp", "CSV without the column msg; it has id, msg_id, topic,"),
            ("name,age", "CSV without the column topic and the column msg; it has name, age"),
            ("id\tmsg", "TSV without the column topic; it has id, msg"),
        ],
    )
    def test_that_lacks_a_column_is_refused(self, load: Load, header: str, missing: str) -> None:
        result = load(f"{header}\n1,2\n")
        assert (result.returncode, result.stdout) == (1, NOTHING)
        assert f"some file, line 1: it is {missing}" in result.stderr

    def test_of_a_dump_may_lack_columns(self, archive: str, run: Run, load: Load) -> None:
        add_all(SENT)
        options = ["--format", "csv", "--fields", "id,topic,msg,msg_id,timestamp,headers"]
        shown = run("datanommer-dump", "--url", archive, *options).stdout
        assert load(shown).stdout == "stored 0, duplicates 7, rejected 0\n"

    def test_takes_no_more_memory_for_more_messages(self, archive: str, tmp_path: Path) -> None:
        peaks = []
        for number in (2_000, 20_000):
            rows = [["org.x", json.dumps("x" * 1000), f"2021-{n}", "7"] for n in range(number)]
            file = tmp_path / f"{number}.csv"
            file.write_text(written([["topic", "msg", "msg_id", "timestamp"], *rows]))
            peaks.append(peak_memory("datanommer-load", "--url", archive, str(file)))
        assert peaks[1] < peaks[0] * 1.2


NO_MESSAGES = {
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a page": b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n",
    "a log": b"2013-02-18 05:55:18 INFO all is well\n",
    "a packed script": gzip.compress(b"# a script"),
    "a damaged package": b"\x1f\x8b broken",
    "an error": b'{"error": "no such page"}',
    "other JSON": b'{"name": "x", "version": 1}\n{"name": "y", "version": 2}\n',
    "numbers": b"1 2 3",
    "broken rows": b"topic,msg\norg.x,{\norg.y,}\n",
}
EMPTY = {
    "file": b"",
    "line": b" \n",
    "list": b"[]",
    "table": b"topic,msg\r\n",
    "answer": json.dumps(answer([])).encode(),
    "package": gzip.compress(b""),
}


class TestAFile:
    @pytest.mark.parametrize("content", NO_MESSAGES.values(), ids=NO_MESSAGES)
    def test_without_a_message_is_a_failure(self, load: Load, content: bytes) -> None:
        result = load(content)
        assert result.returncode == 1
        assert result.stdout.startswith("stored 0, duplicates 0, rejected ")
        told = result.stderr.splitlines()[-1]
        assert told.startswith("Error: No message can be made out in ")
        assert "some file" in told
        assert "datanommer-load reads JSON" in told

    @pytest.mark.parametrize("content", EMPTY.values(), ids=EMPTY)
    def test_that_is_empty_is_none(self, load: Load, content: bytes) -> None:
        result = load(content)
        assert (result.returncode, result.stdout, result.stderr) == (0, NOTHING, "")

    def test_with_a_message_that_is_rejected_is_a_success(self, archive: str, load: Load) -> None:
        add(envelope(msg_id="2013-1"))
        result = load(json.dumps(envelope(msg_id="2013-1", msg="other")))
        assert (result.returncode, result.stdout) == (0, stored(0, rejected=1))


def test_datanommer_validate_reads_these_forms_too(run: Run) -> None:
    topic = "org.fedoraproject.prod.logging.stats.sync.start"
    message = envelope(topic, msg={"host": "log01", "run_id": "42"})
    for text in (
        json.dumps(answer([given(message)])),
        written([["topic", "msg"], [topic, json.dumps(message["body"]["msg"])]]),
    ):
        assert f"{topic}: valid 1" in run("datanommer-validate", "-", input=text).stdout
