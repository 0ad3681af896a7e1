"""``datanommer-prune`` deletes what a data set has just as it is, and nothing else."""

from __future__ import annotations

import json
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from classic import execute
from datanommer.models import add_all, session
from envelopes import BODHI_MSG, BODHI_TOPIC, HARD, envelope
from halfway import Halfway
from roles import Roles
from shell import Run, script

COUNTED = "SELECT (SELECT count(*) FROM messages), (SELECT sum(messages) FROM topics)"
# Who deletes the message of this id waits until the test lets go of the lock.


def told(deleted: int, different: int = 0, *, dry_run: bool = False) -> str:
    return f"{'would be deleted' if dry_run else 'deleted'} {deleted}, different {different}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data set"


Prune = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def prune(run: Run, archive: str, folder: Path) -> Prune:
    """Prunes the archive of what the data set has, by default all of it."""

    def prune(*options: str, before: str = "9999", url: str = archive) -> Any:
        where = ("--url", url, "--exported", str(folder), "--before", before)
        return run("datanommer-prune", *where, *(options or ["--yes"]))

    return prune


@pytest.fixture
def export(run: Run, archive: str, folder: Path) -> Callable[..., None]:
    """Exports the archive into the data set."""

    def export(*options: str, url: str = archive) -> None:
        made = run("datanommer-export", "--url", url, *options, str(folder))
        assert (made.returncode, made.stderr) == (0, "")

    return export


def hear(messages: list[dict[str, Any]]) -> None:
    assert add_all(messages).stored == len(messages)
    session.remove()


def dump(run: Run, url: str) -> str:
    return str(run("datanommer-dump", "--url", url).stdout)


def ids(run: Run, url: str) -> list[str]:
    return [record["msg_id"] for record in json.loads(dump(run, url))]


def file_of(folder: Path) -> Path:
    (path,) = (folder / "messages").rglob("*.parquet")
    return path


def test_what_is_pruned_and_loaded_again_is_the_same_to_the_byte(
    archive: str, run: Run, prune: Prune, export: Callable[..., None], folder: Path
) -> None:
    hear(HARD)
    original = dump(run, archive)
    export()
    result = prune()
    assert (result.returncode, result.stdout, result.stderr) == (0, told(len(HARD)), "")
    assert execute(archive, COUNTED) == [(0, None)]
    tables = ("certificates", "users", "packages", "user_messages", "package_messages")
    for table in tables:
        assert execute(archive, f"SELECT count(*) FROM {table}") == [(0,)], table
    run("datanommer-load", "--url", archive, str(folder))
    assert dump(run, archive) == original


def test_only_what_was_sent_up_to_the_time_goes(
    archive: str, run: Run, prune: Prune, export: Callable[..., None]
) -> None:
    sent = {"2013-02": 1361166918, "2013-02-end": 1362095999, "2013-03": 1362096000}
    hear([envelope(msg_id=msg_id, timestamp=moment) for msg_id, moment in sent.items()])
    export()
    assert prune(before="2013-02-27").stdout == told(1)
    assert prune(before="2013-02").stdout == told(1)
    assert ids(run, archive) == ["2013-03"]


def test_what_is_not_in_the_data_set_stays(
    archive: str, run: Run, prune: Prune, export: Callable[..., None]
) -> None:
    hear([envelope(msg_id="2013-exported")])
    export()
    hear([envelope(msg_id="2013-later"), envelope(msg_id="2013-other")])
    assert prune().stdout == told(1)
    assert sorted(ids(run, archive)) == ["2013-later", "2013-other"]


def test_what_names_still_need_stays(
    archive: str, prune: Prune, export: Callable[..., None]
) -> None:
    signed = {"certificate": "LS0t\nLS0=\n", "crypto": "x509", "signature": "c2ln\n"}
    hear([envelope(BODHI_TOPIC, msg_id="2013-old", msg=BODHI_MSG, timestamp=1361166918, **signed)])
    hear([envelope(BODHI_TOPIC, msg_id="2013-new", msg=BODHI_MSG, timestamp=1369166918, **signed)])
    export()
    assert prune(before="2013-03").stdout == told(1)
    for table in ("certificates", "users", "packages"):
        assert execute(archive, f"SELECT count(*) > 0 FROM {table}") == [(True,)], table


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE messages SET msg = '{\"b\": 1.0}'",
        "UPDATE messages SET agent = 'somebody'",
        "UPDATE messages SET timestamp = timestamp + interval '1 second'",
        "UPDATE messages SET signature = 'abc'",
        "UPDATE messages SET extra = '{}'",
        "UPDATE messages SET certificate_id = NULL",
        "DELETE FROM user_messages WHERE ctid IN (SELECT ctid FROM user_messages LIMIT 1)",
        "UPDATE package_messages SET name = (SELECT min(name) FROM packages)",
    ],
)
def test_what_differs_stays_until_its_month_is_written_anew(
    archive: str,
    run: Run,
    prune: Prune,
    export: Callable[..., None],
    folder: Path,
    change: str,
) -> None:
    signed = {"certificate": "LS0t\nLS0=\n", "crypto": "x509", "signature": "c2ln\n"}
    hear([envelope(BODHI_TOPIC, msg=BODHI_MSG, **signed)])
    execute(archive, "INSERT INTO packages VALUES ('aaa')")
    export()
    execute(archive, change)
    before = dump(run, archive)
    result = prune()
    assert (result.returncode, result.stdout) == (0, told(0, different=1))
    assert "1 stay" in result.stderr
    assert dump(run, archive) == before
    words = result.stderr.partition("datanommer-export ")[2].split(maxsplit=2)
    assert run("datanommer-export", "--url", archive, *words[:2], str(folder)).returncode == 0
    assert prune().stdout == told(1)


def test_a_dry_run_deletes_nothing(
    archive: str, run: Run, prune: Prune, export: Callable[..., None]
) -> None:
    hear([envelope(msg_id="2013-a"), envelope(msg_id="2013-b")])
    export()
    execute(archive, "UPDATE messages SET i = 7 WHERE msg_id = '2013-b'")
    assert prune("--dry-run").stdout == told(1, different=1, dry_run=True)
    assert ids(run, archive) == ["2013-a", "2013-b"]


@pytest.mark.parametrize("answer", ["y", "n"])
def test_it_asks_on_a_terminal(
    archive: str, run: Run, export: Callable[..., None], folder: Path, answer: str
) -> None:
    hear([envelope()])
    export()
    leader, follower = pty.openpty()
    command = [script("datanommer-prune"), "--url", archive, "--exported", str(folder)]
    with (
        open(leader, "wb", buffering=0) as typed,  # noqa: PTH123  it has no path
        subprocess.Popen(
            [*command, "--before", "2013"], stdin=follower, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        typed.write(f"{answer}\n".encode())
        _, stderr = process.communicate(timeout=60)
    assert "sent up to 2013-12-31T23:59:59.999999Z that are in" in stderr
    assert len(ids(run, archive)) == (0 if answer == "y" else 1)
    assert process.returncode == (0 if answer == "y" else 1)


def test_where_nobody_can_answer_it_deletes_nothing(
    archive: str, run: Run, export: Callable[..., None], folder: Path
) -> None:
    hear([envelope()])
    export()
    command = ("datanommer-prune", "--url", archive, "--exported", str(folder))
    result = run(*command, "--before", "2013", stdin=subprocess.DEVNULL)
    assert result.returncode == 2
    assert "Add --yes" in result.stderr
    assert len(ids(run, archive)) == 1


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def forge(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.slice(1), path)


def rename(path: Path) -> None:
    path.rename(path.with_name(f".{path.name}.tmp"))


@pytest.mark.parametrize("fault", [damage, cut, forge, Path.unlink, rename])
def test_a_file_that_is_not_whole_costs_no_message(
    archive: str,
    run: Run,
    prune: Prune,
    export: Callable[..., None],
    folder: Path,
    fault: Callable[[Path], None],
) -> None:
    hear([envelope(msg_id=f"2013-{number}") for number in range(3)])
    export()
    fault(file_of(folder))
    result = prune()
    assert (result.returncode, result.stdout) == (1, told(0))
    assert "datanommer-export --rewrite 2013-02" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(ids(run, archive)) == 3


def test_the_data_set_of_another_archive_costs_no_message(
    archive: str,
    second_database: str,
    run: Run,
    prune: Prune,
    export: Callable[..., None],
) -> None:
    hear([envelope(msg_id="2013-same")])
    execute(second_database, "UPDATE archive SET id = gen_random_uuid()")
    loaded = dump(run, archive)
    run("datanommer-load", "--url", second_database, input=loaded)
    export(url=second_database)
    result = prune()
    assert (result.returncode, result.stdout) == (1, told(0))
    assert "holds the archive" in result.stderr
    assert ids(run, archive) == ["2013-same"]


def test_a_folder_that_is_no_data_set_is_told(
    archive: str, run: Run, prune: Prune, folder: Path
) -> None:
    hear([envelope()])
    folder.mkdir()
    result = prune()
    assert result.returncode == 1
    assert "There is no data set in" in result.stderr
    assert len(ids(run, archive)) == 1


def test_a_prune_that_is_broken_off_leaves_nothing_half_gone_and_goes_on(
    archive: str, prune: Prune, export: Callable[..., None], folder: Path
) -> None:
    hear([envelope(BODHI_TOPIC, msg=BODHI_MSG) for _ in range(700)])
    export()
    command = [script("datanommer-prune"), "--url", archive, "--exported", str(folder)]
    with (
        Halfway(archive, "DELETE ON messages", "OLD.id = 600") as second_batch,
        subprocess.Popen(
            [*command, "--before", "2013", "--yes"], stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        second_batch.wait()
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, told(500))
    assert execute(archive, COUNTED) == [(200, 200)]
    orphans = "SELECT count(*) FROM user_messages WHERE msg NOT IN (SELECT id FROM messages)"
    assert execute(archive, orphans) == [(0,)]
    assert prune().stdout == told(200)


def test_what_comes_again_after_a_prune_is_stored_and_not_exported_twice(
    archive: str, run: Run, prune: Prune, export: Callable[..., None], folder: Path
) -> None:
    messages = [envelope(msg_id=f"2013-{number}") for number in range(3)]
    hear(messages)
    export()
    prune()
    hear(messages[:2])
    assert len(ids(run, archive)) == 2
    export()
    assert pq.read_table(file_of(folder), partitioning=None).num_rows == 3
    assert prune().stdout == told(2)


def test_whoever_stores_what_a_prune_takes_away_stores_it_again(archive: str) -> None:
    signed = {"certificate": "LS0t\nLS0=\n", "crypto": "x509", "signature": "c2ln\n"}
    hear([envelope(**signed)])
    execute(archive, "DELETE FROM messages")
    with (
        Halfway(archive, "INSERT ON messages", "NEW.id = 2") as message,
        subprocess.Popen(
            [script("datanommer-load"), "--url", archive],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin
        process.stdin.write(json.dumps(envelope(**signed)))
        process.stdin.close()
        process.stdin = None
        message.wait()
        # It has looked for its certificate already.
        execute(archive, "DELETE FROM certificates")
        message.let_go()
        stdout, _ = process.communicate(timeout=60)
    assert stdout == "stored 1, duplicates 0, rejected 0\n"
    assert execute(archive, "SELECT count(*) FROM certificates") == [(1,)]


def test_only_the_owner_may_prune(
    archive: str, server: sa.URL, prune: Prune, export: Callable[..., None], run: Run
) -> None:
    hear([envelope(msg_id="2013-a")])
    export()
    roles = Roles(server, archive)
    roles.install()
    try:
        result = prune(url=roles.member("datanommer_maintainer"))
        assert (result.returncode, result.stdout) == (1, told(0))
        assert "Connect as a member of datanommer_owner" in result.stderr
        assert ids(run, archive) == ["2013-a"]
        assert prune(url=roles.member("datanommer_owner")).stdout == told(1)
    finally:
        roles.remove()
