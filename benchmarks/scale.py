"""What an archive takes as it grows, and how it answers where most of it is not in memory."""

from __future__ import annotations

import mmap
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import sqlalchemy as sa

from benchmarks import fill, grep
from benchmarks.generator import FIRST, LAST
from benchmarks.measure import Figure, leave_out_of_garbage_collection, percentile, seconds
from benchmarks.setting import Setting, bound
from datanommer.models import Message, session
from datanommer.models.counting.activity import count_by
from datanommer.models.database.binding import bound_engine
from datanommer.models.filtering.filters import Filters
from datanommer.models.finding import latest

_SIZES = """
    SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    AND pg_total_relation_size(oid) > 1000000 ORDER BY pg_total_relation_size(oid) DESC
"""
_MEMORY = (
    "SELECT pg_database_size(current_database()), pg_size_bytes(current_setting('shared_buffers'))"
)
# A session reports its statistics once a second at most, unless it is made to.
_TELL = "SELECT pg_stat_force_next_flush()"
_BLOCKS = "SELECT blks_read FROM pg_stat_database WHERE datname = current_database()"
_WRITTEN = 20_000
_MESSAGES_AGAIN = (
    f"INSERT INTO messages (id, timestamp, msg_id, {fill.COPIED}) "
    f"SELECT id + {_WRITTEN}, now(), left(msg_id, 5) || gen_random_uuid(), {fill.COPIED} "
    f"FROM messages WHERE id > (SELECT max(id) - {_WRITTEN} FROM messages)"
)
_NAMES_AGAIN = (
    "INSERT INTO {table} (name, category, timestamp, msg) "
    f"SELECT name, category, now(), msg + {_WRITTEN} "
    f"FROM {{table}} WHERE msg > (SELECT max(id) - 2 * {_WRITTEN} FROM messages)"
)
_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'"
_BLOCK = 8192
_PAGE = 100
_REPEATED = 100
_MOST_WARMING = 600.0  # seconds
_HOW_TO = (
    "cold is left out: the operating system would keep in its memory what PostgreSQL does not. "
    "README.rst says how to set up a server for it."
)

Ask = Callable[[random.Random], object]


def growth(setting: Setting) -> Iterator[Figure]:
    """Bytes a message of each larger table and of its indexes, in the filled database."""
    with bound(setting.filled) as connection:
        for name, table, indexes in connection.execute(sa.text(_SIZES)).all():
            yield Figure(f"{name}, a message", table / setting.messages, "bytes")
            yield Figure(f"{name}, its indexes, a message", indexes / setting.messages, "bytes")
        size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
        yield Figure("the database, a message", size / setting.messages, "bytes")


def wal(setting: Setting) -> Iterator[Figure]:
    """What storing takes after a checkpoint, in bytes of the log and in blocks; none is kept."""
    with bound(setting.filled) as connection:
        connection.exec_driver_sql("CHECKPOINT")
        read, before = _blocks(), connection.scalar(sa.text(_WAL))
        # A trigger would refuse ids that the sequence has not given out.
        connection.exec_driver_sql("ALTER TABLE messages DISABLE TRIGGER USER")
        connection.exec_driver_sql(_MESSAGES_AGAIN)
        for table in ("user_messages", "package_messages"):
            connection.exec_driver_sql(_NAMES_AGAIN.format(table=table))
        written = connection.scalar(sa.text(_WAL)) - before
        connection.exec_driver_sql(_TELL)
        connection.rollback()
        read = _blocks() - read
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("VACUUM")  # or the tables would stay larger
    what = f"a message, {_WRITTEN:,} after a checkpoint"
    yield Figure(f"WAL {what}", int(written) / _WRITTEN, "bytes")
    yield Figure(f"not in PostgreSQL's memory, {what}", read / _WRITTEN, "blocks")


def cold(setting: Setting) -> Iterator[Figure]:
    """Questions about any time, once PostgreSQL's memory is full; beside the same asked again."""
    with bound(setting.filled) as connection:
        if "data" not in str(connection.scalar(sa.text("SHOW debug_io_direct"))):
            click.echo(_HOW_TO, err=True)
            return
        leave_out_of_garbage_collection()
        asked = _questions(setting)
        size, memory = _memory(connection)
        yield Figure("the database over PostgreSQL's memory", size / memory, "times")
        yield Figure("a block of the disk, p50", _block(connection) * 1e3, "ms")
        yield Figure("asked until the memory was full", _warm(asked, memory), "s")
        for what, ask in asked.items():
            before, seed = _blocks(), time.time()
            first = _times(ask, seed)
            read = (_blocks() - before) / _REPEATED
            again = _times(ask, seed)
            peer = ("the same asked again", percentile(again, 50) * 1e3)
            yield Figure(f"{what}, p50", percentile(first, 50) * 1e3, "ms", *peer)
            yield Figure(f"{what}, p99", percentile(first, 99) * 1e3, "ms")
            yield Figure(f"{what}, from the disk", read, "blocks")


def _questions(setting: Setting) -> dict[str, Ask]:
    made = grep.questions(setting)
    filtered = ("all", "a topic", "a category", "a user", "a package")
    pages = {f"a page before any time, {name}": _page(made[name]) for name in filtered}
    engine = bound_engine()
    return {
        "the newest page, all": lambda _: _found(),
        **pages,
        "latest, of each category": lambda _: latest.of_each_category(engine),
        "latest, of a topic": lambda choice: latest.newest(
            engine, Filters(topics=(choice.choice(setting.bus.topics),))
        ),
        "stats, by topic": lambda _: count_by(engine, "topic", Filters()),
    }


def _page(make: Callable[[random.Random], grep.Filters]) -> Ask:
    def ask(choice: random.Random) -> object:
        end = datetime.fromtimestamp(choice.randrange(FIRST, LAST), UTC).replace(tzinfo=None)
        return _found(start=0, end=end, **make(choice))

    return ask


def _found(**filters: object) -> list[Message]:
    found = list(Message.page(order="desc", rows_per_page=_PAGE, **filters).messages)
    session.remove()  # or SQLAlchemy would remember the messages
    return found


def _memory(connection: sa.Connection) -> tuple[int, int]:
    """The bytes of the database, and those that PostgreSQL keeps of it."""
    size, memory = connection.execute(sa.text(_MEMORY)).one()
    return size, memory


def _warm(asked: dict[str, Ask], memory: int) -> float:
    """Ask until as much has been read as the memory holds; how many seconds that takes."""
    choice = random.Random(time.time())
    start, already = time.monotonic(), _blocks()
    while (_blocks() - already) * _BLOCK < memory:
        for ask in asked.values():
            ask(choice)
        if time.monotonic() - start > _MOST_WARMING:
            click.echo("The memory is not full yet: what follows is colder than it would be.")
            break
    return time.monotonic() - start


def _blocks() -> int:
    """How many blocks of the filled database were read from the disk so far."""
    with bound_engine().connect() as connection:  # that of the questions, from the pool
        connection.exec_driver_sql(_TELL)
        connection.commit()
        return int(connection.scalar(sa.text(_BLOCKS)) or 0)


def _times(ask: Ask, seed: float) -> list[float]:
    choice = random.Random(seed)
    return [seconds(lambda: ask(choice)) for _ in range(_REPEATED)]


def _block(connection: sa.Connection) -> float:
    """The median time to read a random block of the messages straight from the disk."""
    folder, path = connection.execute(
        sa.text("SELECT current_setting('data_directory'), pg_relation_filepath('messages')")
    ).one()
    choice = random.Random(0)
    buffer = mmap.mmap(-1, _BLOCK)  # aligned, as the disk wants it
    file = os.open(Path(folder, path), os.O_RDONLY | os.O_DIRECT)
    try:
        blocks = os.fstat(file).st_size // _BLOCK
        times = [
            seconds(lambda: os.preadv(file, [buffer], choice.randrange(blocks) * _BLOCK))
            for _ in range(_REPEATED)
        ]
    finally:
        os.close(file)
    return percentile(times, 50)
