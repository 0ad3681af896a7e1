"""Rewrite the classic messages, with their users and packages, into the new tables"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from alembic import op
from alembic.util import CommandError
from psycopg2.extras import execute_values

from datanommer.models.envelopes import json_text
from datanommer.models.storing import copy_format

revision = "1f7c58e2a96d"
down_revision = "b36a9e0d74c1"

#: A range ends at whichever comes first, so that memory stays flat however long the messages are.
RANGE_ROWS = 5_000
RANGE_CHARACTERS = 16 * 1024 * 1024
FETCH_ROWS = 100
#: The certificates whose ids are remembered; a bus has as many as hosts, and a few a year more.
KNOWN_CERTIFICATES = 10_000
SECONDS_BETWEEN_LINES = 5

# What the new tables hold, in bytes of UTF-8, levels of JSON, and characters of JSON.
MAX_TEXT_BYTES = 1024
MAX_DEPTH = 500
MAX_JSON_LENGTH = 64 * 1024 * 1024


class Naming(NamedTuple):
    """The tables that say which messages concern whom."""

    what: str
    classic_names: str
    classic_table: str
    classic_column: str
    names: str
    table: str


USERS = Naming(
    "users", "classic_user", "classic_user_messages", "username", "users", "user_messages"
)
PACKAGES = Naming(
    "packages",
    "classic_package",
    "classic_package_messages",
    "package",
    "packages",
    "package_messages",
)
NAMINGS = (USERS, PACKAGES)


class Classic(NamedTuple):
    """A row of the classic table; the columns have their classic names."""

    id: int
    msg_id: str | None
    i: int | None
    topic: str | None
    timestamp: str | None
    certificate: str | None
    signature: str | None
    category: str | None
    username: str | None
    crypto: str | None
    source_name: str | None
    source_version: str | None
    msg: str | None
    headers: str | None
    is_in_range: bool | None
    is_repeated: bool


class Reject(NamedTuple):
    """What the new tables cannot hold."""

    msg_id: str | None
    topic: str | None
    reason: str
    raw: bytes


class CannotBeCarriedError(Exception):
    """The new tables cannot hold a row; says why."""


# The timestamp as text: psycopg2 cannot read infinity, years BC or years of five digits.
CLASSIC_ROWS = """
    SELECT id, msg_id, i, topic, timestamp::text, certificate, signature, category, username,
        crypto, source_name, source_version, _msg, _headers,
        timestamp >= '1970-01-01' AND timestamp < '10000-01-01',
        EXISTS (SELECT FROM classic_repeated WHERE classic_repeated.id = classic_messages.id)
    FROM classic_messages ORDER BY id
"""
# By bytes, and not through an index of the classic table: one that an upgrade of libc broke lets
# the same id in twice.
REPEATED = """
    CREATE TEMPORARY TABLE classic_repeated (id bigint PRIMARY KEY) ON COMMIT DROP;
    INSERT INTO classic_repeated SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY name ORDER BY is_made, id) AS place FROM (
            SELECT id, coalesce(msg_id, '') = '' AS is_made, coalesce(
                nullif(msg_id, ''), to_char(timestamp, 'FMYYYY') || '-classic-' || id
            ) COLLATE "C" AS name
            FROM classic_messages
        ) AS named
        WHERE name IS NOT NULL
    ) AS placed WHERE place > 1;
    ANALYZE classic_repeated
"""
NEEDS = """
    SELECT pg_size_pretty(tables), pg_size_pretty(
        tables + least(tables, pg_size_bytes(current_setting('max_wal_size')))
    ) FROM (
        SELECT pg_table_size('classic_messages')
            + pg_table_size('classic_user_messages') * 2
            + pg_table_size('classic_package_messages') * 2 AS tables
    ) AS sizes
"""
IS_NAME = "{column} <> '' AND octet_length({column}) <= 1024"
COLUMNS = (
    "id, msg_id, i, topic, category, timestamp, username, crypto, signature, certificate_id, "
    "source_name, source_version, msg, headers, extra, stored_at"
)


def upgrade() -> None:
    cursor = op.get_bind().connection.cursor()
    total = _one(cursor, "SELECT count(*) FROM classic_messages")
    if total:
        _say_what_it_needs(cursor, total)
    _prepare(cursor)
    for naming in NAMINGS:
        _copy_names(cursor, naming)
    Rewriting(total).run()
    for naming in NAMINGS:
        _say_what_is_left(cursor, naming)
    cursor.execute(
        "SELECT setval(pg_get_serial_sequence('messages', 'id'), max(id)) FROM classic_messages "
        "HAVING max(id) > 0"
    )
    if total:
        # Not while they are empty: the planner would take them for empty until the next ANALYZE,
        # and every foreign key would be checked by reading the whole table.
        cursor.execute("ANALYZE messages, user_messages, package_messages, users, packages")


def downgrade() -> None:
    connection = op.get_bind()
    if connection.exec_driver_sql(
        "SELECT 1 FROM messages WHERE stored_at IS NOT NULL UNION ALL "
        "SELECT 1 FROM rejected WHERE kind <> 'classic' LIMIT 1"
    ).first():
        raise CommandError(
            "There are messages that came after the upgrade, and this downgrade would drop them. "
            "Take them along with datanommer-dump, and delete them first."
        )
    # Not by the upgrade: at its end, anyone who reads these tables would undo all of it.
    for naming in NAMINGS:
        op.execute(f"DROP INDEX IF EXISTS {_index(naming)}")
    # The classic tables still have it all.
    op.execute(
        "TRUNCATE messages, user_messages, package_messages, users, packages, certificates, "
        "rejected RESTART IDENTITY"
    )


def _say(line: str) -> None:
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()


def _one(cursor: Any, sql: str, parameters: Any = None) -> Any:
    cursor.execute(sql, parameters)
    return cursor.fetchone()[0]


def _say_what_it_needs(cursor: Any, total: int) -> None:
    cursor.execute(NEEDS)
    tables, needed = cursor.fetchone()
    _say(f"{total:,} classic messages in tables of {tables}")
    _say(f"needs about {needed} of free disk at the server, the write-ahead log included,")
    _say("until the next step drops the classic tables")


def _prepare(cursor: Any) -> None:
    cursor.execute("SET LOCAL datestyle = ISO")
    cursor.execute(REPEATED)
    for naming in NAMINGS:
        cursor.execute(f"CREATE INDEX {_index(naming)} ON {naming.classic_table} (msg)")
        cursor.execute(f"ANALYZE {naming.classic_table}")


def _index(naming: Naming) -> str:
    return f"{naming.classic_table}_of_a_range"


def _copy_names(cursor: Any, naming: Naming) -> None:
    every = (
        f"(SELECT name FROM {naming.classic_names} "
        f"UNION SELECT {naming.classic_column} FROM {naming.classic_table}) AS every"
    )
    is_name = IS_NAME.format(column="name")
    cursor.execute(f"INSERT INTO {naming.names} SELECT name FROM {every} WHERE {is_name}")
    cursor.execute(f"SELECT name FROM {naming.classic_names} WHERE NOT ({is_name})")
    rejects = [_rejected_name(name, {"table": naming.names, "name": name}) for (name,) in cursor]
    _insert_rejects(cursor, rejects)


def _rejected_name(name: str, row: dict[str, Any]) -> Reject:
    size = len(name.encode())
    reason = f"the name is {size} bytes long; 1 to {MAX_TEXT_BYTES} are stored"
    return Reject(row.get("msg_id"), row.get("topic"), reason, _raw(row))


def _raw(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode("ascii")


def _insert_rejects(cursor: Any, rejects: Iterable[Reject]) -> None:
    execute_values(
        cursor,
        "INSERT INTO rejected (kind, msg_id, topic, reason, raw, sha256) VALUES %s "
        "ON CONFLICT (sha256) DO UPDATE SET seen = rejected.seen + 1",
        [
            ("classic", msg_id, topic, reason, raw, hashlib.sha256(raw).digest())
            for msg_id, topic, reason, raw in rejects
        ],
        page_size=100,
    )


def _say_what_is_left(cursor: Any, naming: Naming) -> None:
    """Rows of the classic line that name no message, or nobody, say nothing: they are only told."""
    left = _one(
        cursor,
        f"SELECT count(*) FROM {naming.classic_table} AS a WHERE a.{naming.classic_column} IS NULL "
        "OR NOT EXISTS (SELECT FROM classic_messages AS m WHERE m.id = a.msg)",
    )
    if left:
        _say(f"left out {left:,} rows of {naming.classic_table} that name no message or nobody")


class Rewriting:
    """The way through the classic messages, in ranges of id."""

    def __init__(self, total: int) -> None:
        self._connection: Any = op.get_bind().connection
        self._cursor = self._connection.cursor()
        self._certificates = Certificates(self._cursor)
        self._total = total
        self._carried = 0
        self._rejected = 0
        self._started = self._last_line = time.monotonic()

    def run(self) -> None:
        for batch in self._ranges():
            self._rewrite(batch)
            if time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
                self._last_line = time.monotonic()
                self._say_how_far(batch[-1].id)
        if self._total:
            _say(f"rewritten: {self._carried:,} messages; rejected: {self._rejected:,}")
        if self._carried + self._rejected != self._total:
            raise CommandError(
                f"Of {self._total} messages, {self._carried + self._rejected} were met. Nothing "
                "of this step is kept: stop what else writes to the database, and run it again."
            )

    def _ranges(self) -> Iterator[list[Classic]]:
        # Not closed where something fails: that would hide what failed.
        rows = self._connection.cursor("classic")
        rows.itersize = FETCH_ROWS
        # To sort the whole table would take as much disk again; its primary key is in order.
        self._cursor.execute("SET LOCAL enable_sort = off")
        rows.execute(CLASSIC_ROWS)
        self._cursor.execute("SET LOCAL enable_sort = on")
        batch: list[Classic] = []
        characters = 0
        for values in rows:
            row = Classic._make(values)
            batch.append(row)
            characters += sum(len(value) for value in row if isinstance(value, str))
            if len(batch) >= RANGE_ROWS or characters >= RANGE_CHARACTERS:
                yield batch
                batch, characters = [], 0
        if batch:
            yield batch
        rows.close()

    def _rewrite(self, batch: list[Classic]) -> None:
        certificates = self._certificates.ids(row.certificate for row in batch)
        rejects: dict[int, tuple[Classic, str]] = {}
        lines = _lines(batch, certificates, rejects)
        copy_format.copy(self._cursor, "messages", COLUMNS, lines)
        for naming in NAMINGS:
            self._associate(naming, batch[0].id, batch[-1].id)
        self._reject(rejects)
        self._carried += len(batch) - len(rejects)
        self._rejected += len(rejects)

    def _associate(self, naming: Naming, first: int, last: int) -> None:
        join = (
            f"FROM {naming.classic_table} AS a JOIN messages AS m ON m.id = a.msg "
            "WHERE a.msg BETWEEN %(first)s AND %(last)s AND m.id BETWEEN %(first)s AND %(last)s"
        )
        is_name = IS_NAME.format(column=f"a.{naming.classic_column}")
        between = {"first": first, "last": last}
        self._cursor.execute(
            f"INSERT INTO {naming.table} (name, timestamp, category, msg) SELECT DISTINCT "
            f"a.{naming.classic_column}, m.timestamp, m.category, m.id {join} AND {is_name}",
            between,
        )
        self._cursor.execute(
            f"SELECT DISTINCT a.{naming.classic_column}, m.msg_id, m.topic {join} "
            f"AND NOT ({is_name})",
            between,
        )
        rejects = [
            _rejected_name(
                name, {"table": naming.table, "name": name, "msg_id": msg_id, "topic": topic}
            )
            for name, msg_id, topic in self._cursor.fetchall()
        ]
        _insert_rejects(self._cursor, rejects)

    def _reject(self, rejects: dict[int, tuple[Classic, str]]) -> None:
        if not rejects:
            return
        names = {naming.what: self._names(naming, list(rejects)) for naming in NAMINGS}
        _insert_rejects(
            self._cursor,
            [
                Reject(row.msg_id, row.topic, reason, _raw(_everything(row, names)))
                for row, reason in rejects.values()
            ],
        )

    def _names(self, naming: Naming, messages: list[int]) -> dict[int, list[str]]:
        self._cursor.execute(
            f"SELECT msg, array_agg(DISTINCT {naming.classic_column}) FROM {naming.classic_table} "
            f"WHERE msg = ANY(%s) GROUP BY msg",
            (messages,),
        )
        return dict(self._cursor.fetchall())

    def _say_how_far(self, last: int) -> None:
        done = self._carried + self._rejected
        speed = done / (time.monotonic() - self._started)
        left = (self._total - done) / speed
        _say(
            f"{done:,} of {self._total:,} messages ({100 * done // self._total} %), up to id "
            f"{last}, {self._rejected:,} rejected; {speed:,.0f} a second, about "
            f"{left // 60:.0f} min {left % 60:.0f} s left"
        )


def _everything(row: Classic, names: dict[str, dict[int, list[str]]]) -> dict[str, Any]:
    """A row under its classic columns, with the names of its users and packages."""
    columns = row._asdict()
    for name in ("is_in_range", "is_repeated"):
        del columns[name]
    for name in ("msg", "headers"):
        columns[f"_{name}"] = columns.pop(name)
    return {**columns, **{what: of_rows.get(row.id, []) for what, of_rows in names.items()}}


class Certificates:
    """The ids of certificates, each inserted once; the latest used are remembered."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def ids(self, bodies: Iterable[str | None]) -> dict[str, int]:
        """The id of each of the certificates."""
        hashes = {
            body: hashlib.sha256(body.encode()).digest() for body in set(bodies) if body is not None
        }
        new = {key: body for body, key in hashes.items() if key not in self._known}
        if new:
            self._insert(new)
        for key in hashes.values():
            self._known.move_to_end(key)
        found = {body: self._known[key] for body, key in hashes.items()}
        while len(self._known) > KNOWN_CERTIFICATES:
            self._known.popitem(last=False)
        return found

    def _insert(self, new: dict[bytes, str]) -> None:
        keys = sorted(new)
        execute_values(
            self._cursor,
            "INSERT INTO certificates (body, sha256) VALUES %s ON CONFLICT (sha256) DO NOTHING",
            [(new[key], key) for key in keys],
        )
        self._cursor.execute("SELECT sha256, id FROM certificates WHERE sha256 = ANY(%s)", (keys,))
        self._known.update((bytes(key), number) for key, number in self._cursor)


def _lines(
    batch: list[Classic],
    certificates: dict[str, int],
    rejects: dict[int, tuple[Classic, str]],
) -> Iterator[str]:
    """The lines for COPY; a row that cannot be carried over goes into `rejects`, and why."""
    for row in batch:
        try:
            yield _line(row, certificates)
        except CannotBeCarriedError as error:
            rejects[row.id] = row, str(error)


def _line(row: Classic, certificates: dict[str, int]) -> str:
    """The row for COPY.

    Raises:
        CannotBeCarriedError: there is none; says why.
    """
    if row.timestamp is None or not row.is_in_range:
        raise CannotBeCarriedError(f"timestamp {row.timestamp} is outside the years 1970 to 9999")
    if not row.topic:
        raise CannotBeCarriedError("it has no topic")
    msg_id = row.msg_id or f"{row.timestamp[:4]}-classic-{row.id}"
    if row.is_repeated:
        raise CannotBeCarriedError(f"the id {msg_id} belongs to another message")
    category = _categorize(row.topic) if row.category is None else row.category
    indexed = {
        "msg_id": msg_id,
        "topic": row.topic,
        "category": category,
        "username": row.username or "",
    }
    for name, text in indexed.items():
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise CannotBeCarriedError(
                f"{name} is {len(text.encode())} bytes long; at most {MAX_TEXT_BYTES} are stored"
            )
    headers, strange_headers = _headers(row.headers)
    signature = None if row.signature is None else _pack(row.signature, row.crypto)
    # What the columns cannot hold; the order is that of the archive.
    changed: dict[str, Any] = {}
    if row.signature is not None and signature is None:
        changed["signature"] = row.signature
    if strange_headers is not None:
        changed["headers"] = strange_headers
    return "\t".join(
        (
            str(row.id),
            _field(msg_id),
            str(row.i or 0),
            _field(row.topic),
            _field(category),
            f"{row.timestamp}+00",
            _field(row.username),
            _field(row.crypto),
            r"\N" if signature is None else rf"\\x{signature.hex()}",
            r"\N" if row.certificate is None else str(certificates[row.certificate]),
            _field(row.source_name),
            _field(row.source_version),
            _field(_json("_msg", row.msg or "")[1]),
            _field(headers),
            _field(json.dumps({"set": changed}) if changed else None),
            r"\N",
        )
    )


def _categorize(topic: str) -> str:
    parts = topic.split(".")
    place = 2 if "VirtualTopic" in topic else 3
    return (parts[place] if len(parts) > place else "") or "Unclassified"


_ESCAPES = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"))


def _field(text: str | None) -> str:
    if text is None:
        return r"\N"
    # Many times faster than str.translate on long texts.
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


def _pack(signature: str, crypto: str | None) -> bytes | None:
    """The bytes of a signature, if it is base64 in the form that fedmsg writes."""
    try:
        packed = binascii.a2b_base64(signature)
    except ValueError:
        return None
    encode = base64.b64encode if crypto == "gpg" else base64.encodebytes
    return packed if packed and encode(packed).decode() == signature else None


def _headers(text: str | None) -> tuple[str | None, Any]:
    """The column `headers`, and what of them is not for a column."""
    if not text:
        return None, None
    value, written = _json("_headers", text)
    if value is None:
        return None, None
    if isinstance(value, dict):
        return written, None
    return None, value


def _json(name: str, text: str) -> tuple[Any, str]:
    """What the text means, and the JSON that the archive writes for that."""
    try:
        value = json_text.read(text)
        # Nothing nests deeper than it has opening brackets, and counting those is quick.
        is_deep = text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH
        # The text of json.dumps, for good; only the time that it takes may change.
        written = "" if is_deep else json_text.write_again(value, MAX_JSON_LENGTH)
    except RecursionError:
        is_deep = True
    except ValueError as error:
        raise CannotBeCarriedError(f"{name} is not JSON: {_why(text, error)}") from None
    if is_deep:
        raise CannotBeCarriedError(f"{name} nests deeper than {MAX_DEPTH} levels")
    if len(written) > MAX_JSON_LENGTH:
        raise CannotBeCarriedError(
            f"{name} is {len(written)} bytes of JSON; at most {MAX_JSON_LENGTH} are stored"
        )
    return value, written


def _why(text: str, error: ValueError) -> ValueError:
    """Why a text is not JSON; of NaN, Python says so only where it writes it."""
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError as reason:
        return reason
    return error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _depth(value: Any) -> int:
    depth = 0
    level = [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
