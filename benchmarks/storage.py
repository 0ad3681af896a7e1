"""What a message takes on disk, and the way of a classic database to head."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import sqlalchemy as sa
from alembic.script import ScriptDirectory

import classic
import newer
from benchmarks import fill
from benchmarks.generator import Bus, Sent
from benchmarks.measure import Figure, seconds
from benchmarks.setting import Setting
from datanommer import models
from datanommer.models.database import migrations
from datanommer.models.database.binding import bound_engine
from datanommer.models.database.engine import create_engine
from datanommer.models.envelopes.category import categorize
from datanommer.models.storing.batch import MAX_BATCH, Batch, store

_MESSAGES = 20_000
_MEANS = (800, 1_100, 2_000)
_TARGET_MEAN = 1_100
_SHARE = 10_000
_SIZE = """
    SELECT sum(pg_total_relation_size(oid)) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""
_COLUMNS = {
    "messages": "id, msg_id, i, topic, timestamp, certificate, signature, category, username, "
    "crypto, source_name, source_version, _msg",
    "user": "name",
    "package": "name",
    "user_messages": "username, msg",
    "package_messages": "package, msg",
}
_CLASSIC_TO_NEWER = """
    INSERT INTO messages (id, msg_id, i, topic, timestamp, certificate, signature, category,
        agent_name, crypto, source_name, source_version, msg)
    SELECT id, msg_id, i, topic, timestamp, certificate, signature, category,
        username, crypto, source_name, source_version, _msg FROM old.messages;
    INSERT INTO users (name) SELECT name FROM old."user";
    INSERT INTO packages (name) SELECT name FROM old.package;
    INSERT INTO users_messages SELECT u.id, m.id, m.timestamp
        FROM old.user_messages AS o JOIN users AS u ON u.name = o.username
        JOIN old.messages AS m ON m.id = o.msg;
    INSERT INTO packages_messages SELECT p.id, m.id, m.timestamp
        FROM old.package_messages AS o JOIN packages AS p ON p.name = o.package
        JOIN old.messages AS m ON m.id = o.msg;
    DROP SCHEMA old CASCADE;
"""


def disk(setting: Setting) -> Iterator[Figure]:
    """Bytes a signed message (tables, indexes and TOAST), over the classic schema."""
    for mean in _MEANS:
        bus = Bus(_MESSAGES, mean_bytes=mean)
        with setting.empty() as url:
            for start in range(0, _MESSAGES, MAX_BATCH):
                rows = [fill.row(each) for each in bus.sent(start, start + MAX_BATCH)]
                store(bound_engine(), Batch.of(rows))
            ours = size_of(url)
        with setting.empty(at_head=False) as url:
            fill_classic(url, bus)
            classic_bytes = size_of(url)
        yield Figure(
            f"disk a message of {mean / 1000:g} kB",
            *(ours / _MESSAGES, "bytes", "the classic schema", classic_bytes / _MESSAGES),
            at_most=0.6 if mean == _TARGET_MEAN else None,
        )


def migration(setting: Setting) -> Iterator[Figure]:
    """Messages a second of each step of the migrations, from the classic schema to head."""
    with setting.empty(at_head=False) as url:
        fill_classic(url, setting.bus)
        engine = create_engine(url)
        script = ScriptDirectory(str(Path(models.__file__).with_name("alembic")))
        total = 0.0
        for step in reversed(list(script.walk_revisions())):
            took = seconds(lambda: migrations.upgrade(engine, step.revision))  # noqa: B023
            total += took
            yield Figure(f"alembic: {step.doc}", setting.messages / took, "messages/s")
        yield Figure("alembic, classic to head", setting.messages / total, "messages/s")
        engine.dispose()


def fill_classic(url: str, bus: Bus) -> None:
    """Make a classic database that holds all messages of a bus."""
    classic.make(url)
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        names: dict[str, set[str]] = {"user": set(), "package": set()}
        for start in range(0, bus.messages, _SHARE):
            share = list(enumerate(bus.sent(start, min(start + _SHARE, bus.messages)), start + 1))
            links = {
                "user_messages": [(name, number) for number, sent in share for name in sent.users],
                "package_messages": [
                    (name, number) for number, sent in share for name in sent.packages
                ],
            }
            for table, link in (("user", "user_messages"), ("package", "package_messages")):
                new = {name for name, _ in links[link]} - names[table]
                names[table] |= new
                _copy(cursor, table, [(name,) for name in sorted(new)])
            _copy(cursor, "messages", [_classic_row(number, sent) for number, sent in share])
            for table, rows in links.items():
                _copy(cursor, table, rows)
        connection.commit()


def fill_newer(url: str, bus: Bus) -> None:
    """Make a database of the newer line that holds all messages of a bus."""
    fill_classic(url, bus)
    classic.execute(url, "ALTER SCHEMA public RENAME TO old; CREATE SCHEMA public")
    newer.make(url)
    classic.execute(url, _CLASSIC_TO_NEWER)


def _classic_row(number: int, sent: Sent) -> tuple[object, ...]:
    body = sent.envelope["body"]
    return (
        *(number, body["msg_id"], body["i"], body["topic"]),
        datetime.fromtimestamp(body["timestamp"], UTC).replace(tzinfo=None),
        *(body["certificate"], body["signature"], categorize(body["topic"])),
        *(body["username"], body["crypto"], "datanommer", "0.9.1", json.dumps(body["msg"])),
    )


def _copy(
    cursor: psycopg2.extensions.cursor, table: str, rows: Sequence[tuple[object, ...]]
) -> None:
    lines = "".join(
        "\t".join(str(value).replace("\\", "\\\\").replace("\n", "\\n") for value in row) + "\n"
        for row in rows
    )
    cursor.copy_expert(f'COPY "{table}" ({_COLUMNS[table]}) FROM STDIN', io.StringIO(lines))


def size_of(url: str) -> int:
    """How much room all tables of a database take, with their indexes and TOAST, in bytes."""
    engine = create_engine(url)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM")
        size = connection.scalar(sa.text(_SIZE))
    engine.dispose()
    return int(size or 0)
