"""Which server a command asks where a replica is named beside the database.

The archive has two messages, and the replica one: it has stopped to follow. So the count of a
command tells where it comes from.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import datanommer.models as m
from bus import Archive, Bus, Daemon
from certificates import Authority
from datanommer.commands.command_list import COMMANDS
from datanommer.models.database.binding import bound_engine
from datanommer.models.spooling.spool import Spool
from envelopes import envelope, received
from postgres import Primary
from shell import Run, script
from standby import Standby

INI = str(Path(m.__file__).with_name("alembic.ini"))
SECRET = "s3cret-p4ss"
NOWHERE = f"postgresql://reader:{SECRET}@127.0.0.1:1/none"
LATE = "org.example.dev.demo.late"
ONE = "demo has 1 entries\n"
TWO = "demo has 2 entries\n"

READING = [
    *("dump", "grep", "latest", "report -", "runs", "show 1", "stats", "validate"),
    *("rejected list", "rejected show 1", "rejected export"),
    "verify --config-filename VERIFIER",
]
#: FILE stands for a message, SPOOL for a spool with one.
WRITING = [
    "create-db",
    "export FOLDER",
    "load FILE",
    "reindex",
    "rejected retry --all",
    "spool drain --spool-dir SPOOL",
]


@pytest.fixture(scope="module")
def primary() -> Iterator[Primary]:
    with contextlib.closing(Primary()) as primary:
        yield primary


@pytest.fixture(scope="module")
def standby(primary: Primary) -> Iterator[Standby]:
    with contextlib.closing(Standby(primary)) as standby:
        yield standby


@pytest.fixture(scope="module")
def names(primary: Primary, standby: Standby) -> tuple[str, str]:
    """The database, and one that is behind head on the replica."""
    name, behind = primary.create_database(), primary.create_database()
    store(primary.own_url(name), envelope(), envelope(i=2**63))
    migrate(primary.own_url(behind), "downgrade", "-1")
    standby.wait_for_replay()
    standby.fall_behind()
    migrate(primary.own_url(behind), "upgrade", "head")
    store(primary.own_url(name), envelope(LATE))
    return name, behind


@pytest.fixture
def archive(primary: Primary, names: tuple[str, str]) -> str:
    return primary.own_url(names[0])


@pytest.fixture
def replica(standby: Standby, names: tuple[str, str]) -> str:
    return standby.own_url(names[0])


def store(url: str, *envelopes: dict[str, Any]) -> None:
    m.init(url)
    m.add_all(envelopes)
    m.session.remove()
    bound_engine().dispose()


def migrate(url: str, *step: str) -> None:
    subprocess.run([script("alembic"), "-c", INI, "-x", f"url={url}", *step], check=True)


def named(url: str = "", read_url: str = "") -> dict[str, str]:
    """The environment of this process, with a database and a replica."""
    values = {"DATANOMMER_SQLALCHEMY_URL": url, "DATANOMMER_SQLALCHEMY_READ_URL": read_url}
    return {**os.environ, **{key: value for key, value in values.items() if value}}


def configured(folder: Path, **urls: str) -> str:
    config = {f"datanommer.sqlalchemy.{key}": url for key, url in urls.items()}
    file = folder / "fedmsg-config.py"
    file.write_text(f"config = {config!r}\n")
    return str(file)


def test_each_command_is_tried() -> None:
    tried = {words.split()[0] for words in READING + WRITING}
    # A prune needs the data set of its archive, and a status is about the database itself.
    assert tried | {"completion", "embedded", "prune", "status"} == set(COMMANDS)


@pytest.mark.parametrize("words", READING)
def test_a_command_that_only_reads_asks_the_replica(
    replica: str, run: Run, words: str, tmp_path: Path
) -> None:
    verifier = tmp_path / "verifier.py"
    verifier.write_text(f"config = {Authority(tmp_path).config!r}\n")
    arguments = words.replace("VERIFIER", str(verifier)).split()
    shown = run("datanommer", *arguments, env=named(NOWHERE, replica))
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize("words", WRITING)
def test_a_command_that_writes_asks_the_database(
    primary: Primary, replica: str, run: Run, words: str, tmp_path: Path
) -> None:
    (tmp_path / "message.json").write_text(json.dumps(envelope()))
    spool = Spool(tmp_path / "spool", min_free_bytes=0)
    spool.put([received(envelope())])
    files = {"FILE": tmp_path / "message.json", "FOLDER": tmp_path / "data", "SPOOL": spool.folder}
    arguments = [str(files.get(word, word)) for word in words.split()]
    url = primary.own_url(primary.create_database())
    ended = run("datanommer", *arguments, env=named(url, replica))
    assert (ended.returncode, "standby" in ended.stderr) == (0, False), ended.stderr


def test_messages_are_followed_in_the_database(archive: str, replica: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATANOMMER_SQLALCHEMY_URL", archive)
        patch.setenv("DATANOMMER_SQLALCHEMY_READ_URL", replica)
        follower = Daemon("datanommer-grep", "--follow", "--fields", "topic", folder=tmp_path)
    try:
        follower.wait_until_it_says(LATE)
    finally:
        follower.kill()


def test_a_hub_writes_to_the_database(primary: Primary, replica: str, tmp_path: Path) -> None:
    url = primary.own_url(primary.create_database())
    with contextlib.closing(Bus(tmp_path)) as bus, contextlib.closing(Archive(url)) as archive:
        bus.config |= {
            "datanommer.sqlalchemy.url": url,
            "datanommer.sqlalchemy.read_url": replica,
            "datanommer.spool_min_free_bytes": 0,
        }
        bus.start_hub()
        sent = envelope()
        bus.publisher.publish(sent)
        archive.wait_for(sent)


def test_migrations_go_to_the_database(archive: str, replica: str, run: Run) -> None:
    shown = run("alembic", "-c", INI, "upgrade", "head", env=named(archive, replica))
    assert (shown.returncode, "standby" in shown.stderr) == (0, False), shown.stderr


class TestWhereTheReplicaIs:
    """The first place that names a database or a replica decides."""

    def test_in_the_configuration_beside_the_database(
        self, archive: str, replica: str, run: Run, tmp_path: Path
    ) -> None:
        configured(tmp_path, url=archive, read_url=replica)
        assert run("datanommer-stats", cwd=tmp_path).stdout == ONE

    def test_in_a_file_that_is_named(
        self, archive: str, replica: str, run: Run, tmp_path: Path
    ) -> None:
        file = configured(tmp_path, read_url=replica)
        shown = run("datanommer-stats", "--config-filename", file, env=named(archive, NOWHERE))
        assert (shown.stdout, shown.stderr) == (ONE, "")

    def test_in_the_environment_for_the_database_of_the_configuration(
        self, archive: str, replica: str, run: Run, tmp_path: Path
    ) -> None:
        configured(tmp_path, url=archive, read_url=NOWHERE)
        shown = run("datanommer-stats", cwd=tmp_path, env=named(read_url=replica))
        assert (shown.stdout, shown.stderr) == (ONE, "")

    def test_the_url_option_goes_before_it(self, archive: str, replica: str, run: Run) -> None:
        shown = run("datanommer-stats", "--url", archive, env=named(NOWHERE, replica))
        assert shown.stdout == TWO

    def test_a_database_in_a_file_that_is_named_goes_before_one_in_the_environment(
        self, archive: str, replica: str, run: Run, tmp_path: Path
    ) -> None:
        file = configured(tmp_path, url=archive)
        shown = run("datanommer-stats", "--config-filename", file, env=named(read_url=replica))
        assert shown.stdout == TWO

    def test_a_database_in_the_environment_goes_before_one_in_the_configuration(
        self, archive: str, replica: str, run: Run, tmp_path: Path
    ) -> None:
        configured(tmp_path, url=NOWHERE, read_url=replica)
        assert run("datanommer-stats", cwd=tmp_path, env=named(archive)).stdout == TWO


class TestAReplicaThatCannotBeAsked:
    """The answer is that of the database, with one line that says why."""

    def falls_back(self, run: Run, archive: str, replica: str) -> str:
        shown = run("datanommer-stats", env=named(archive, replica))
        assert (shown.returncode, shown.stdout) == (0, TWO)
        assert shown.stderr.count("\n") == 1, shown.stderr
        assert shown.stderr.endswith(" The primary is asked instead.\n")
        return str(shown.stderr)

    def test_because_it_is_stopped(
        self, archive: str, replica: str, standby: Standby, run: Run
    ) -> None:
        standby.stop()
        try:
            said = self.falls_back(run, archive, replica)
        finally:
            standby.start()
        assert f"port={standby.port} cannot be asked" in said
        assert "Is the server running" in said

    def test_because_it_says_nothing(
        self, archive: str, replica: str, standby: Standby, run: Run
    ) -> None:
        standby.pause()
        try:
            said = self.falls_back(run, archive, replica)
        finally:
            standby.resume()
        assert "timeout expired" in said

    def test_because_it_is_behind_head(
        self, primary: Primary, standby: Standby, names: tuple[str, str], run: Run
    ) -> None:
        primary_url, replica = (each.own_url(names[1]) for each in (primary, standby))
        shown = run("datanommer-stats", env=named(primary_url, replica))
        assert (shown.returncode, shown.stdout) == (0, "")
        assert "It is behind this version of datanommer. The primary is asked" in shown.stderr

    def test_because_it_lacks_the_database(self, archive: str, standby: Standby, run: Run) -> None:
        said = self.falls_back(run, archive, standby.own_url("none"))
        assert 'database "none" does not exist. The primary' in said

    def test_and_no_password_is_printed(self, archive: str, run: Run) -> None:
        assert SECRET not in self.falls_back(run, archive, NOWHERE)

    def test_is_69_where_no_primary_is_named(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / ".local" / "share" / "datanommer").mkdir(parents=True)
        env = {**named(read_url=NOWHERE), "HOME": str(tmp_path)}
        shown = run("datanommer-stats", env=env)
        assert (shown.returncode, shown.stdout) == (69, "")
        assert "No primary is named: name one as datanommer.sqlalchemy.url" in shown.stderr
        assert shown.stderr.count("\n") == 1

    def test_is_2_where_its_url_cannot_be_used(self, archive: str, run: Run) -> None:
        shown = run("datanommer-stats", env=named(archive, f"mysql://reader:{SECRET}@host/x"))
        assert (shown.returncode, shown.stdout) == (2, "")
        assert (
            "This is about the environment variable DATANOMMER_SQLALCHEMY_READ_URL" in shown.stderr
        )
        assert SECRET not in shown.stderr
