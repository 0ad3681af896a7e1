"""The real parts that the tests run on: a PostgreSQL server, its databases, the console scripts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import activemq as debian_activemq
import rabbitmq
import stomp
import warm
from databases import Databases, Heads
from datanommer import models
from datanommer.models.database import migrations
from datanommer.models.database.binding import bound_engine
from datanommer.models.database.engine import create_engine
from services import leave_out, need_broker
from shell import Run, script

#: The fixtures of hubs, of what runs in Java, virtual environments, RPMs and the quickstart.
_WAITING = {
    *("hub", "quiet_bus", "scene", "brokered", "activemq", "cluster", "rpms", "venv", "quickstart"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        default="embedded",
        help="the URL of a PostgreSQL server to test on, or `embedded` (the default)",
    )
    parser.addoption(
        "--artifacts",
        type=Path,
        help="the folder of the wheels and sdists to test, and in `dependencies`, of the wheels "
        "that they need; without it they are built, and pip's index is asked",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        # A hub is the same on any server; what differs is what the models ask of it.
        if "server" in fixtures and not fixtures & {"quiet_bus", "hub", "broker"}:
            item.add_marker("database")
    # These wait for other processes, mostly: what computes fills the gaps, and is over sooner.
    items.sort(key=lambda item: not _WAITING & set(getattr(item, "fixturenames", ())))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs_program"):
        for program in marker.args:
            if shutil.which(program) is None:
                leave_out(f"{program} is not installed")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the configuration, the embedded default or the database of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in list(os.environ):
            if name.startswith(("PG", "XDG_", "DATANOMMER_", "FEDMSG")):
                patch.delenv(name)
        patch.setenv("VIRTUAL_ENV", "")
        # A shell lets what runs in its background ignore Ctrl-C, and children would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        yield


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[sa.URL]:
    """A PostgreSQL server, where databases may be made."""
    given = request.config.getoption("--server")
    if given != "embedded":
        yield sa.make_url(given)
        return
    from datanommer.models import embedded

    folder = Path(tempfile.mkdtemp(prefix="datanommer-tests-"))
    url = sa.make_url(embedded.start(folder))
    _save_nothing_for_a_power_cut(url)
    yield url
    embedded.stop(folder)
    shutil.rmtree(folder)


def _save_nothing_for_a_power_cut(server: sa.URL) -> None:
    """Each database that is made or dropped would wait for the disk, and there are hundreds."""
    engine = sa.create_engine(
        server.set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    engine.dispose()


@pytest.fixture(scope="session")
def databases_of_server(request: pytest.FixtureRequest, server: sa.URL) -> Databases:
    # Without fsync, twice as fast as the default; with it, several times slower.
    ours = request.config.getoption("--server") == "embedded"
    return Databases(server, strategy="STRATEGY FILE_COPY" if ours else "")


@pytest.fixture
def empty_database(databases_of_server: Databases) -> Iterator[str]:
    """The URL of an empty database."""
    name = databases_of_server.create()
    yield databases_of_server.url(name)
    databases_of_server.drop(name)


@pytest.fixture(scope="session")
def _head_template(databases_of_server: Databases) -> Iterator[str]:
    name = databases_of_server.create()
    engine = create_engine(databases_of_server.url(name))
    migrations.upgrade(engine)
    engine.dispose()
    yield name
    databases_of_server.drop(name)


@pytest.fixture(scope="session")
def _heads(databases_of_server: Databases, _head_template: str) -> Iterator[Heads]:
    heads = Heads(databases_of_server, _head_template)
    yield heads
    heads.close()


@pytest.fixture
def database(databases_of_server: Databases, _heads: Heads) -> Iterator[str]:
    """The URL of a database at head, with nothing in it."""
    name = _heads.take()
    yield databases_of_server.url(name)
    _heads.give_back(name)


@pytest.fixture
def second_database(databases_of_server: Databases, _heads: Heads) -> Iterator[str]:
    """The URL of another database at head, with nothing in it."""
    name = _heads.take()
    yield databases_of_server.url(name)
    _heads.give_back(name)


@pytest.fixture
def bound(database: str) -> Iterator[str]:
    """The models, bound to a database at head with nothing in it; its URL."""
    models.init(database)
    yield database
    models.session.remove()
    bound_engine().dispose()


@pytest.fixture
def archive(bound: str) -> str:
    """The same; tests of the consumer read it from outside."""
    return bound


@pytest.fixture(scope="session")
def _rabbitmq() -> str | None:
    return rabbitmq.why_not()


@pytest.fixture
def broker(_rabbitmq: str | None, tmp_path: Path) -> Iterator[rabbitmq.Broker]:
    """An exchange and a queue of a RabbitMQ; without one, as `needs_program` without a program."""
    if _rabbitmq:
        leave_out(_rabbitmq)
    broker = rabbitmq.Broker(tmp_path)
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def _rabbitmq_stomp() -> str | None:
    return rabbitmq.why_not_stomp()


@pytest.fixture
def rabbitmq_stomp(_rabbitmq_stomp: str | None, tmp_path: Path) -> Iterator[rabbitmq.Broker]:
    """A queue of a RabbitMQ that speaks STOMP; without one, as `broker` without a RabbitMQ."""
    need_broker(_rabbitmq_stomp)
    broker = rabbitmq.Broker(tmp_path)
    broker.declare_queue()
    yield broker
    broker.close()


@pytest.fixture
def activemq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[debian_activemq.ActiveMQ]:
    """An ActiveMQ of the test's own, which it may kill; without one, as `broker`.

    It is up in a second: cheaper than tests that must leave it to each other as they found it.
    """
    need_broker(debian_activemq.why_not())
    broker = debian_activemq.ActiveMQ(tmp_path_factory.mktemp("activemq"))
    yield broker
    broker.close()


@pytest.fixture
def stomp_broker() -> Iterator[stomp.Broker]:
    """A small STOMP broker of the test's own, whose faults it may choose."""
    broker = stomp.Broker()
    yield broker
    broker.close()


@pytest.fixture
def run() -> Run:
    """Run an installed console script: ``run("datanommer-stats", "--url", url)``."""

    def run(command: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        if warm.can_run(script(command), options):
            return warm.run(script(command), *arguments, **{"timeout": 120, **options})
        options = {"capture_output": True, "text": True, "timeout": 120, **options}
        return subprocess.run([script(command), *arguments], check=False, **options)

    return run
