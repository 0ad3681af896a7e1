"""Fill a database with the made-up bus, quickly: what slows down writing is put back afterwards.

    python -m benchmarks.fill --url postgresql://root@127.0.0.1/bench_1m --messages 1_000_000

The database is made where it is not there, and must hold no messages. Of more than half a million,
the rest are copies of the first half million, with ids of their own, and sent one after another.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence

import click
import sqlalchemy as sa

from benchmarks.generator import Bus, Sent
from datanommer import models
from datanommer.models.database import migrations
from datanommer.models.database.binding import bound_engine
from datanommer.models.database.engine import create_engine
from datanommer.models.envelopes.row import Row
from datanommer.models.storing.batch import Batch, store

_BATCH = 5_000
_SHARE = 10_000
#: How many messages are made up; PostgreSQL copies them ten times as fast.
_MADE_UP = 500_000
# A crash costs a benchmark nothing: the database is just filled again.
_SETTINGS = {"synchronous_commit": "off", "maintenance_work_mem": "512MB"}
#: The columns that are the same in a copy of a message.
COPIED = (
    "i, topic, category, username, crypto, signature, certificate_id, source_name, source_version, "
    "msg, headers, extra"
)
# Constraints that only help readers, or catch mistakes of writers. The others stay: ON CONFLICT
# needs them, or they are small.
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' OR contype = 'p' AND conrelid = ANY(
        ARRAY['user_messages', 'package_messages']::regclass[]
    )
    ORDER BY contype, conrelid, conname
"""
_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE NOT indisunique AND indrelid IN (
        SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
    )
"""


def fill(url: str, bus: Bus, processes: int | None = None) -> None:
    """Store all messages of a bus in a database, which is brought to head first.

    Args:
        url: of a database that exists and holds no messages.
        bus: the messages.
        processes: how many write at the same time; without it, as many as there are cores.
    """
    engine = create_engine(url, settings=_SETTINGS)
    migrations.upgrade(engine)
    made_up = min(bus.messages, _MADE_UP)
    shares = [(start, min(start + _SHARE, made_up)) for start in range(0, made_up, _SHARE)]
    with _without_indexes(engine):
        write_all(url, bus, shares, processes or os.cpu_count() or 1)
        for start in range(made_up, bus.messages, made_up):
            _copy(engine, bus, start, min(made_up, bus.messages - start))
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


def write_all(url: str, bus: Bus, shares: Sequence[tuple[int, int]], processes: int) -> None:
    """Store shares of a bus (from, to), each in one of so many processes."""
    with (
        concurrent.futures.ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), _begin, (url, bus)
        ) as pool,
        click.progressbar(length=shares[-1][1], label="messages") as progress,
    ):
        for number in pool.map(_write, *zip(*shares, strict=True)):
            progress.update(number)


_bus: Bus


def _begin(url: str, bus: Bus) -> None:
    global _bus  # noqa: PLW0603  of a process that writes
    _bus = bus
    models.init(engine=create_engine(url, settings=_SETTINGS))


def _write(start: int, stop: int) -> int:
    for first in range(start, stop, _BATCH):
        batch = Batch.of(row(sent) for sent in _bus.sent(first, min(first + _BATCH, stop)))
        counts = store(bound_engine(), batch)
        assert counts.stored == min(first + _BATCH, stop) - first, counts
    return stop - start


def _copy(engine: sa.Engine, bus: Bus, start: int, number: int) -> None:
    """Copy the first `number` messages as those from `start` on, with times to match."""
    shift = f"make_interval(secs => {bus.seconds * start // bus.messages})"
    msg_id = "left(msg_id, 5) || gen_random_uuid()"
    _run(
        engine,
        f"INSERT INTO messages (id, timestamp, msg_id, {COPIED}) "
        f"SELECT id + {start}, timestamp + {shift}, {msg_id}, {COPIED} "
        f"FROM messages WHERE id <= {number} ORDER BY id",
    )
    for table in ("user_messages", "package_messages"):
        _run(
            engine,
            f"INSERT INTO {table} (name, category, timestamp, msg) "
            f"SELECT name, category, timestamp + {shift}, msg + {start} "
            f"FROM {table} WHERE msg <= {number} ORDER BY msg",
        )
    click.echo(f"{start + number:,} messages", err=True)


def row(sent: Sent) -> Row:
    """The row of a message, with the users and packages that the bus knows."""
    made = Row.from_envelope(sent.envelope)
    made.users, made.packages = sent.users, sent.packages
    return made


@contextlib.contextmanager
def _without_indexes(engine: sa.Engine) -> Iterator[None]:
    """Drop indexes and constraints, and make them again, whatever happens."""
    with engine.begin() as connection:
        assert not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM messages)")), (
            "the database holds messages"
        )
        constraints = connection.exec_driver_sql(_CONSTRAINTS).all()
        indexes = connection.exec_driver_sql(_INDEXES).all()
        for table, name, _ in constraints:
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        connection.exec_driver_sql("ALTER TABLE messages DISABLE TRIGGER USER")
    try:
        yield
    finally:
        for _, definition in indexes:
            _run(engine, definition)
        for table, name, definition in reversed(constraints):
            _run(engine, f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        _run(engine, "ALTER TABLE messages ENABLE TRIGGER USER")
        _run(engine, "SELECT datanommer_recount_topics()")
        _run(
            engine,
            "SELECT setval(pg_get_serial_sequence('messages', 'id'), max(id)) FROM messages",
        )


def _run(engine: sa.Engine, sql: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(sql)


def create_database(url: str) -> None:
    """Make the database that a URL names, where it is not there."""
    with administration(url) as connection:
        name = sa.make_url(url).database
        if name not in set(connection.scalars(sa.text("SELECT datname FROM pg_database"))):
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')


@contextlib.contextmanager
def administration(url: str) -> Iterator[sa.Connection]:
    """A connection that can make and drop databases on the server of a URL."""
    server = sa.make_url(url).set(database="postgres").render_as_string(hide_password=False)
    engine = create_engine(server)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection
    engine.dispose()


@click.command(help=__doc__)
@click.option("--url", required=True, help="The database to fill.")
@click.option("--messages", type=int, default=100_000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--processes", type=int, help="How many write; default: one a core.")
def main(url: str, messages: int, seed: int, processes: int | None) -> None:
    start = time.monotonic()
    create_database(url)
    fill(url, Bus(messages, seed=seed), processes)
    engine = create_engine(url)
    with engine.connect() as connection:
        size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
    seconds = time.monotonic() - start
    click.echo(
        f"{messages:,} messages in {seconds:,.0f} s ({messages / seconds:,.0f} a second), "
        f"{size / 1e9:.1f} GB"
    )


if __name__ == "__main__":
    main()
