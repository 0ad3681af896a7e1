"""Tab completes commands, options and their values, and asks the archive without a word."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datanommer.commands.command_list import COMMANDS
from datanommer.models import add, add_all, embedded
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from envelopes import envelope
from shell import Run, script
from tab import tab

SHELLS = [
    "bash",
    pytest.param("zsh", marks=pytest.mark.needs_program("zsh")),
    pytest.param("fish", marks=pytest.mark.needs_program("fish")),
]
#: In seconds. It takes less than one; while all tests run, it takes longer.
SOON = 10


def asked(line: str, *, stdin: int | None = None, **environment: str) -> list[str]:
    """What a command offers at the end of a line, in time and in silence, as fish asks for it."""
    name = line.split(maxsplit=1)[0]
    started = time.monotonic()
    result = subprocess.run(
        [script(name)],
        env={
            **os.environ,
            f"_{name.upper().replace('-', '_')}_COMPLETE": "fish_complete",
            "COMP_WORDS": line,
            **environment,
        },
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert time.monotonic() - started < SOON
    assert (result.returncode, result.stderr) == (0, "")
    answers = [answer.partition("\t")[0] for answer in result.stdout.splitlines()]
    return [answer.removeprefix("plain,") for answer in answers if answer]


def completed(shell: str, line: str, *, every: bool = True) -> list[str]:
    """What Tab offers; nothing if it leaves the last word as it is."""
    words = tab(shell, line, every=every)
    return [] if words == line.split(" ")[-1:] else words


def found(ask: Callable[..., list[str]], *line: str, **options: Any) -> list[str]:
    """What is offered from the archive: at once, or where the machine is busy, at another Tab."""
    for _ in range(10):
        if offered := ask(*line, **options):
            return offered
    return []


@pytest.fixture
def names(bound: str) -> str:
    """The URL of an archive with some categories and topics."""
    add_all(
        [
            envelope("org.fedoraproject.stg.bodhi.update.comment"),
            envelope("org.fedoraproject.stg.bodhi.update.request"),
            envelope("org.fedoraproject.prod.buildsys.tag"),
            envelope("org.fedoraproject.prod.wiki.article.edit"),
        ]
    )
    return bound


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("shell", SHELLS)
class TestInEachShell:
    def test_the_umbrella_knows_the_commands(self, shell: str) -> None:
        assert tab(shell, "datanommer ") == list(COMMANDS)
        assert tab(shell, "datanommer re") == [name for name in COMMANDS if name.startswith("re")]

    def test_a_group_knows_its_commands(self, shell: str) -> None:
        assert tab(shell, "datanommer-rejected ") == ["export", "list", "retry", "show"]
        assert tab(shell, "datanommer rejected r") == ["retry"]

    def test_options_are_completed(self, shell: str) -> None:
        assert tab(shell, "datanommer-grep --fo") == ["--follow", "--format"]
        assert tab(shell, "datanommer rejected list --f") == ["--format", "--fields"]

    def test_formats_and_lists_of_fields_are_completed(self, shell: str) -> None:
        assert tab(shell, "datanommer-runs --format t") == ["table", "tsv"]
        assert tab(shell, "datanommer-grep --fields id,ti") == [
            "id,time",
            "id,timestamp",
            "id,title",
        ]
        assert tab(shell, "datanommer-grep --fields id,time,ti") == [
            "id,time,timestamp",
            "id,time,title",
        ]

    def test_a_value_with_a_space_is_quoted(self, shell: str) -> None:
        assert tab(shell, "datanommer-rejected list --kind too", every=False) == ["too large"]
        line = 'datanommer-rejected list --kind "too'
        assert tab(shell, line, every=False) == ["too large"]

    def test_files_are_completed(self, shell: str, tmp_path: Path) -> None:
        (tmp_path / "messages.json").touch()
        for line in ("datanommer-load", "datanommer-grep --config-filename"):
            assert tab(shell, f"{line} {tmp_path}/mess") == [f"{tmp_path}/messages.json"]
        line = f"datanommer-grep --config-filename={tmp_path}/mess"
        assert tab(shell, line) == [f"--config-filename={tmp_path}/messages.json"]

    def test_names_come_from_the_archive_of_the_url_on_the_line(
        self, shell: str, names: str
    ) -> None:
        url = shlex.quote(names)  # there may be an & in it
        for line, expected in {
            f"datanommer-grep --url {url} --category b": ["bodhi", "buildsys"],
            f"datanommer --url={url} grep --not-category w": ["wiki"],
            f"datanommer-dump --url '{names}' --topic bodhi.update.c": ["bodhi.update.comment"],
            f"datanommer-grep --url {url} --category=w": ["--category=wiki"],
        }.items():
            assert found(completed, shell, line) == expected

    def test_no_name_of_the_archive_is_a_command_of_the_shell(
        self, shell: str, bound: str, tmp_path: Path
    ) -> None:
        topics = [
            f"org.example.dev.{number}.{text}"
            for number, text in enumerate(
                [
                    f"$(touch {tmp_path}/run)",
                    f"`touch {tmp_path}/run`",
                    f";touch {tmp_path}/run;",
                    "it's",
                    'a"b',
                    "a:b=c:d",
                    "~*?[a]{b,c}<d>&|#",
                    "back\\slash",
                    "wörld",
                ]
            )
        ]
        add_all([envelope(topic) for topic in topics])
        for number, topic in enumerate(topics):
            line = f"datanommer-grep --url {shlex.quote(bound)} --topic org.example.dev.{number}"
            assert found(completed, shell, line, every=False) == [topic]
        assert not (tmp_path / "run").exists()

    def test_what_is_typed_after_a_colon_is_kept(self, shell: str, bound: str) -> None:
        add(envelope("org.example.dev.urn:a:b"))
        line = f"datanommer-grep --url {shlex.quote(bound)} --topic=org.example.dev.urn:a"
        assert found(completed, shell, line) == ["--topic=org.example.dev.urn:a:b"]

    def test_a_command_may_be_typed_with_its_folder(self, shell: str) -> None:
        assert tab(shell, f"{script('datanommer-grep')} --qu") == ["--quiet"]

    def test_without_a_database_what_is_typed_stays(
        self, shell: str, silent: socket.socket
    ) -> None:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x"
        line = f"datanommer-grep --url {url} --category bo"
        assert completed(shell, line) == []

    def test_the_script_of_click_is_the_same(self, shell: str, run: Run) -> None:
        env = {**os.environ, "_DATANOMMER_GREP_COMPLETE": f"{shell}_source"}
        printed = run("datanommer-grep", env=env).stdout
        assert printed.strip() == run("datanommer-completion", shell).stdout.strip()


class TestTheNamesOfTheArchive:
    def test_users_and_packages_are_completed(self, bound: str) -> None:
        with create_engine(bound).begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO users VALUES ('ralph'), ('ralf'), ('100%%_x'), ('100y')"
            )
            connection.exec_driver_sql("INSERT INTO packages VALUES ('kernel'), ('kde')")
        for options, expected in {
            "--user ral": ["ralf", "ralph"],
            "--not-user '100%_": ["100%_x"],
            "--package ke": ["kernel"],
            "--not-package ": ["kde", "kernel"],
        }.items():
            assert found(asked, f"datanommer-grep --url {bound} {options}") == expected

    def test_too_many_of_them_are_not_completed_in_part(self, bound: str) -> None:
        with create_engine(bound).begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO users SELECT 'user' || n FROM generate_series(1, 1000) AS n"
            )
        line = f"datanommer-grep --url {bound} --user"
        assert len(found(asked, f"{line} user1")) == 112
        assert asked(f"{line} u") == []

    def test_topics_are_completed_with_the_prefix_of_the_bus_and_without(self, names: str) -> None:
        line = f"datanommer-grep --url {names} --topic"
        assert len(found(asked, f"{line} ")) == 4
        whole = "org.fedoraproject.prod.wiki.article.edit"
        assert found(asked, f"{line} org.fedoraproject.prod.w") == [whole]
        assert found(asked, f"{line} wiki") == ["wiki.article.edit"]
        assert asked(f"{line} #") == []

    def test_what_no_terminal_shows_is_left_out(self, bound: str) -> None:
        add_all([envelope(f"org.example.dev.a.{text}") for text in ("\x1b[31m", "x\ny", "b")])
        assert found(asked, f"datanommer-grep --url {bound} --topic a") == ["a.b"]

    @pytest.mark.parametrize(
        "line",
        [
            "datanommer-grep --config-filename ~/config.py",
            "datanommer --config-filename ~/config.py grep",
            "datanommer --config-filename '~/config.py' grep --limit 3",
            'datanommer-grep --url "$THE_URL"',
        ],
    )
    def test_the_line_names_the_database_before_the_environment(
        self, names: str, tmp_path: Path, line: str
    ) -> None:
        config = f"print('hello')\nconfig = {{'datanommer.sqlalchemy.url': {names!r}}}\n"
        (tmp_path / "config.py").write_text(config)
        environment = {
            "DATANOMMER_SQLALCHEMY_URL": "postgresql://127.0.0.1:1/x",
            "HOME": str(tmp_path),
            "THE_URL": names,
        }
        assert found(asked, f"{line} --category w", **environment) == ["wiki"]

    def test_the_environment_and_the_configuration_name_it(
        self, names: str, tmp_path: Path
    ) -> None:
        line = "datanommer-stats --topic wiki --not-category w"
        assert found(asked, line, DATANOMMER_SQLALCHEMY_URL=names) == ["wiki"]
        config = f"config = {{'datanommer.sqlalchemy.url': {names!r}}}\n"
        (tmp_path / ".fedmsg.d").mkdir()
        (tmp_path / ".fedmsg.d" / "config.py").write_text(config)
        assert found(asked, line, HOME=str(tmp_path)) == ["wiki"]

    def test_a_replica_is_asked(self, names: str) -> None:
        urls = {"URL": "postgresql://127.0.0.1:1/x", "READ_URL": names}
        environment = {f"DATANOMMER_SQLALCHEMY_{name}": url for name, url in urls.items()}
        assert found(asked, "datanommer-grep --category w", **environment) == ["wiki"]

    def test_a_file_that_is_not_there_names_no_other_database(self, names: str) -> None:
        line = "datanommer-grep --config-filename no-such-file --category w"
        assert asked(line, DATANOMMER_SQLALCHEMY_URL=names) == []


class TestInSilence:
    def test_where_no_database_is_named(self) -> None:
        assert asked("datanommer-grep --category b") == []

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://127.0.0.1:1/x",
            "postgresql://u@10.255.255.1/x",
            "postgresql://no.such.host.example/x",
            "mysql://x",
            "''",
            "$NOT_SET",
            "postgresql://a@b@c/x",
        ],
    )
    def test_where_the_database_cannot_be_reached(self, url: str) -> None:
        assert asked(f"datanommer-grep --url {url} --category b") == []

    def test_where_a_server_never_answers(self, silent: socket.socket) -> None:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x"
        assert asked(f"datanommer-grep --url {url} --category b") == []

    def test_where_a_socket_never_answers(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / ".s.PGSQL.5432"))
            server.listen()
            url = f"postgresql:///x?host={tmp_path}"
            assert asked(f"datanommer-grep --url '{url}' --category b") == []

    def test_where_there_is_no_such_database(self, database: str) -> None:
        assert asked(f"datanommer-grep --url {database}_not --category b") == []

    def test_where_the_database_is_empty_or_behind(self, empty_database: str) -> None:
        assert asked(f"datanommer-grep --url {empty_database} --category b") == []
        migrations.upgrade(create_engine(empty_database), "57be773be52b")
        assert asked(f"datanommer-grep --url {empty_database} --category b") == []

    def test_where_another_session_holds_a_lock(self, names: str) -> None:
        with create_engine(names).begin() as connection:
            connection.exec_driver_sql("LOCK TABLE topics IN ACCESS EXCLUSIVE MODE")
            assert asked(f"datanommer-grep --url {names} --category b") == []

    def test_where_the_configuration_is_broken(self, tmp_path: Path) -> None:
        for text in (
            "config = {",
            "import sys; sys.exit('no')",
            "import warnings; warnings.warn('x')",
        ):
            config = tmp_path / "config.py"
            config.write_text(text)
            assert asked(f"datanommer-grep --config-filename {config} --category b") == []

    def test_where_the_embedded_server_does_not_run(self, tmp_path: Path) -> None:
        folder = tmp_path / "archive"
        assert asked(f"datanommer-grep --url embedded://{folder} --category b") == []
        assert not folder.exists()
        embedded.start(folder)
        embedded.stop(folder)
        assert asked(f"datanommer-grep --url embedded://{folder} --category b") == []
        assert not embedded.status(folder).running

    def test_where_what_is_typed_makes_no_sense(self) -> None:
        assert asked("datanommer no-such-command --category b") == []
        assert asked("datanommer-grep --no-such-option --since x --since y --fo") == [
            "--follow",
            "--format",
        ]
        assert asked("datanommer-grep --category 'b\\") == []

    def test_nothing_that_the_line_names_is_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        terminal = os.openpty()[1]
        line = f"datanommer-load {tmp_path}/pipe - --vers"
        assert asked(line, stdin=terminal) == ["--version"]


def test_an_embedded_server_that_runs_is_asked(tmp_path: Path, run: Run) -> None:
    url = f"embedded://{tmp_path}/archive"
    run("datanommer-create-db", "--url", url)
    try:
        run("datanommer-load", "--url", url, input='{"topic": "a.b.c.demo", "body": {"msg": {}}}')
        shown = run("datanommer-stats", "--url", url)
        assert "demo" in shown.stdout, shown.stderr
        line = f"datanommer-grep --url {url} --category d"
        assert found(asked, line) == ["demo"]
    finally:
        embedded.stop(tmp_path / "archive")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_each_command(run: Run, shell: str) -> None:
    printed = run("datanommer-completion", shell).stdout
    assert all(f"datanommer-{name}" in printed.split() for name in COMMANDS)
