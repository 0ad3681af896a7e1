"""The whole archive out as JSON and in again: datanommer-dump and datanommer-load."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import orm

from benchmarks import classic_way, storage
from benchmarks.generator import Bus
from benchmarks.measure import Figure, alternate, run, seconds
from benchmarks.setting import Setting, bound
from datanommer.models.database.engine import create_engine

#: The most messages to load: a dump repeats each certificate, and a million take 4 GB of disk.
MOST_LOADED = 1_000_000

_CLASSIC_MESSAGES = 20_000
# What a dump of so many messages and more must reach.
_DUMP = ((1_000_000, 0.9), (100_000, 0.85))

_NAMES = "array(SELECT a.name FROM {} a WHERE a.msg = m.id ORDER BY a.name)"
#: The columns of a record, with nothing done to them.
_COLUMNS = (
    "SELECT m.topic, m.msg, m.msg_id, m.i, m.timestamp, m.username, m.crypto, c.body, m.signature, "
    f"m.source_name, m.source_version, m.headers, {_NAMES.format('user_messages')}, "
    f"{_NAMES.format('package_messages')}, m.extra "
    "FROM messages m LEFT JOIN certificates c ON c.id = m.certificate_id"
)
_BY_TIME = "ORDER BY m.timestamp, m.id"
# What a dump is made of, parents first; `topics` is kept by triggers.
_TABLES = ("certificates", "users", "packages", "messages", "user_messages", "package_messages")
_OF = {"messages": "id", "user_messages": "msg", "package_messages": "msg"}


def dump(setting: Setting) -> Iterator[Figure]:
    """datanommer-dump of all messages, over `psql \\copy` of the same columns."""
    memory = []

    def ours(*options: str) -> float:
        finished = run("datanommer-dump", "--url", setting.filled, *options)
        memory.append(finished.megabytes)
        return setting.messages / finished.seconds

    rates = alternate(
        setting.rounds,
        {
            "list": ours,
            "ndjson": lambda: ours("--format", "ndjson"),
            "copy": lambda: setting.messages / _psql_copy(setting.filled, f"{_COLUMNS} {_BY_TIME}"),
        },
    )
    # The fewer, the more of the time is that of starting Python.
    target = next((ratio for least, ratio in _DUMP if setting.messages >= least), None)
    peer = r"psql \copy of the same columns"
    for form in ("list", "ndjson"):
        what = f"datanommer-dump ({form})"
        yield Figure(what, rates[form], "messages/s", peer, rates["copy"], at_least=target)
    yield Figure("datanommer-dump, peak memory", max(memory), "MB", limit=100)
    with setting.empty(at_head=False) as url:
        storage.fill_classic(url, Bus(_CLASSIC_MESSAGES))
        engine = classic_way.engine(url)
        with orm.Session(engine) as session:
            classic = _CLASSIC_MESSAGES / seconds(lambda: classic_way.dump(session))
        engine.dispose()
    yield Figure("datanommer-dump (list)", rates["list"], "messages/s", "the classic way", classic)


def load(setting: Setting) -> Iterator[Figure]:
    r"""datanommer-load of a dump, over raw COPY of the rows that it leads to."""
    number = min(setting.messages, MOST_LOADED)
    memory = []
    with (
        tempfile.TemporaryDirectory(prefix="datanommer-benchmarks-") as folder,
        setting.empty() as url,
    ):
        last = _timestamp_of(setting.filled, number)
        file = Path(folder, "dump.json")
        with file.open("wb") as output:
            run("datanommer-dump", "--url", setting.filled, "--before", last, stdout=output)

        def ours() -> float:
            empty_tables(url)
            finished = run("datanommer-load", "--url", url, str(file))
            memory.append(finished.megabytes)
            return number / finished.seconds

        # Makes the rows for COPY, which does not care where they come from.
        ours()
        copies = copies_of_tables(url, Path(folder))

        def raw() -> float:
            empty_tables(url)
            return number / copies()

        rates = alternate(setting.rounds, {"load": ours, "copy": raw})
    peer = "raw COPY of the same rows"
    yield Figure("datanommer-load", rates["load"], "messages/s", peer, rates["copy"], at_least=0.7)
    yield Figure("datanommer-load, peak memory", max(memory), "MB", limit=150)


def move(setting: Setting) -> Iterator[Figure]:
    """datanommer-load --from another database, over datanommer-load of a dump of the same."""
    with (
        tempfile.TemporaryDirectory(prefix="datanommer-benchmarks-") as folder,
        setting.empty() as url,
        setting.empty(at_head=False) as classic,
        setting.empty(at_head=False) as newer,
    ):
        storage.fill_classic(classic, setting.bus)
        storage.fill_newer(newer, setting.bus)
        file = Path(folder, "dump.json")
        with file.open("wb") as output:
            run("datanommer-dump", "--url", setting.filled, stdout=output)
        memory: dict[str, list[float]] = {}

        def load(*arguments: str) -> float:
            empty_tables(url)
            finished = run("datanommer-load", "--url", url, *arguments)
            memory.setdefault(arguments[0], []).append(finished.megabytes)
            return setting.messages / finished.seconds

        rates = alternate(
            setting.rounds,
            {
                "dump": lambda: load(str(file)),
                "own": lambda: load("--from", setting.filled),
                "classic": lambda: load("--from", classic),
                "newer": lambda: load("--from", newer),
            },
        )
    for form in ("own", "classic", "newer"):
        yield Figure(
            f"datanommer-load --from ({form} line)",
            rates[form],
            "messages/s",
            "datanommer-load of a dump",
            rates["dump"],
            at_least=0.8,
        )
    yield Figure("datanommer-load --from, peak memory", max(memory["--from"]), "MB", limit=150)


def copies_of_tables(url: str, folder: Path) -> Callable[[], float]:
    r"""Save all tables in files; returns a function that copies them back, and times that."""
    commands = []
    for table in _TABLES:
        file = folder / table
        _psql(url, rf"\copy {table} TO '{file}'")
        commands.append(rf"\copy {table} FROM '{file}'")
    return lambda: _psql(url, "BEGIN", *commands, "COMMIT")


def empty_tables(url: str) -> None:
    """Take all messages out of a database."""
    with contextlib.closing(create_engine(url).raw_connection()) as connection:
        connection.cursor().execute(f"TRUNCATE {', '.join(_TABLES)} CASCADE")
        connection.commit()


def _psql_copy(url: str, query: str) -> float:
    return _psql(url, rf"\copy ({query}) TO '/dev/null'")


def _psql(url: str, *commands: str) -> float:
    arguments = [argument for command in commands for argument in ("-c", command)]
    return run("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", url, *arguments).seconds


def _timestamp_of(url: str, number: int) -> str:
    """When the message with this number was sent, counted from the oldest."""
    with bound(url) as connection:
        found = connection.scalar(
            sa.text("SELECT timestamp FROM messages ORDER BY timestamp, id OFFSET :skip LIMIT 1"),
            {"skip": number - 1},
        )
    assert found is not None
    return str(found.isoformat())
