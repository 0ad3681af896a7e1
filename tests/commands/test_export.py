"""``datanommer-export`` writes the archive as Parquet, and each message once, whatever happens."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from bus import eventually
from classic import execute
from databases import Databases
from datanommer.models import add_all, session
from datanommer.models.database.binding import bound_engine
from envelopes import HARD, envelope
from shell import Run, peak_memory, script

NEW_ID = "UPDATE archive SET id = gen_random_uuid()"


@pytest.fixture
def full(archive: str) -> str:
    """The URL of a database with one of everything that is hard to carry."""
    assert add_all(HARD).stored == len(HARD)
    return archive


def export(run: Run, url: str, folder: Path, *options: str) -> str:
    made = run("datanommer-export", "--url", url, *options, str(folder))
    assert (made.returncode, made.stderr) == (0, "")
    return str(made.stdout)


def said(messages: int, files: int, known: int = 0) -> str:
    return f"messages {messages}, files {files}, in the data set already {known}\n"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in files_of(folder) for row in pq.read_table(path).to_pylist()]


def files_of(folder: Path) -> list[Path]:
    return sorted((folder / "messages").rglob("*.parquet"))


def manifest(folder: Path) -> Any:
    return json.loads((folder / "dataset.json").read_text())


def test_a_dump_of_what_was_exported_and_loaded_is_the_same_to_the_byte(
    full: str, second_database: str, run: Run, tmp_path: Path
) -> None:
    export(run, full, tmp_path / "d")
    loaded = run("datanommer-load", "--url", second_database, str(tmp_path / "d"))
    assert loaded.stdout == f"stored {len(HARD)}, duplicates 0, rejected 0\n"
    dumps = [run("datanommer-dump", "--url", url).stdout for url in (full, second_database)]
    assert dumps[0] == dumps[1]
    assert len(json.loads(dumps[0])) == len(HARD)


def test_the_columns_have_the_types_that_others_rely_on(
    full: str, run: Run, tmp_path: Path
) -> None:
    export(run, full, tmp_path)
    moment, names = pa.timestamp("us", "UTC"), pa.list_(pa.string())
    schema = pq.read_schema(files_of(tmp_path)[0])
    assert {field.name: field.type for field in schema} == {
        "id": pa.int64(),
        "i": pa.int64(),
        "timestamp": moment,
        "stored_at": moment,
        **dict.fromkeys(("msg_id", "topic", "category", "username", "agent"), pa.string()),
        **dict.fromkeys(("msg", "headers", "extra", "crypto"), pa.string()),
        "users": names,
        "packages": names,
        "signature": pa.binary(),
        **dict.fromkeys(("source_name", "source_version"), pa.string()),
        "certificate": pa.dictionary(pa.int32(), pa.string()),
    }


def test_what_arrives_later_is_appended(archive: str, run: Run, tmp_path: Path) -> None:
    add_all([envelope() for _ in range(3)])
    assert export(run, archive, tmp_path) == said(3, 1)
    assert export(run, archive, tmp_path) == said(0, 0)
    add_all([envelope() for _ in range(2)])
    assert export(run, archive, tmp_path) == said(2, 1)
    assert len(rows(tmp_path)) == 5


def test_files_lie_by_the_month_of_their_messages_in_utc(
    archive: str, run: Run, tmp_path: Path
) -> None:
    add_all([envelope(timestamp=each) for each in (0, 1361166918, 1362095999.999999, 1362096000)])
    add_all([envelope(timestamp=253402300799.5)])
    export(run, archive, tmp_path)
    months = [path.parent.relative_to(tmp_path / "messages") for path in files_of(tmp_path)]
    assert list(map(str, months)) == [
        *("year=1970/month=01", "year=2013/month=02", "year=2013/month=03", "year=9999/month=12")
    ]


def test_their_names_have_the_archive_and_the_ids(archive: str, run: Run, tmp_path: Path) -> None:
    add_all([envelope() for _ in range(3)])
    export(run, archive, tmp_path)
    ((uuid,),) = execute(archive, "SELECT id::text FROM archive")
    (path,) = files_of(tmp_path)
    assert path.name == f"{uuid}_1-3.parquet"


def test_another_archive_is_refused(
    archive: str, second_database: str, run: Run, tmp_path: Path
) -> None:
    export(run, archive, tmp_path)
    execute(second_database, NEW_ID)
    assert "Name another folder for this one" in refused(run, second_database, tmp_path)


def test_an_archive_that_has_lost_its_id_is_refused(archive: str, run: Run, tmp_path: Path) -> None:
    execute(archive, "DELETE FROM archive")
    assert "has lost its id" in refused(run, archive, tmp_path)


def refused(run: Run, url: str, folder: Path, *options: str) -> str:
    made = run("datanommer-export", "--url", url, *options, str(folder))
    assert (made.returncode, made.stdout) == (1, "")
    assert "Traceback" not in made.stderr
    return str(made.stderr)


class TestOnce:
    """A message is appended once, whatever becomes of the archive."""

    def test_after_a_prune_a_message_that_comes_again_is_known(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        sent = [envelope() for _ in range(3)]
        add_all(sent)
        export(run, archive, tmp_path)
        execute(archive, "DELETE FROM messages")
        add_all([sent[1], envelope()])
        assert export(run, archive, tmp_path) == said(1, 1, known=1)
        assert export(run, archive, tmp_path) == said(0, 0)
        assert len({row["msg_id"] for row in rows(tmp_path)}) == len(rows(tmp_path)) == 4

    def test_after_a_load_of_itself_all_are_known(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add_all([envelope(timestamp=each) for each in (1361166918, 1392702918)])
        export(run, archive, tmp_path)
        execute(archive, "DELETE FROM messages")
        run("datanommer-load", "--url", archive, str(tmp_path))
        assert export(run, archive, tmp_path) == said(0, 0, known=2)

    def test_after_a_restore_ids_that_are_given_out_again_are_not_missed(
        self,
        archive: str,
        databases_of_server: Databases,
        run: Run,
        tmp_path: Path,
    ) -> None:
        add_all([envelope() for _ in range(3)])
        session.remove()
        bound_engine().dispose()
        backup = databases_of_server.create(template=sa.make_url(archive).database)
        restored = databases_of_server.url(backup)
        try:
            add_all([envelope() for _ in range(2)])
            export(run, archive, tmp_path)
            assert export(run, restored, tmp_path) == said(0, 0, known=3)
            messages = [json.dumps(envelope()) for _ in range(3)]
            run("datanommer-load", "--url", restored, input="".join(messages))
            assert export(run, restored, tmp_path) == said(3, 1)
        finally:
            databases_of_server.drop(backup)
        assert [row["id"] for row in rows(tmp_path)].count(5) == 2
        assert len({row["msg_id"] for row in rows(tmp_path)}) == 8

    def test_after_a_restore_that_has_gone_past_the_last_id_none_is_missed(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add_all([envelope() for _ in range(3)])
        export(run, archive, tmp_path)
        # As a backup would be that was made after the first, and has had others since.
        execute(archive, "DELETE FROM messages WHERE id > 1")
        execute(archive, "ALTER TABLE messages ALTER id RESTART WITH 2")
        add_all([envelope() for _ in range(4)])
        assert export(run, archive, tmp_path) == said(4, 1, known=1)

    def test_what_is_being_written_at_the_time_is_waited_for(
        self, archive: str, tmp_path: Path
    ) -> None:
        with psycopg2.connect(archive) as writer, writer.cursor() as cursor:
            cursor.execute(INSERT.format(1))
            execute(archive, INSERT.format(2))
            process = subprocess.Popen(
                [script("datanommer-export"), "--url", archive, str(tmp_path)],
                stdout=subprocess.PIPE,
                text=True,
            )
            eventually(lambda: execute(archive, LOOKS_FOR_WRITERS), "the export to wait")
            writer.commit()
            told, _ = process.communicate()
        writer.close()
        assert told == said(2, 1)


INSERT = (
    "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
    "VALUES ('2013-{0}', 0, 't{0}', 'c', '2013-02-18', '1')"
)
LOOKS_FOR_WRITERS = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
    "AND query LIKE '%FROM pg_locks%' AND pid <> pg_backend_pid()"
)


class TestExtracts:
    def test_the_filters_of_the_first_run_hold_for_all(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        topics = ("org.example.dev.bodhi.a", "org.example.dev.bodhi.b", "org.example.dev.koji.a")
        add_all([envelope(topic) for topic in topics])
        options = ("--topic", "bodhi.*", "--since", "2013-02-18", "--before", "2013")
        assert export(run, archive, tmp_path, *options) == said(2, 1)
        add_all([envelope(topic) for topic in topics])
        add_all([envelope("org.example.dev.bodhi.c", timestamp=1400000000)])
        assert export(run, archive, tmp_path) == said(2, 1)
        add_all([envelope("org.example.dev.bodhi.new")])
        assert export(run, archive, tmp_path, *options) == said(1, 1)
        assert manifest(tmp_path)["filters"] == {
            "since": "2013-02-18T00:00:00+00:00",
            "before": "2013-12-31T23:59:59.999999+00:00",
            "topics": ["bodhi.*"],
        }

    def test_others_are_refused(self, archive: str, run: Run, tmp_path: Path) -> None:
        add_all([envelope("org.example.dev.bodhi.a")])
        export(run, archive, tmp_path / "extract", "--category", "bodhi")
        export(run, archive, tmp_path / "whole")
        other = ("--category", "koji")
        assert '{"categories": ["bodhi"]}' in refused(run, archive, tmp_path / "extract", *other)
        assert "was begun with no filters" in refused(run, archive, tmp_path / "whole", *other)

    def test_a_name_that_no_message_has_is_told(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add_all([envelope("org.example.dev.bodhi.a")])
        made = run("datanommer-export", "--url", archive, "--category", "bodi", str(tmp_path))
        assert (made.returncode, made.stdout) == (0, said(0, 0))
        assert "Did you mean bodhi?" in made.stderr


def is_in_the_second(folder: Path) -> bool:
    """Whether one file is complete, and another one is being written."""
    return bool(files_of(folder) and list(folder.rglob("*.parquet.tmp")))


class TestBrokenRuns:
    def test_leave_complete_files_which_the_next_run_takes_in(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add_all([envelope(), envelope(timestamp=1392702918, certificate="c", crypto="x509")])
        command = [script("datanommer-export"), "--url", archive, str(tmp_path)]
        with psycopg2.connect(archive) as other, other.cursor() as cursor:
            cursor.execute("LOCK TABLE certificates IN ACCESS EXCLUSIVE MODE")
            with subprocess.Popen(command) as process:
                eventually(lambda: is_in_the_second(tmp_path), "a file to be begun")
                process.kill()
        other.close()
        (complete,) = files_of(tmp_path)
        checked = run("datanommer-export", "--check", str(tmp_path))
        assert checked.returncode == 1
        assert f"{complete}: unknown; it is complete" in checked.stdout
        assert ".parquet.tmp: half-written" in checked.stdout
        made = run("datanommer-export", "--url", archive, str(tmp_path))
        assert made.stdout == said(1, 1, known=1)
        assert made.stderr == "Complete files of a broken run, taken in: 1.\n"
        assert len(rows(tmp_path)) == 2
        assert list(tmp_path.rglob("*.tmp")) == []
        assert run("datanommer-export", "--check", str(tmp_path)).returncode == 0

    def test_may_be_killed_at_any_moment(self, archive: str, run: Run, tmp_path: Path) -> None:
        months = 24
        add_all([envelope(timestamp=1361166918 + each * 2_678_400) for each in range(months)])
        command = [script("datanommer-export"), "--url", archive, str(tmp_path)]
        for wanted in (1, 7, 13):
            with subprocess.Popen(command) as process:
                eventually(lambda: len(files_of(tmp_path)) >= wanted, "files")  # noqa: B023
                process.kill()
            for path in files_of(tmp_path):
                assert pq.read_table(path).num_rows == 1
        assert run("datanommer-export", "--url", archive, str(tmp_path)).returncode == 0
        assert len({row["msg_id"] for row in rows(tmp_path)}) == len(rows(tmp_path)) == months
        assert run("datanommer-export", "--check", str(tmp_path)).returncode == 0

    def test_two_at_once_are_too_many(self, archive: str, run: Run, tmp_path: Path) -> None:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert "Another process is using the data set" in refused(run, archive, tmp_path)
        os.close(descriptor)


class TestCheck:
    @pytest.fixture
    def folder(self, archive: str, run: Run, tmp_path: Path) -> Path:
        """A data set with a file for each of three months."""
        add_all([envelope(timestamp=each) for each in (1361166918, 1392702918, 1424238918)])
        export(run, archive, tmp_path)
        return tmp_path

    def check(self, run: Run, folder: Path) -> tuple[int, list[str]]:
        checked = run("datanommer-export", "--check", str(folder))
        assert checked.stderr == ""
        return checked.returncode, checked.stdout.splitlines()

    def test_all_is_well(self, folder: Path, run: Run) -> None:
        assert self.check(run, folder) == (0, ["messages 3, files 3, faults 0"])

    def test_names_what_is_damaged_missing_and_unknown(self, folder: Path, run: Run) -> None:
        damaged, cut, missing = files_of(folder)
        data = bytearray(damaged.read_bytes())
        data[100] ^= 1
        damaged.write_bytes(data)
        cut.write_bytes(cut.read_bytes()[:-100])
        missing.rename(missing.with_name("of-nobody.parquet"))
        own = missing.with_name("of-nobody.parquet")
        pq.write_table(pa.table({"id": [1]}), folder / "messages" / "foreign.parquet")
        code, lines = self.check(run, folder)
        assert code == 1
        assert lines[0].startswith(f"{damaged}: damaged: it has ")
        assert lines[1].startswith(f"{cut}: damaged: it cannot be read (")
        assert lines[2] == f"{missing}: missing"
        assert lines[3].startswith(f"{folder}/messages/foreign.parquet: unknown; it does not")
        assert lines[4].startswith(f"{own}: unknown; it is complete")
        assert lines[5:] == ["messages 3, files 5, faults 5"]

    def test_compares_the_counts_of_the_manifest(self, folder: Path, run: Run) -> None:
        path = folder / "dataset.json"
        path.write_text(path.read_text().replace('"messages": 1,', '"messages": 2,', 1))
        code, lines = self.check(run, folder)
        assert code == 1
        assert lines[0].endswith("damaged: it has 1 messages, and the manifest says 2")

    def test_an_export_does_not_go_on_without_a_file(
        self, archive: str, folder: Path, run: Run
    ) -> None:
        files_of(folder)[1].unlink()
        said = refused(run, archive, folder)
        assert "is missing" in said
        assert f"datanommer-export --rewrite 2014-02 {folder}" in said

    def test_a_foreign_file_is_refused(self, archive: str, folder: Path, run: Run) -> None:
        path = folder / "messages" / "year=2013" / "month=02" / "mine.parquet"
        pq.write_table(pa.table({"id": [1]}), path)
        assert f"{path} does not belong to this data set" in refused(run, archive, folder)

    def test_a_damaged_file_is_not_loaded(self, archive: str, folder: Path, run: Run) -> None:
        path = files_of(folder)[0]
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
        loaded = run("datanommer-load", "--url", archive, str(folder))
        assert loaded.returncode == 1
        assert f"{path} is damaged" in loaded.stderr
        assert "Traceback" not in loaded.stderr

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}'])
    def test_a_manifest_that_is_none_is_told(
        self, archive: str, folder: Path, run: Run, text: str
    ) -> None:
        (folder / "dataset.json").write_text(text)
        assert "is not a manifest" in refused(run, archive, folder)

    def test_a_folder_with_other_files_is_refused(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "holiday.jpg").touch()
        assert "Name an empty folder" in refused(run, archive, tmp_path)
        for command in (("datanommer-export", "--check"), ("datanommer-load", "--url", archive)):
            made = run(*command, str(tmp_path))
            assert made.returncode == 1
            assert "There is no data set" in made.stderr

    @pytest.mark.parametrize("options", [["--check", "--category", "c"], ["--rewrite", "2013"]])
    def test_what_makes_no_sense_is_a_usage_error(
        self, archive: str, run: Run, tmp_path: Path, options: list[str]
    ) -> None:
        made = run("datanommer-export", "--url", archive, *options, str(tmp_path))
        assert made.returncode == 2


class TestRewrite:
    @pytest.fixture
    def folder(self, archive: str, run: Run, tmp_path: Path) -> Path:
        """A data set with three messages in a month, and one in another."""
        signed = {"certificate": "c", "crypto": "x509", "signature": "c2ln\n"}
        add_all([envelope(msg_id=f"2013-{each}", **signed) for each in range(3)])
        add_all([envelope(timestamp=1392702918)])
        export(run, archive, tmp_path)
        return tmp_path

    def test_takes_what_is_in_the_archive_and_keeps_what_is_not(
        self, archive: str, folder: Path, run: Run
    ) -> None:
        before = files_of(folder)
        execute(archive, "UPDATE messages SET agent = 'ralph' WHERE id < 3")
        execute(archive, "DELETE FROM messages WHERE id = 2")
        assert export(run, archive, folder, "--rewrite", "2013-02") == said(2, 1, known=1)
        agents = {row["msg_id"]: row["agent"] for row in rows(folder) if row["id"] < 4}
        assert agents == {"2013-0": "ralph", "2013-1": None, "2013-2": None}
        assert {row["certificate"] for row in rows(folder) if row["id"] < 4} == {"c"}
        assert before[1] in files_of(folder)
        assert before[0] not in files_of(folder)
        assert run("datanommer-export", "--check", str(folder)).returncode == 0
        assert export(run, archive, folder) == said(0, 0)

    def test_leaves_a_month_alone_that_is_in_the_data_set_only(
        self, archive: str, folder: Path, run: Run
    ) -> None:
        before = [path.read_bytes() for path in files_of(folder)]
        execute(archive, "DELETE FROM messages")
        assert export(run, archive, folder, "--rewrite", "2013-02") == said(0, 0, known=3)
        assert [path.read_bytes() for path in files_of(folder)] == before

    def test_brings_back_what_was_in_a_missing_file(
        self, archive: str, folder: Path, run: Run
    ) -> None:
        files_of(folder)[0].unlink()
        assert export(run, archive, folder, "--rewrite", "2013-02") == said(3, 1)
        assert len(rows(folder)) == 4

    def test_refuses_a_damaged_file(self, archive: str, folder: Path, run: Run) -> None:
        path = files_of(folder)[0]
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
        assert "is damaged" in refused(run, archive, folder, "--rewrite", "2013-02")
        assert path.read_bytes() == data

    def test_one_that_was_killed_before_the_files_have_changed_places_is_finished(
        self, archive: str, folder: Path, run: Run
    ) -> None:
        (old, other), begun = files_of(folder), manifest(folder)
        data = old.read_bytes()
        execute(archive, "UPDATE messages SET agent = 'ralph'")
        export(run, archive, folder, "--rewrite", "2013-02")
        # As it was when all was on the disk, but nothing had its name.
        (new,) = {*files_of(folder)} - {other}
        new.rename(new.with_name(f".{new.name}.tmp"))
        old.write_bytes(data)
        entry = manifest(folder)["files"][-1]
        assert folder / entry["path"] == new
        begun["rewriting"] = {"old": [str(old.relative_to(folder))], "new": [entry]}
        (folder / "dataset.json").write_text(json.dumps(begun))
        checked = run("datanommer-export", "--check", str(folder))
        assert (checked.returncode, "being rewritten" in checked.stdout) == (1, True)
        assert export(run, archive, folder) == said(0, 0)
        assert files_of(folder) == sorted([new, other])
        assert run("datanommer-export", "--check", str(folder)).returncode == 0


class TestTheWayBack:
    def test_a_span_of_time_can_be_loaded(
        self, archive: str, second_database: str, run: Run, tmp_path: Path
    ) -> None:
        moments = (1361166918, 1361166919, 1392702918, 1424238918)
        add_all([envelope(timestamp=each) for each in moments])
        export(run, archive, tmp_path)
        span = ("--since", "2013-02-18T05:55:19", "--before", "2014-02")
        loaded = run("datanommer-load", "--url", second_database, *span, str(tmp_path))
        assert loaded.stdout == "stored 2, duplicates 0, rejected 0\n"

    def test_times_are_for_data_sets_alone(self, archive: str, run: Run) -> None:
        loaded = run("datanommer-load", "--url", archive, "--since", "2013", input="[]")
        assert loaded.returncode == 2
        assert "Name its folder" in loaded.stderr


def test_a_setting_in_the_url_holds_for_both_connections(
    full: str, run: Run, tmp_path: Path
) -> None:
    execute(full, "CREATE SCHEMA elsewhere")
    tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = "
    for (name,) in execute(full, f"{tables} 'public'::regnamespace"):
        execute(full, f"ALTER TABLE {name} SET SCHEMA elsewhere")
    options = {"options": "-c search_path=elsewhere,\\ public"}
    url = sa.make_url(full).update_query_dict(options).render_as_string(hide_password=False)
    assert export(run, url, tmp_path).startswith(f"messages {len(HARD)}, ")


def test_memory_holds_a_few_times_the_largest_message(archive: str, tmp_path: Path) -> None:
    megabytes = 60
    execute(
        archive,
        "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
        f"SELECT '2013-' || n, 0, 't', 'c', '2013-02-18', to_json(repeat('x', {megabytes}000000)) "
        "FROM generate_series(1, 4) n",
    )
    peak = peak_memory("datanommer-export", "--url", archive, str(tmp_path))
    assert peak < 400_000 + 5 * megabytes * 1000
    assert [len(row["msg"]) for row in rows(tmp_path)] == [megabytes * 1_000_000 + 2] * 4
