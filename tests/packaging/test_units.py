"""systemd understands what the packages bring, and what it starts runs."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from certificates import Authority
from shell import ROOT
from venvs import succeed

_SOURCE = ROOT / "packaging" / "systemd"
_UNITS = {path.name for path in _SOURCE.iterdir() if path.suffix in {".service", ".timer"}}
#: The units of other packages that ours change, as those have them.
_HUB = "[Service]\nExecStart=/bin/true\nType=simple\nUser=fedmsg\nGroup=fedmsg\n"
_CONSUMER = "[Service]\nExecStart=/bin/true --conf %i.toml\nType=simple\nRestartSec=60\n"
_STRANGERS = {"fedmsg-hub.service": _HUB, "fm-consumer@datanommer.service": _CONSUMER}
# What `systemd-analyze security` calls the exposure, times ten: 100 is that of a service without
# any restriction, and up to 20 is OK.
_EXPOSURE = 20


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder where systemd looks for units first."""
    folder = tmp_path / "units"
    for name, text in _STRANGERS.items():
        (folder / f"{name}.d").mkdir(parents=True)
        (folder / name).write_text(text)
    shutil.copy(_SOURCE / "datanommer.conf", folder / "fedmsg-hub.service.d")
    shutil.copy(
        _SOURCE / "fm-consumer@datanommer.conf", folder / "fm-consumer@datanommer.service.d"
    )
    for name in _UNITS:
        # The commands are where the tests run, and not where an RPM puts them.
        text = (_SOURCE / name).read_text().replace("/usr/bin/", f"{Path(sys.executable).parent}/")
        (folder / name).write_text(text)
    return folder


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.needs_program("systemd-analyze")
@pytest.mark.parametrize("name", [*_STRANGERS, *sorted(_UNITS)])
def test_systemd_understands_each_unit(units: Path, name: str) -> None:
    verified = analyze(units, "verify", "--man=no", name)
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.needs_program("systemd-analyze")
@pytest.mark.parametrize("name", [*_STRANGERS, *sorted(n for n in _UNITS if "service" in n)])
def test_each_service_may_do_no_more_than_it_needs(units: Path, name: str) -> None:
    looked = analyze(units, "security", "--offline=true", f"--threshold={_EXPOSURE}", name)
    assert looked.returncode == 0, looked.stdout


def test_the_hub_has_time_to_keep_what_it_has_before_systemd_kills_it() -> None:
    settings = dict(
        line.split("=", 1)
        for line in (_SOURCE / "datanommer.conf").read_text().splitlines()
        if re.match(r"\w+=", line)
    )
    assert (settings["Type"], settings["WatchdogSignal"]) == ("notify", "SIGTERM")
    # 3 seconds for the database, 15 for a worker that is stuck, and then the spool.
    assert int(settings["TimeoutStopSec"]) >= 3 * (3 + 15)


@pytest.mark.parametrize("name", ["datanommer-status", "datanommer-verify"])
def test_what_a_timer_runs_runs_on_an_archive(database: str, tmp_path: Path, name: str) -> None:
    unit = (_SOURCE / f"{name}.service").read_text()
    (line,) = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    command, *arguments = line.replace(" $OPTIONS", "").split()
    assert command == f"/usr/bin/{name}"
    config = {**Authority(tmp_path).config, "datanommer.sqlalchemy.url": database}
    file = tmp_path / "fedmsg.py"
    file.write_text(f"config = {config!r}\n")
    done = subprocess.run(
        [Path(sys.executable).with_name(name), "--config-filename", file, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    # The certificates of the tests expire soon, which is a warning.
    is_warning = "SuccessExitStatus=1" in unit and done.stdout.startswith("WARNING: ")
    assert done.returncode == (1 if is_warning else 0), done.stdout + done.stderr


@pytest.mark.needs_program("systemd-analyze")
@pytest.mark.parametrize("name", sorted(n for n in _UNITS if n.endswith(".timer")))
def test_a_timer_has_a_time_and_a_service(name: str) -> None:
    text = (_SOURCE / name).read_text()
    (when,) = re.findall("^OnCalendar=(.*)$", text, re.MULTILINE)
    assert "Next elapse: " in succeed("systemd-analyze", "calendar", when)
    assert name.replace(".timer", ".service") in _UNITS
    assert "WantedBy=timers.target" in text


@pytest.mark.needs_program("systemd-sysusers", "systemd-tmpfiles")
def test_users_and_folders_are_made(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give folders to somebody else")
    for folder in ["etc", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d"]:
        (tmp_path / folder).mkdir(parents=True)
    # The hub's user is made by another package.
    (tmp_path / "usr/lib/sysusers.d/fedmsg.conf").write_text("u fedmsg 912\n")
    shutil.copy(_SOURCE / "sysusers.conf", tmp_path / "usr/lib/sysusers.d/datanommer.conf")
    shutil.copy(_SOURCE / "tmpfiles.conf", tmp_path / "usr/lib/tmpfiles.d/datanommer.conf")
    succeed("systemd-sysusers", f"--root={tmp_path}")
    (user,) = re.findall("^datanommer:.*$", (tmp_path / "etc/passwd").read_text(), re.MULTILINE)
    assert user.endswith("/nologin")
    succeed("systemd-tmpfiles", f"--root={tmp_path}", "--create", "datanommer.conf")
    for folder, mode in {"var/spool/datanommer": 0o700, "run/datanommer": 0o755}.items():
        made = (tmp_path / folder).stat()
        assert (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid) == (mode, 912, 912)
