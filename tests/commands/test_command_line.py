"""What all commands have in common: options, where the database is, and how they fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

import datanommer.commands
from datanommer.commands.command_list import COMMANDS, GROUPS
from datanommer.commands.options.database import connect
from datanommer.models import add
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from envelopes import envelope
from shell import Run, script

READING = ("dump", "latest", "stats", "load")
SECRET = "s3cret-p4ss"
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def config_file(folder: Path, text: str) -> str:
    file = folder / "config.py"
    file.write_text(text)
    return str(file)


def config_of(database: str, folder: Path) -> str:
    """A configuration file that names a database, and a spool."""
    settings = {"datanommer.sqlalchemy.url": database, "datanommer.spool_dir": str(folder)}
    return config_file(folder, f"config = {settings!r}")


def named_in_environment(url: str) -> dict[str, str]:
    return {**os.environ, "DATANOMMER_SQLALCHEMY_URL": url}


class TestOptions:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_has_help_and_a_version(self, run: Run, command: str) -> None:
        usage, text, *_ = run(f"datanommer-{command}", "--help").stdout.split("\n\n")
        assert f"Usage: datanommer-{command}" in usage
        assert " ".join(text.split()).startswith(COMMANDS[command])
        version = run(f"datanommer-{command}", "--version").stdout
        assert version == f"datanommer-{command} {datanommer.commands.__version__}\n"

    @pytest.mark.parametrize("command", ["", *COMMANDS, "rejected list", "spool status"])
    def test_h_is_help(self, run: Run, command: str) -> None:
        shown = run("datanommer", *command.split(), "-h")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout == run("datanommer", *command.split(), "--help").stdout
        assert "\n  -h, --help " in shown.stdout

    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_is_also_a_part_of_datanommer(self, run: Run, command: str) -> None:
        alone = run(f"datanommer-{command}", "--help").stdout.splitlines()
        together = run("datanommer", command, "--help").stdout.splitlines()
        assert together[1:] == alone[1:]

    @pytest.mark.parametrize(
        ("command", "never"),
        [
            ("datanommer-latest", {"alembic", "fedmsg", "sqlalchemy.orm", "twisted", "zmq"}),
            ("datanommer-stats", {"alembic", "fedmsg", "twisted", "zmq"}),
        ],
    )
    def test_a_question_waits_for_no_import_that_it_can_do_without(
        self, run: Run, database: str, command: str, never: set[str]
    ) -> None:
        result = run(command, "--url", database, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
        imported = set(re.findall(r"^import time:.*\| +(\S+)$", result.stderr, re.MULTILINE))
        assert result.returncode == 0
        assert "sqlalchemy" in imported
        assert not imported & never

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_does_not_wait_for_what_the_command_needs(self, run: Run, command: str) -> None:
        environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
        result = run(f"datanommer-{command}", "--help", env=environment)
        imported = set(re.findall(r"^import time:.*\| +(\S+)$", result.stderr, re.MULTILINE))
        assert "click" in imported
        assert not imported & {"importlib.metadata", "sqlalchemy"}

    def test_datanommer_lists_its_commands(self, run: Run) -> None:
        shown = run("datanommer", "--help").stdout
        assert all(f"\n  {command} " in shown for command in COMMANDS)
        assert re.findall(r"^(\w[\w ]*):$", shown, re.MULTILINE) == ["Options", *GROUPS]
        words = " ".join(shown.split())
        assert all(line in words for line in COMMANDS.values())

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("datanommer lates", "latest"),
            ("datanommer createdb", "create-db"),
            ("datanommer rejected lst", "list"),
            ("datanommer-rejected lst", "list"),
            ("datanommer-spool statsu", "status"),
        ],
    )
    def test_a_command_that_is_mistyped_is_a_usage_error_that_names_the_right_one(
        self, run: Run, typed: str, meant: str
    ) -> None:
        result = run(*typed.split())
        assert (result.returncode, result.stdout) == (2, "")
        wrong = typed.rsplit(maxsplit=1)[-1]
        assert f"Error: No such command '{wrong}'. Did you mean '{meant}'?\n" in result.stderr

    def test_a_command_that_is_like_no_other_is_a_usage_error(self, run: Run) -> None:
        result = run("datanommer", "no-such-command")
        assert (result.returncode, result.stdout) == (2, "")
        assert "Error: No such command 'no-such-command'.\n" in result.stderr

    @pytest.mark.parametrize("words", [*COMMANDS, "rejected list", ""])
    @pytest.mark.parametrize("option", ["--help", "--version"])
    def test_help_that_cannot_be_written_is_an_error(
        self, run: Run, words: str, option: str
    ) -> None:
        if words == "rejected list" and option == "--version":
            words = "rejected"
        with Path("/dev/full").open("w") as full_disk:
            result = subprocess.run(
                [script("datanommer"), *words.split(), option],
                stdout=full_disk,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert result.returncode == 74
        assert result.stderr.startswith("Error: The output cannot be written: No space left")

    def test_an_option_that_counts_once_cannot_be_given_twice(
        self, run: Run, database: str
    ) -> None:
        for words in (
            ["dump", "--since", "2013", "--since", "2014"],
            ["dump", "--url", database, "--url", "postgresql:///other"],
            ["grep", "-n", "1", "--limit", "2"],
            ["--url", database, "--url", "postgresql:///other", "stats"],
            ["rejected", "list", "--kind", "invalid", "--kind", "classic"],
            ["stats", "--format", "csv", "--format", "tsv"],
        ):
            result = run("datanommer", *words)
            assert (result.returncode, result.stdout) == (2, ""), words
            assert "is given twice" in result.stderr

    def test_what_can_be_given_twice_counts_twice(self, bound: str, run: Run) -> None:
        for category in ("a", "b", "c"):
            add(envelope(f"org.example.dev.{category}.d", msg=category))
        options = ["--url", bound, "--category", "a", "--category", "b"]
        for words in (["dump"], ["grep", "--format", "json"]):
            found = json.loads(run("datanommer", *words, *options).stdout)
            assert [each["msg"] for each in found] == ["a", "b"]
        assert len(run("datanommer-stats", *options).stdout.splitlines()) == 2
        topics = ["--url", bound, "--topic", "a.d", "--topic", "*.*.*.c.*", "--fields", "msg"]
        assert run("datanommer-latest", *topics).stdout == '[\n{"msg": "c"}\n]\n'
        assert run("datanommer-reindex", *options).stdout == "messages 2, changed 0\n"

    def test_datanommer_imports_no_command_to_list_them(self) -> None:
        code = (
            "import sys\n"
            "from datanommer.commands.cli import main\n"
            "main(['--help'], standalone_mode=False)\n"
            "print(*sys.modules, file=sys.stderr)"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        modules = {f"datanommer.commands.{command.replace('-', '_')}" for command in COMMANDS}
        assert "Ask:" in result.stdout
        assert "datanommer.commands.cli" in result.stderr.split()
        assert modules.isdisjoint(result.stderr.split())

    @pytest.mark.parametrize("command", READING)
    def test_a_command_that_is_called_by_its_own_name_has_h(self, run: Run, command: str) -> None:
        shown = run(f"datanommer-{command}", "-h").stdout
        assert shown == run(f"datanommer-{command}", "--help").stdout

    @pytest.mark.parametrize(
        "words",
        [
            "datanommer {} stats",
            "datanommer {} rejected list",
            "datanommer rejected {} list",
            "datanommer rejected list {}",
            "datanommer-rejected {} list",
            "datanommer-spool {} drain",
            "datanommer-spool {} status",
            "datanommer-spool status {}",
            "datanommer-spool check {}",
        ],
    )
    def test_the_database_may_be_named_before_a_sub_command_and_after_it(
        self, run: Run, database: str, tmp_path: Path, words: str
    ) -> None:
        file = config_file(tmp_path, f"config = {{'datanommer.spool_dir': {str(tmp_path)!r}}}")
        for options in (
            ["--url", database, "--config-filename", file],
            ["--config-filename", config_of(database, tmp_path)],
        ):
            before, after = words.split("{}")
            result = run(*before.split(), *options, *after.split())
            assert (result.returncode, "Error" in result.stderr) == (0, False)

    def test_the_group_of_the_embedded_server_takes_its_url(self, run: Run, tmp_path: Path) -> None:
        shown = run("datanommer-embedded", "--url", f"embedded://{tmp_path}", "status")
        assert shown.returncode == 3
        assert str(tmp_path) in shown.stdout

    @pytest.mark.parametrize("command", ["stats", "rejected list", "spool status"])
    def test_an_option_before_a_sub_command_and_after_it_is_a_usage_error(
        self, run: Run, database: str, tmp_path: Path, command: str
    ) -> None:
        file = config_file(tmp_path, "config = {}")
        for option in (["--url", database], ["--config-filename", file]):
            result = run("datanommer", *option, *command.split(), *option)
            assert (result.returncode, result.stdout) == (2, "")
            assert f"{option[0]} is given twice" in result.stderr

    @pytest.mark.parametrize("command", READING)
    def test_an_unknown_option_is_a_usage_error(self, run: Run, command: str) -> None:
        result = run(f"datanommer-{command}", "--no-such-option")
        assert result.returncode == 2

    @pytest.mark.parametrize("command", [*READING, "create-db", "embedded start", "spool drain"])
    def test_an_empty_url_is_a_usage_error(self, run: Run, database: str, command: str) -> None:
        env = named_in_environment(database)
        result = run("datanommer", *command.split(), "--url", "", env=env)
        assert (result.returncode, result.stdout) == (2, "")
        assert "'--url': it is empty" in result.stderr

    @pytest.mark.parametrize(
        "command", [*READING, "create-db", "embedded status", "spool status", "runs"]
    )
    @pytest.mark.parametrize("name", ["not-there.py", "", "."])
    def test_a_configuration_that_is_no_file_is_a_usage_error(
        self, run: Run, database: str, command: str, name: str
    ) -> None:
        env = named_in_environment(database)
        result = run("datanommer", *command.split(), "--config-filename", name, env=env)
        assert (result.returncode, result.stdout) == (2, "")
        assert f"'{name}'" in result.stderr

    @pytest.mark.parametrize(
        "command", ["dump", "reindex", "verify", "validate", "rejected list", "validate -"]
    )
    @pytest.mark.parametrize("swapped", [False, True])
    def test_a_time_that_ends_before_it_begins_is_a_usage_error(
        self, run: Run, command: str, swapped: bool
    ) -> None:
        window = ["--since=2014-01-01", "--before=2013-12"]
        result = run("datanommer", *command.split(), *(reversed(window) if swapped else window))
        assert (result.returncode, result.stdout) == (2, "")
        assert (
            "--since 2014-01-01T00:00:00Z is after --before 2013-12-31T23:59:59.999999Z: swap them."
            in result.stderr
        )

    @pytest.mark.parametrize(
        "command",
        [
            "latest --topic",
            "latest --category",
            "dump --topic",
            "dump --category",
            "stats --category",
            "reindex --category",
            "verify --topic",
            "validate --topic",
            "runs --run-id",
        ],
    )
    def test_text_that_is_not_utf8_is_a_usage_error(self, run: Run, command: str) -> None:
        result = run("datanommer", *command.split(), b"w\xf6rld")
        assert (result.returncode, result.stdout) == (2, "")
        assert r"b'w\xf6rld' is not UTF-8" in result.stderr
        assert "Traceback" not in result.stderr


class TestWhereTheDatabaseIs:
    """A database that is named nowhere else but where the order says is the one that is used."""

    def test_in_the_configuration(self, archive: str, run: Run, tmp_path: Path) -> None:
        add(envelope())
        file = config_file(tmp_path, f"config = {{'datanommer.sqlalchemy.url': {archive!r}}}")
        result = run("datanommer-stats", "--config-filename", file)
        assert result.stdout == "demo has 1 entries\n"

    def test_in_the_working_folder_as_fedmsg_has_it(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add(envelope())
        (tmp_path / "fedmsg.d").mkdir()
        config_file(tmp_path / "fedmsg.d", f"config = {{'datanommer.sqlalchemy.url': {archive!r}}}")
        assert run("datanommer-stats", cwd=tmp_path).stdout == "demo has 1 entries\n"

    def test_the_environment_goes_before_the_usual_configuration(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add(envelope())
        (tmp_path / "fedmsg.d").mkdir()
        config_file(tmp_path / "fedmsg.d", f"config = {{'datanommer.sqlalchemy.url': {NOWHERE!r}}}")
        result = run("datanommer-stats", cwd=tmp_path, env=named_in_environment(archive))
        assert result.stdout == "demo has 1 entries\n"

    def test_a_file_that_is_named_goes_before_the_environment(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add(envelope())
        file = config_file(tmp_path, f"config = {{'datanommer.sqlalchemy.url': {archive!r}}}")
        env = named_in_environment(NOWHERE)
        result = run("datanommer-stats", "--config-filename", file, env=env)
        assert result.stdout == "demo has 1 entries\n"

    def test_a_file_that_names_no_database_leaves_it_to_the_environment(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add(envelope())
        file = config_file(tmp_path, "config = {'datanommer.topic': '*'}")
        env = named_in_environment(archive)
        result = run("datanommer-stats", "--config-filename", file, env=env)
        assert result.stdout == "demo has 1 entries\n"

    def test_the_url_option_goes_before_a_file_that_is_named(
        self, archive: str, run: Run, tmp_path: Path
    ) -> None:
        add(envelope())
        file = config_file(tmp_path, f"config = {{'datanommer.sqlalchemy.url': {NOWHERE!r}}}")
        result = run("datanommer-stats", "--config-filename", file, "--url", archive)
        assert result.stdout == "demo has 1 entries\n"

    def test_the_option_goes_before_the_environment(self, archive: str, run: Run) -> None:
        add(envelope())
        result = run("datanommer-stats", "--url", archive, env=named_in_environment(NOWHERE))
        assert result.stdout == "demo has 1 entries\n"

    @pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
    def test_the_usual_schemes_are_understood(self, archive: str, run: Run, scheme: str) -> None:
        url = archive.replace("postgresql", scheme, 1)
        assert run("datanommer-stats", "--url", url).returncode == 0

    def test_nowhere_is_69_and_makes_nothing(self, run: Run, tmp_path: Path) -> None:
        result = run("datanommer-stats", env={"HOME": str(tmp_path), "PATH": ""})
        assert result.returncode == 69
        assert "DATANOMMER_SQLALCHEMY_URL" in result.stderr
        assert "/etc/fedmsg.d" in result.stderr
        assert "datanommer-create-db" in result.stderr
        assert list(tmp_path.iterdir()) == []

    def test_the_embedded_default_is_made_by_create_db_and_then_used(
        self, run: Run, tmp_path: Path
    ) -> None:
        env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
        try:
            assert run("datanommer-create-db", env=env).returncode == 0
            result = run("datanommer-stats", env=env)
            assert (result.returncode, result.stdout) == (0, "")
            folder = tmp_path / ".local" / "share" / "datanommer"
            assert f"embedded database embedded://{folder}" in result.stderr
        finally:
            run("datanommer-embedded", "stop", env=env)


def test_a_command_waits_for_a_lock_for_half_a_minute_and_works_as_long_as_it_takes(
    archive: str,
) -> None:
    engine = connect(archive, None)
    settings = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    with engine.connect() as connection:
        found = [connection.scalar(sa.text(f"SHOW {setting}")) for setting in settings]
    engine.dispose()
    assert found == ["30s", "0", "1h"]


class TestFailures:
    """Each is one line for people, an exit code, and no traceback."""

    def fails(self, run: Run, *arguments: str | bytes, code: int, **options: object) -> str:
        result = run(*arguments, **options)
        assert result.returncode == code
        assert result.stderr.count("\n") == 1, result.stderr
        assert "Traceback" not in result.stderr
        assert SECRET not in result.stderr + result.stdout
        return str(result.stderr)

    @pytest.mark.parametrize("command", [*READING, "create-db"])
    def test_no_server(self, run: Run, command: str) -> None:
        url = f"postgresql://somebody:{SECRET}@127.0.0.1:1/none"
        said = self.fails(run, f"datanommer-{command}", "--url", url, code=69)
        assert "does not answer" in said
        assert "127.0.0.1" in said

    def test_a_lock_that_somebody_holds(self, archive: str, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "messages.json"
        file.write_text(json.dumps(envelope()))
        sooner = sa.make_url(archive).update_query_dict({"options": "-c lock_timeout=200ms"})
        with create_engine(archive).connect() as holder:
            holder.execute(sa.text("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE"))
            url = sooner.render_as_string(hide_password=False)
            result = run("datanommer-load", "--url", url, str(file))
        assert result.returncode == 69
        assert "Another session holds a lock" in result.stderr
        assert result.stdout == "stored 0, duplicates 0, rejected 0\n"

    def test_a_statement_that_takes_longer_than_the_session_may(
        self, archive: str, run: Run
    ) -> None:
        hurried = sa.make_url(archive).update_query_dict({"options": "-c statement_timeout=200ms"})
        with create_engine(archive).connect() as holder:
            holder.execute(sa.text("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE"))
            url = hurried.render_as_string(hide_password=False)
            said = self.fails(run, "datanommer-dump", "--url", url, code=69)
        assert "canceling statement due to statement timeout" in said
        assert "statement_timeout" in said
        assert "does not answer" not in said

    def test_no_such_database(self, archive: str, run: Run) -> None:
        url = sa.make_url(archive).set(database="no_such_database")
        said = self.fails(
            run, "datanommer-stats", "--url", url.render_as_string(hide_password=False), code=69
        )
        assert 'database "no_such_database" does not exist' in said
        assert "does not answer" not in said
        assert "datanommer-create-db and the same URL: createdb " in said

    def test_a_wrong_role(self, archive: str, run: Run) -> None:
        url = sa.make_url(archive).set(username="no_such_role", password=SECRET)
        said = self.fails(
            run,
            "datanommer-stats",
            "--url",
            url.render_as_string(hide_password=False),
            code=69,
        )
        assert 'role "no_such_role" does not exist' in said
        assert "does not answer" not in said
        assert re.search(r"create this one: createuser .*no_such_role\n", said)

    def test_a_server_that_can_do_no_more_has_answered(self, archive: str, run: Run) -> None:
        with create_engine(archive).begin() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE disk_full USING MESSAGE = 'No space left on device'; END $$;"
                "CREATE TRIGGER fill BEFORE INSERT ON messages EXECUTE FUNCTION fill()"
            )
        result = run("datanommer-load", "--url", archive, input=json.dumps(envelope()))
        assert result.returncode == 69
        assert result.stderr == "Error: The database failed: No space left on device\n"

    @pytest.mark.parametrize(
        "url",
        [
            "nonsense",
            f"mysql://u:{SECRET}@h/d",
            f"postgresql://u:{SECRET}@h:port/d",
            f"postgresql://u:{SECRET}@/d?host=h&port=x",
            "://",
            b"postgresql://u:%s\xff@127.0.0.1:1/d" % SECRET.encode(),
            b"postgresql://u@127.0.0.1:1/d\xff",
        ],
    )
    def test_a_url_that_is_none(self, run: Run, url: str | bytes) -> None:
        said = self.fails(run, "datanommer-stats", "--url", url, code=2)
        assert "postgresql://user" in said

    @pytest.mark.parametrize("password", [f"x@{SECRET}", f"x@y/{SECRET}", f"x@y?{SECRET}"])
    def test_an_at_in_a_password(self, run: Run, password: str) -> None:
        url = f"postgresql://u:{password}@127.0.0.1:1/x"
        said = self.fails(run, "datanommer-stats", "--url", url, code=2)
        assert "Write an @ in a password as %40" in said

    def test_an_at_in_the_password_of_the_configuration(self, run: Run, tmp_path: Path) -> None:
        url = f"postgresql://u:x@{SECRET}@127.0.0.1/x"
        file = config_file(tmp_path, f"config = {{'datanommer.sqlalchemy.url': {url!r}}}")
        said = self.fails(run, "datanommer-stats", "--config-filename", file, code=2)
        assert "%40" in said

    @pytest.mark.parametrize("command", [*READING, "create-db", "rejected list", "spool drain"])
    def test_an_unusable_url_of_the_environment(self, run: Run, command: str) -> None:
        env = named_in_environment(f"mysql://u:{SECRET}@h/d")
        assert "postgresql://user" in self.fails(
            run, "datanommer", *command.split(), env=env, code=2
        )

    def test_a_name_in_a_url_that_psql_does_not_know(self, run: Run) -> None:
        url = f"postgresql://u@127.0.0.1:1/x?statement_timeout=5s&{SECRET}=1"
        said = self.fails(run, "datanommer-stats", "--url", url, code=2)
        assert "?options=-c name=value" in said

    @pytest.mark.parametrize("user", ["u", "u@server"])
    def test_an_at_that_is_escaped_and_one_in_a_user_are_understood(
        self, run: Run, user: str
    ) -> None:
        url = f"postgresql://{user}:x%40{SECRET}@127.0.0.1:1/x"
        assert "does not answer" in self.fails(run, "datanommer-stats", "--url", url, code=69)

    @pytest.mark.parametrize("command", READING)
    def test_an_empty_database(self, empty_database: str, run: Run, command: str) -> None:
        said = self.fails(run, f"datanommer-{command}", "--url", empty_database, code=1)
        assert "datanommer-create-db" in said

    @pytest.mark.parametrize("command", ["stats", "create-db"])
    def test_a_database_that_is_behind(self, empty_database: str, run: Run, command: str) -> None:
        migrations.upgrade(create_engine(empty_database), "57be773be52b")
        said = self.fails(run, f"datanommer-{command}", "--url", empty_database, code=1)
        assert "steps behind" in said
        assert "alembic upgrade +1" in said

    @pytest.mark.parametrize(
        "text",
        ["config = {", "no_config = 1", "import no_such_module", "config = {'endpoints': 5}"],
    )
    def test_a_configuration_that_is_broken(self, run: Run, tmp_path: Path, text: str) -> None:
        file = config_file(tmp_path, text)
        said = self.fails(run, "datanommer-stats", "--config-filename", file, code=1)
        assert file in said

    @pytest.mark.parametrize(
        "command", [*READING, "create-db", "rejected list", "runs", "spool status", "validate"]
    )
    def test_a_standard_output_that_is_closed(self, archive: str, command: str) -> None:
        url = "" if command.startswith("spool") else f"--url '{archive}'"
        result = in_shell(f"{command} {url} >&-")
        assert result.returncode == 74
        assert re.fullmatch("Error: The standard output is closed.*\n", result.stderr)

    @pytest.mark.parametrize("command", ["load", "load -", "validate -"])
    def test_a_standard_input_that_is_closed(self, archive: str, command: str) -> None:
        result = in_shell(f"{command} --url '{archive}' <&-")
        assert result.returncode == 2
        assert "the standard input is closed. Name a file." in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_standard_error_that_is_closed_does_no_harm(
        self, archive: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "messages.json"
        file.write_text(json.dumps(envelope()))
        result = in_shell(f"load --url '{archive}' '{file}' 2>&-")
        assert (result.returncode, result.stdout) == (0, "stored 1, duplicates 0, rejected 0\n")


class TestCreateDB:
    def test_takes_an_empty_database_to_head(self, empty_database: str, run: Run) -> None:
        assert run("datanommer-create-db", "--url", empty_database).returncode == 0
        assert run("datanommer-stats", "--url", empty_database).returncode == 0

    def test_again_says_so_and_changes_nothing(self, archive: str, run: Run) -> None:
        add(envelope())
        result = run("datanommer-create-db", "--url", archive)
        assert result.returncode == 0
        assert "nothing was changed" in result.stderr
        assert run("datanommer-stats", "--url", archive).stdout == "demo has 1 entries\n"

    def test_prints_no_password(self, empty_database: str, run: Run) -> None:
        url = sa.make_url(empty_database).set(password=SECRET)
        result = run("datanommer-create-db", "--url", url.render_as_string(hide_password=False))
        assert result.returncode == 0
        assert SECRET not in result.stderr + result.stdout


def in_shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of datanommer by a line of the shell."""
    line = f"'{script('datanommer')}' {command}"
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
