"""``datanommer-status``: the page, the answers to a monitor, JSON and metrics."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from certificates import PAST, Authority
from classic import execute
from datanommer.models import add, add_all
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from datanommer.models.spooling.spool import Spool
from datanommer.models.watching.hub_state import HubState
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, received
from roles import Roles, may_be_made, remove_unused
from shell import Run, script

NOWHERE = "postgresql://somebody:s3cret@127.0.0.1:1/nowhere"
GONE = 2**22 + 1  # no process of Linux has it
_SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z_]+)="((?:[^"\\\n]|\\.)*)"\})? (-?[0-9.e+]+)')


class Host:
    """A host with a configuration of its own, and maybe a hub."""

    def __init__(self, folder: Path, run: Run, url: str) -> None:
        self.folder = folder
        self.spool = Spool(folder / "spool")
        self.config: dict[str, Any] = {
            "datanommer.sqlalchemy.url": url,
            "datanommer.spool_dir": str(self.spool.folder),
            "datanommer.spool_min_free_bytes": 0,
            "datanommer.status_file": str(folder / "hub.json"),
        }
        self._run = run
        self._told: dict[str, Any] | None = None

    def status(self, *arguments: str) -> Any:
        self._tell()  # a hub does so each second
        (self.folder / "fedmsg.py").write_text(f"config = {self.config!r}\n")
        file = str(self.folder / "fedmsg.py")
        return self._run("datanommer-status", "--config-filename", file, *arguments)

    def page(self, *arguments: str) -> dict[str, str]:
        """The facts of the page."""
        shown = self.status(*arguments)
        assert (shown.returncode, shown.stderr) == (0, "")
        return dict(re.findall(r"^([a-z]+): +(.*)$", shown.stdout, re.MULTILINE))

    def check(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code for a monitor, what it says, and the performance data."""
        shown = self.status("--check", *arguments)
        assert shown.stderr == ""
        said, _, performance = shown.stdout.removesuffix("\n").partition(" | ")
        assert "\n" not in said
        return shown.returncode, said, performance

    def json(self) -> Any:
        shown = self.status("--format", "json")
        assert (shown.returncode, shown.stderr) == (0, "")
        return json.loads(shown.stdout)

    def has_hub(self, **values: Any) -> None:
        """Let there be a hub that says these, and whose process is this one."""
        self._told = values
        self._tell()

    def _tell(self) -> None:
        if self._told is None:
            return
        now = time.time()
        state = HubState(
            **{
                **dict.fromkeys(HubState._fields, 0),
                "alive": True,
                "pid": os.getpid(),
                "version": "2.0.0",
                "oldest": None,
                "started": now,
                "time": now,
                "spool": str(self.spool.folder),
                **self._told,
            }
        )
        state.write(Path(self.config["datanommer.status_file"]))


@pytest.fixture
def host(tmp_path: Path, run: Run, bound: str) -> Host:
    return Host(tmp_path, run, bound)


@pytest.fixture
def host_without_database(tmp_path: Path, run: Run) -> Host:
    return Host(tmp_path, run, NOWHERE)


def age(url: str, topic: str, hours: float) -> None:
    """Let the messages of a topic be sent and stored so long ago."""
    execute(
        url,
        f"UPDATE topics SET last_stored = now() - interval '{hours} hours' WHERE topic = '{topic}'",
    )


class TestThePage:
    def test_says_which_database_it_is_and_who_named_it(self, host: Host, bound: str) -> None:
        file = host.folder / "fedmsg.py"
        name = sa.make_url(bound).render_as_string()
        assert host.page()["database"] == (f"{name}, named by datanommer.sqlalchemy.url in {file}")
        assert host.page("--url", bound)["database"] == f"{name}, named by the URL given"

    def test_says_what_is_in_the_archive(self, host: Host) -> None:
        add_all([envelope(timestamp=int(time.time())), envelope(BODHI_TOPIC, msg=BODHI_MSG)])
        page = host.page()
        assert re.search(r"; 2 messages of [\d,]+ bytes", page["size"])
        assert page["growth"].startswith("1 message in 7 days")
        assert re.fullmatch(r"stored 20\S+Z, 0:0\d:\d\d ago", page["newest"])
        assert page["rejected"] == "0 today"
        assert re.fullmatch(r"datanommer \S+; the database is at head \(\w+\)", page["version"])
        shown = host.status().stdout
        assert re.search(r"^bodhi +1 +20\S+Z +0:0\d:\d\d$", shown, re.MULTILINE)
        assert "What is wrong" not in shown

    def test_tells_what_was_rejected_today_by_category(self, host: Host, bound: str) -> None:
        add_all([envelope(BODHI_TOPIC, i=2**63), envelope(i=2**63), envelope(i=2**64)])
        assert host.page()["rejected"] == "3 today (bodhi 1, demo 2)"
        execute(bound, "UPDATE rejected SET received_at = now() - interval '1 day'")
        assert host.page()["rejected"] == "0 today"

    def test_has_no_hub_and_that_is_no_fault(self, host: Host) -> None:
        assert host.page()["hub"].startswith("none on this host")
        missing = host.status("--hub")
        assert missing.returncode == 1
        assert "critical  no hub runs on this host" in missing.stdout

    def test_shows_what_waits_in_the_spool_without_a_hub(self, host: Host) -> None:
        host.spool.put([received(envelope()), received(envelope())])
        assert re.fullmatch(
            r"2 messages wait in \S+, the oldest for 0:0\d:\d\d; .* of the disk are free",
            host.page()["spool"],
        )

    def test_is_in_words_where_a_sender_chose_the_name_of_a_category(self, host: Host) -> None:
        add(envelope("org.example.dev.\x1b[31mred"))
        assert "\\x1b[31mred" in host.status().stdout

    @pytest.mark.parametrize("revision", ["57be773be52b", "e4816ad3072c", "d84c1e6f9a03"])
    def test_says_how_far_the_database_is_behind(
        self, run: Run, tmp_path: Path, empty_database: str, revision: str
    ) -> None:
        engine = create_engine(empty_database)
        migrations.upgrade(engine, revision)
        engine.dispose()
        host = Host(tmp_path, run, empty_database)
        shown = host.status()
        assert (shown.returncode, shown.stderr) == (0, "")
        assert re.search(rf"the database is at {revision}, \d+ steps? behind", shown.stdout)
        assert re.search(r"warning +the database is \d+ steps? behind", shown.stdout)
        assert "role:         " in shown.stdout
        assert host.check()[0] == 1

    def test_knows_the_newest_message_before_the_last_step(
        self, run: Run, tmp_path: Path, empty_database: str
    ) -> None:
        engine = create_engine(empty_database)
        migrations.upgrade(engine, "d84c1e6f9a03")
        engine.dispose()
        execute(
            empty_database,
            "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg) "
            "VALUES ('1', 0, 'a.b.c.demo', 'demo', now(), '1')",
        )
        host = Host(tmp_path, run, empty_database)
        assert host.page()["newest"].startswith("stored 20")
        state, said, _ = host.check("--max-age", "1h")
        assert (state, "age" in said) == (1, False)
        state, said, _ = host.check("--max-age", "demo=1h")
        assert "nobody knows when the newest message of demo was stored" in said

    def test_says_that_there_are_no_tables_yet(
        self, run: Run, tmp_path: Path, empty_database: str
    ) -> None:
        host = Host(tmp_path, run, empty_database)
        assert host.page()["version"].endswith("; the database has no tables")
        assert host.check()[0] == 2

    def test_says_that_the_tables_are_those_of_another_program(
        self, run: Run, tmp_path: Path, empty_database: str
    ) -> None:
        execute(empty_database, "CREATE TABLE messages (id int)")
        shown = Host(tmp_path, run, empty_database).status()
        assert shown.returncode == 1
        assert "has tables of another program" in shown.stdout
        assert "role:" in shown.stdout


class TestWithoutADatabase:
    def test_the_page_says_so_and_shows_the_rest(self, host_without_database: Host) -> None:
        host = host_without_database
        host.spool.put([received(envelope())])
        host.has_hub(waiting=7, stored=3)
        shown = host.status()
        assert shown.returncode == 69
        assert "somebody:***@127.0.0.1:1/nowhere, named by" in shown.stdout
        assert "does not answer" in shown.stdout
        assert "7 messages wait in" in shown.stdout
        assert f"runs (process {os.getpid()}); backlog 0, stored 3" in shown.stdout
        assert "s3cret" not in shown.stdout + shown.stderr

    def test_a_monitor_hears_that_it_is_critical(self, host_without_database: Host) -> None:
        host_without_database.has_hub(waiting=7)
        state, said, performance = host_without_database.check("--max-waiting", "5")
        assert state == 2
        assert said.startswith("CRITICAL: The database postgresql://somebody:***@")
        assert "7 messages waiting on disk" in said
        assert "waiting=7;;5" in performance

    @pytest.mark.parametrize("form", ["json", "prometheus"])
    def test_programs_get_what_there_is(self, host_without_database: Host, form: str) -> None:
        host_without_database.has_hub(waiting=7)
        shown = host_without_database.status("--format", form)
        assert shown.returncode == 69
        if form == "json":
            status = json.loads(shown.stdout)
            assert status["newest"] is None
            assert "does not answer" in status["not_seen"]["newest"]
            assert status["spool"]["waiting"]["messages"] == 7
        else:
            assert "\ndatanommer_database_up 0\n" in shown.stdout
            assert "\ndatanommer_spool_waiting_messages 7\n" in shown.stdout

    def test_it_says_that_none_is_named(self, run: Run, tmp_path: Path) -> None:
        host = Host(tmp_path, run, NOWHERE)
        del host.config["datanommer.sqlalchemy.url"]
        shown = host.status()
        assert shown.returncode == 69
        assert "database:     not seen: No database is named" in shown.stdout

    def test_a_url_that_cannot_be_used_is_a_wrong_option(self, run: Run) -> None:
        wrong = run("datanommer-status", "--url", "mysql://a:s3cret@b/c")
        assert wrong.returncode == 2
        assert "s3cret" not in wrong.stderr
        assert run("datanommer-status", "--check", "--url", "mysql://a@b/c").returncode == 3

    def test_a_configuration_that_cannot_be_read_hides_the_host_and_not_the_archive(
        self, run: Run, tmp_path: Path, database: str
    ) -> None:
        (tmp_path / "fedmsg.py").write_text("config = {1/0}\n")
        file = str(tmp_path / "fedmsg.py")
        shown = run("datanommer-status", "--config-filename", file, "--url", database)
        assert shown.returncode == 0
        assert "hub:          not seen: The fedmsg configuration" in shown.stdout
        assert "the database is at head" in shown.stdout


class TestTheHub:
    def test_that_lives_says_what_it_does(self, host: Host) -> None:
        host.has_hub(stored=5, lost=0, waiting=2, oldest=time.time() - 60)
        page = host.page("--hub")
        assert page["hub"].startswith(f"runs (process {os.getpid()}); backlog 0, stored 5, ")
        assert re.search(r"2 messages wait in \S+, the oldest for 0:0\d:\d\d", page["spool"])
        assert host.check("--hub")[0] == 0

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"pid": GONE}, r"the hub is dead: it has been gone since 20\S+Z"),
            ({"time": time.time() - 3600}, r"the hub is dead: it has said nothing since 20\S+Z"),
        ],
    )
    def test_that_is_gone_or_stands_still_is_critical(
        self, host: Host, values: dict[str, Any], said: str
    ) -> None:
        host.has_hub(**values)
        state, text, _ = host.check()
        assert state == 2
        assert re.search(said, text)
        assert "runs" not in host.page()["hub"]

    def test_that_has_ended_in_order_is_a_fault_only_where_one_is_asked_for(
        self, host: Host
    ) -> None:
        host.has_hub(alive=False, pid=GONE)
        assert host.page()["hub"].startswith("has ended in order")
        assert host.check()[0] == 0
        assert host.check("--hub")[0] == 2

    def test_that_has_lost_messages_is_critical(self, host: Host) -> None:
        host.has_hub(lost=3)
        assert host.check()[:2] == (2, "CRITICAL: 3 messages lost since the start of the hub")

    @pytest.mark.parametrize("content", ["", "{}", "[]", '{"alive": true}'])
    def test_whose_file_is_something_else_is_not_seen(self, host: Host, content: str) -> None:
        Path(host.config["datanommer.status_file"]).write_text(content)
        assert "not seen: " in host.page()["hub"]
        assert host.check()[0] == 3

    def test_whose_file_everybody_may_read_whatever_the_umask_is(self, host: Host) -> None:
        before = os.umask(0o077)
        try:
            host.has_hub()
        finally:
            os.umask(before)
        mode = Path(host.config["datanommer.status_file"]).stat().st_mode
        assert stat.S_IMODE(mode) == 0o644

    @pytest.mark.needs_program("setpriv")
    def test_is_seen_by_who_may_not_look_into_its_spool(
        self, host: Host, request: pytest.FixtureRequest
    ) -> None:
        if os.geteuid() == 0 and request.config.getoption("--server") == "embedded":
            pytest.skip("root needs the rights that this takes away to reach the embedded server")
        host.spool.put([received(envelope())])
        host.status()  # writes the configuration
        words = [script("datanommer-status"), "--config-filename", str(host.folder / "fedmsg.py")]
        if os.geteuid() == 0:  # even root may not look into the folder of another one, like this
            shutil.chown(host.spool.folder, "nobody")
            rights = "-dac_override,-dac_read_search"
            words = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *words]
        else:
            host.spool.folder.chmod(0)

        def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
            asked = [*words, *arguments]
            return subprocess.run(asked, capture_output=True, text=True, check=False)

        shown = ask()
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "You cannot read the spool folder" in shown.stdout
        assert "of the disk are free" in shown.stdout
        assert ask("--check", "--max-waiting", "0").returncode == 3
        host.has_hub(waiting=1)
        assert "1 message waits in" in ask().stdout
        host.has_hub(waiting=1)
        assert ask("--check", "--max-waiting", "bodhi=0").returncode == 3
        host.spool.folder.chmod(0o700)

    def test_must_be_named_by_a_path(self, host: Host) -> None:
        host.config["datanommer.status_file"] = 5
        assert "must be the path of a file" in host.page()["hub"]


class TestLimits:
    def test_nothing_is_wrong(self, host: Host) -> None:
        add(envelope(BODHI_TOPIC, msg=BODHI_MSG))
        state, said, performance = host.check(
            *("--max-age", "1h", "--max-age", "bodhi=2h"),
            *("--max-waiting", "0", "--max-rejected", "0", "--max-rejected", "bodhi=3"),
        )
        assert state == 0
        assert re.fullmatch(r"OK: the newest message was stored 0:0\d:\d\d ago", said)
        assert re.match(r"age=\d+s;;3600 age_bodhi=\d+s;;7200 rejected=0;;0 ", performance)
        assert " rejected_bodhi=0;;3 messages=1 size=" in performance
        assert re.fullmatch(r"([a-z_]+=\d+[a-zA-Z]?(;;\d+)?( |$))+", performance)

    def test_an_age_is_that_of_the_archive_and_not_of_the_sender(
        self, host: Host, bound: str
    ) -> None:
        add(envelope(BODHI_TOPIC, msg=BODHI_MSG))  # sent in 2013
        add(envelope())
        assert host.check("--max-age", "bodhi=1h")[0] == 0
        age(bound, BODHI_TOPIC, hours=3)
        assert host.check("--max-age", "1h", "--max-age", "demo=1h")[0] == 0
        state, said, _ = host.check("--max-age", "bodhi=1h")
        assert state == 2
        assert re.search(r"the newest message of bodhi was stored 3:0\d:\d\d ago", said)

    def test_the_newest_of_all_may_be_too_old(self, host: Host, bound: str) -> None:
        add(envelope())
        execute(bound, "UPDATE messages SET stored_at = now() - interval '2 hours'")
        state, said, _ = host.check("--max-age", "1h")
        assert state == 2
        assert re.search(r"the newest message was stored 2:0\d:", said)

    def test_an_empty_archive_has_no_newest_message(self, host: Host) -> None:
        assert host.check("--max-age", "1h")[:2] == (2, "CRITICAL: there is no message")
        add(envelope())
        assert host.check("--max-age", "bohdi=1h")[1] == "CRITICAL: there is no message of bohdi"

    def test_too_much_waits_in_all_or_of_a_category(self, host: Host) -> None:
        host.spool.put([received(envelope()), received(envelope(BODHI_TOPIC))])
        host.spool.slow.put([received(envelope(BODHI_TOPIC))])
        assert host.check("--max-waiting", "3", "--max-waiting", "bodhi=2")[0] == 0
        assert host.check("--max-waiting", "demo=1")[0] == 0
        state, said, performance = host.check("--max-waiting", "2", "--max-waiting", "bodhi=1")
        assert state == 2
        assert "3 messages waiting on disk" in said
        assert "more than 1 message of bodhi waiting on disk" in said
        assert "waiting=3;;2" in performance

    def test_what_was_taken_out_of_the_spool_waits_no_longer(self, host: Host) -> None:
        host.spool.put([received(envelope(BODHI_TOPIC)), received(envelope())])
        chunk = host.spool.first(1, 10**6)
        assert chunk
        host.spool.remove(chunk)
        assert host.check("--max-waiting", "bodhi=0")[0] == 0
        assert host.check("--max-waiting", "demo=0")[0] == 2

    def test_too_many_are_rejected_in_all_or_of_a_category(self, host: Host) -> None:
        add_all([envelope(BODHI_TOPIC, i=2**63), envelope(i=2**63)])
        assert host.check("--max-rejected", "2", "--max-rejected", "bodhi=1")[0] == 0
        state, said, _ = host.check("--max-rejected", "1", "--max-rejected", "bodhi=0")
        assert state == 2
        assert "2 messages rejected today" in said
        assert "1 message of bodhi rejected today" in said

    def test_the_disk_of_the_spool_may_be_full(self, host: Host) -> None:
        host.spool.put([received(envelope())])
        host.config["datanommer.spool_min_free_bytes"] = 2**62
        assert host.check()[0] == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--max-age", "bodhi"],
            ["--max-age", "=1h"],
            ["--max-waiting", "bodhi=1h"],
            ["--max-rejected", "1", "--max-rejected", "2"],
            ["--format", "json"],
        ],
    )
    def test_what_makes_no_sense_is_unknown_to_a_monitor(
        self, host: Host, arguments: list[str]
    ) -> None:
        assert host.check(*arguments)[0] == 3


def test_a_category_that_has_fallen_silent_is_told_with_its_longest_gap(host: Host) -> None:
    now = time.time()
    add_all([envelope(timestamp=int(now - 3600 * n)) for n in (90, 80, 70, 60, 50, 40, 31)])
    assert host.page()["silent"] == "demo"
    state, said, _ = host.check()
    assert state == 1
    assert re.fullmatch(
        r"WARNING: demo has been silent for 1 day, 7:0\d:\d\d; its longest gap in 30 days was "
        r"10:00:0\d",
        said,
    )


class TestCertificates:
    @pytest.mark.parametrize(
        ("period", "state", "said"),
        [
            (None, 1, r"The CA certificate \S+ca.crt expires at 20.*, in 0 days"),
            (PAST, 2, r"The CRL \S+crl.pem expired at 20"),
        ],
    )
    def test_that_run_out_are_told(self, host: Host, period: Any, state: int, said: str) -> None:
        authority = Authority(host.folder, *([period] if period else []))
        host.config |= authority.config
        code, text, _ = host.check()
        assert code == state
        assert re.search(said, text)

    def test_that_are_good_for_long_are_shown(self, host: Host) -> None:
        now = datetime.now(UTC)
        host.config |= Authority(host.folder, (now, now + timedelta(days=90))).config
        assert host.check()[0] == 0
        assert host.page()["certificates"].startswith("The CA certificate is good until 20")

    def test_whose_copies_are_here_are_seen_though_they_are_at_a_url(self, host: Host) -> None:
        config = Authority(host.folder).config
        host.config |= config | {
            "ca_cert_location": "https://127.0.0.1:1/ca.crt",
            "ca_cert_cache": config["ca_cert_location"],
        }
        assert "CA certificate is good until 20" in host.page()["certificates"]

    def test_that_are_at_a_url_or_missing_are_not_seen(self, host: Host) -> None:
        host.config |= {
            "validate_signatures": True,
            "crypto_validate_backends": ["x509"],
            "ca_cert_location": "https://127.0.0.1:1/ca.crt",
            "crl_location": "/nowhere/crl",
        }
        shown = host.page()["certificates"]
        assert "https://127.0.0.1:1/ca.crt is not seen: it is at a URL" in shown
        assert "/nowhere/crl is not seen: it cannot be read: No such file" in shown


class TestForms:
    def test_json_has_all_that_was_seen(self, host: Host) -> None:
        add(envelope(BODHI_TOPIC, msg=BODHI_MSG))
        host.has_hub(stored=1)
        status = host.json()
        assert status["database"]["name"].startswith("postgresql://")
        assert status["schema"]["steps"] == 0
        (category,) = status["newest"]["categories"]
        assert (category["name"], category["messages"]) == ("bodhi", 1)
        assert 0 <= category["age"] < 600
        assert status["rejected"] == {"messages": 0, "categories": {}}
        assert status["hub"]["state"]["stored"] == 1
        assert (status["not_seen"], status["findings"]) == ({}, [])

    def test_metrics_are_in_the_format_of_prometheus(self, host: Host) -> None:
        add(envelope(BODHI_TOPIC, msg=BODHI_MSG))
        add(envelope('org.example.dev.a"b\\c\nd.e'))
        host.has_hub(stored=2)
        shown = host.status("--format", "prometheus")
        assert (shown.returncode, shown.stderr) == (0, "")
        described = set()
        found = {}
        for line in shown.stdout.splitlines():
            if line.startswith("#"):
                described.add(line.split()[2])
            else:
                match = _SAMPLE.fullmatch(line)
                assert match, line
                assert match[1] in described
                assert (match[1], match[3]) not in found
                found[match[1], match[3]] = float(match[4])
        assert found["datanommer_database_up", None] == 1
        assert found["datanommer_messages", None] == 2
        assert found["datanommer_hub_stored_total", None] == 2
        last = found["datanommer_category_last_stored_timestamp_seconds", 'a\\"b\\\\c\\nd']
        assert abs(last - time.time()) < 600


class TestRoles:
    @pytest.fixture
    def roles(self, server: sa.URL, database: str) -> Any:
        if not may_be_made(server):
            pytest.skip("the tests are not connected as a superuser")
        roles = Roles(server, database)
        roles.install()
        yield roles
        roles.remove()
        remove_unused(server)

    def test_a_reader_sees_all_of_it(self, run: Run, tmp_path: Path, roles: Roles) -> None:
        host = Host(tmp_path, run, roles.member("datanommer_reader"))
        assert re.fullmatch(r"datanommer_test_\w+ \(datanommer_reader\)", host.page()["role"])
        assert host.json()["not_seen"] == {}
        assert "not a secret" not in host.status().stdout

    def test_somebody_without_rights_is_told_what_is_not_seen(
        self, run: Run, tmp_path: Path, roles: Roles, database: str
    ) -> None:
        url = roles.member(None)
        host = Host(tmp_path, run, url)
        refused = host.status()
        assert refused.returncode == 1
        assert "This role cannot read the revision of the database" in refused.stdout
        name = sa.make_url(url).username
        execute(database, f"GRANT USAGE ON SCHEMA classic TO {name}")
        execute(database, f"GRANT SELECT ON alembic_version, topics, messages TO {name}")
        page = host.page()
        assert page["rejected"].startswith("not seen: The database refused: permission denied")
        assert page["newest"] == "there is no message"
        assert host.check("--max-rejected", "1")[0] == 3
