"""From the bus to the database, through a real fedmsg-hub."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fedmsg.encoding
import psycopg2
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import classic
from benchmarks.generator import FEDORA, UNKNOWN, Bus
from benchmarks.measure import ROOT, Figure, alternate, percentile
from benchmarks.setting import Setting
from bus import Bus as LocalBus
from certificates import Authority
from datanommer.models.configuration import REPLAY_SECONDS_KEY
from datanommer.models.spooling.spool import Spool

#: The key of the configuration that names the file which says how many messages came so far.
COUNT_KEY = "benchmarks.count_file"
#: How often that file is written, in messages.
EVERY_KEY = "benchmarks.count_every"
#: The key that names the database of the classic way.
CLASSIC_KEY = "benchmarks.classic_url"
#: The size of a message without a signature, as a publisher sends it.
BODY_BYTES = 656
# Who signs, and the size of a message with the signature and the certificate.
_SIGNER = "shell.test"
_SIGNED_BYTES = 3_100
_FLOOD = 20_000
_CLASSIC_FLOOD = 1_000
_PATIENCE = 120  # seconds
_REPLAY_SECONDS = 60
_POLL = 0.01  # seconds
_RATE = 10  # messages a second of a quiet bus
_QUIET_MESSAGES = 300
# The size of a flood during which the hub is told to end. It repeats `_SIGNED` messages, because
# signing takes long.
_BACKLOG = 200_000
_SIGNED = 1_000
_NOWHERE = "postgresql://somebody@127.0.0.1:1/nowhere"
# Tells whoever listens that messages are committed: PostgreSQL notifies at the end of COMMIT.
_NOTIFY = """
    CREATE FUNCTION benchmark_notify() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NOTIFY benchmark; RETURN NULL; END $$;
    CREATE TRIGGER benchmark_notify AFTER INSERT ON messages
    FOR EACH STATEMENT EXECUTE FUNCTION benchmark_notify();
"""


def throughput(setting: Setting) -> Iterator[Figure]:
    """Messages a second of a flood, over those of a consumer that does nothing."""
    rounds = setting.rounds
    unknown = small_bus(2 * rounds * _FLOOD, UNKNOWN)
    fedora = small_bus(rounds * _FLOOD, FEDORA, seed=1)
    with contextlib.ExitStack() as stack:
        authority = Authority(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        authority.issue(_SIGNER)
        url, classic_url = (
            stack.enter_context(setting.empty(at_head=at_head)) for at_head in (True, False)
        )
        classic.make(classic_url)
        ours = stack.enter_context(_hub({"datanommer.sqlalchemy.url": url}))
        replay = {REPLAY_SECONDS_KEY: _REPLAY_SECONDS}
        replaying = stack.enter_context(_hub({"datanommer.sqlalchemy.url": url, **replay}))
        validating = stack.enter_context(
            _hub({"datanommer.sqlalchemy.url": url, **authority.config})
        )
        no_op = stack.enter_context(_counting_hub("NoOp", _FLOOD))
        classic_one = stack.enter_context(
            _counting_hub("Classic", _CLASSIC_FLOOD, **{CLASSIC_KEY: classic_url})
        )
        stored = stack.enter_context(counter(url))
        slices = _slices(unknown, _FLOOD)
        rates = alternate(
            rounds,
            {
                "no-op": _flood(no_op, _slices(unknown, _FLOOD), no_op.count),
                "ours": _flood(ours, slices, stored),
                "replaying": _flood(replaying, slices, stored),
                "signed": _flood(validating, _signed(authority, rounds), stored),
                "fedora": _flood(ours, _slices(fedora, _FLOOD), stored),
                "classic": _flood(classic_one, _slices(unknown, _CLASSIC_FLOOD), classic_one.count),
            },
        )
    peer = "a consumer that does nothing"
    bare = rates["no-op"]
    what = f"bus to database, {BODY_BYTES} B"
    yield Figure(what, rates["ours"], "messages/s", peer, bare, at_least=0.75)
    yield Figure(
        what, rates["ours"], "messages/s", "the classic way", rates["classic"], at_least=20
    )
    yield Figure(
        f"{what}, with {REPLAY_SECONDS_KEY}",
        *(rates["replaying"], "messages/s", "the same without it", rates["ours"]),
    )
    yield Figure(
        f"{what}, known to fedmsg_meta_fedora_infrastructure",
        *(rates["fedora"], "messages/s", peer, bare),
        at_least=0.6,
    )
    yield Figure(
        f"bus to database, {_SIGNED_BYTES:,} B, signed, signatures validated",
        *(rates["signed"], "messages/s", peer, bare),
    )


def latency(setting: Setting) -> Iterator[Figure]:
    """From the publisher to the commit on a quiet bus, over an INSERT and COMMIT of the rows."""
    bus = Bus(_QUIET_MESSAGES, prefix=UNKNOWN)
    with setting.empty() as url, _hub({"datanommer.sqlalchemy.url": url}) as hub:
        classic.execute(url, _NOTIFY)
        took = _latencies(url, bus, hub.publisher.publish)
        columns = "msg_id, i, topic, category, timestamp, msg"
        rows = classic.execute(
            url, f"SELECT {columns.replace('msg_id', '$$x$$ || msg_id')}::text FROM messages"
        )
        with contextlib.closing(psycopg2.connect(url)) as connection:
            waiting = iter(rows)

            def insert(_: dict[str, Any]) -> None:
                with connection, connection.cursor() as cursor:
                    cursor.execute(
                        f"INSERT INTO messages ({columns}) VALUES %s", [tuple(next(waiting))]
                    )

            bare = _latencies(url, bus, insert)
    for percent in (50, 99):
        yield Figure(
            f"one message, bus to commit, {_RATE}/s, p{percent}",
            *(percentile(took, percent) * 1e3, "ms"),
            *("INSERT and COMMIT by a client", percentile(bare, percent) * 1e3),
            limit=50 if percent == 99 else None,  # noqa: PLR2004
        )


def ending(_: Setting) -> Iterator[Figure]:
    """From SIGTERM to the end of a hub that has a flood in its memory, all of which it keeps."""
    for signed in (False, True):
        with tempfile.TemporaryDirectory(prefix="datanommer-benchmarks-") as folder:
            yield from _ending(Path(folder), signed=signed)


def _ending(folder: Path, *, signed: bool) -> Iterator[Figure]:
    authority = Authority(folder)
    authority.issue(_SIGNER)
    config = authority.config if signed else {}
    sent = [
        authority.sign(each, _SIGNER) if signed else each
        for each in Bus(_SIGNED, prefix=UNKNOWN, signed=False).envelopes()
    ]
    # Nothing listens at that address, so all of it has to go onto the disk.
    with _hub({"datanommer.sqlalchemy.url": _NOWHERE, **config}) as hub:
        slices = itertools.repeat([_parts(each) for each in sent], _BACKLOG // _SIGNED)
        for message in itertools.chain.from_iterable(slices):
            hub.publisher.send(*message)
        start = time.perf_counter()
        hub.end()
        took = time.perf_counter() - start
        kept = Spool(hub.folder / "spool").waiting().messages
    what = f"hub told to end in a flood of {_BACKLOG:,}{', signed' if signed else ''}"
    yield Figure(what, took, "s", limit=10)
    yield Figure(f"{what}: on the disk after that", kept, "messages")


def _latencies(url: str, bus: Bus, send: Callable[[dict[str, Any]], None]) -> list[float]:
    took = []
    with contextlib.closing(psycopg2.connect(url)) as listener:
        listener.autocommit = True
        listener.cursor().execute("LISTEN benchmark")
        for envelope in bus.envelopes():
            start = time.perf_counter()
            send(envelope)
            assert select.select([listener], [], [], _PATIENCE)[0], "not stored"
            took.append(time.perf_counter() - start)
            listener.poll()
            listener.notifies.clear()
            time.sleep(max(0, 1 / _RATE - took[-1]))
    return took


class _Hub(LocalBus):
    """A hub, and a publisher that it listens to."""

    def count(self) -> int:
        """How many messages its consumer has counted."""
        try:
            return int((self.folder / "count").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def end(self) -> None:
        """Tell the hub to end, and wait until it has."""
        (daemon,) = self._daemons
        daemon.send(signal.SIGTERM)
        assert daemon.exit_code() == 0, daemon.log


@contextlib.contextmanager
def _hub(config: dict[str, Any], *arguments: str) -> Iterator[_Hub]:
    with tempfile.TemporaryDirectory(prefix="datanommer-benchmarks-") as folder:
        hub = _Hub(Path(folder))
        hub.config.update({"datanommer.spool_min_free_bytes": 0, **config})
        try:
            daemon = hub.start("fedmsg-hub", *arguments)
            assert hub.publisher.has_new_subscriber(_PATIENCE), daemon.log
            hub.publisher.wait_for_subscriber()
            yield hub
        finally:
            hub.close()


@contextlib.contextmanager
def _counting_hub(consumer: str, every: int, **config: Any) -> Iterator[_Hub]:
    config |= {EVERY_KEY: every, "datanommer.enabled": False}
    config[COUNT_KEY] = "count"
    arguments = ("--with-consumers", f"benchmarks.consumers:{consumer}")
    with hub_environment(), _hub(config, *arguments) as hub:
        yield hub


@contextlib.contextmanager
def hub_environment() -> Iterator[None]:
    """Let hubs find the consumers of the benchmarks."""
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def counter(url: str) -> Iterator[Callable[[], int]]:
    """A function that counts the messages of a database."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()

        def count() -> int:
            cursor.execute("SELECT coalesce(sum(messages), 0) FROM topics")
            return int(cursor.fetchone()[0])

        yield count


def small_bus(messages: int, prefix: str, seed: int = 0) -> Bus:
    """A bus without signatures, of bodies of about `BODY_BYTES`."""
    bus = Bus(messages, prefix=prefix, seed=seed, mean_bytes=470, signed=False)
    size = statistics.mean(len(json.dumps(each["body"])) for each in bus.envelopes(0, 1000))
    assert abs(size - BODY_BYTES) < 0.1 * BODY_BYTES, size
    return bus


def _slices(bus: Bus, size: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """`size` messages at a time, ready to be sent."""
    for start in range(0, bus.messages, size):
        yield [_parts(each) for each in bus.envelopes(start, start + size)]


def _signed(authority: Authority, slices: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Half a flood at a time, with good signatures: signing a message takes a millisecond."""
    # Not signed by fedmsg: it reads the key for each message, which takes thirty times as long.
    key: Any = load_pem_private_key((authority.folder / f"{_SIGNER}.key").read_bytes(), None)
    credentials = authority.sign({"body": {}}, _SIGNER)["body"]
    size = _FLOOD // 2
    bus = Bus(slices * size, prefix=UNKNOWN, seed=2, signed=False)
    for start in range(0, bus.messages, size):
        messages = []
        for envelope in bus.envelopes(start, start + size):
            body = {**envelope["body"], "crypto": credentials["crypto"]}
            signature = key.sign(fedmsg.encoding.dumps(body).encode(), PKCS1v15(), SHA1())  # noqa: S303
            body["signature"] = base64.encodebytes(signature).decode()
            body["certificate"] = credentials["certificate"]
            messages.append(_parts({**envelope, "body": body}))
        mean = statistics.mean(len(body) for _, body in messages)
        assert abs(mean - _SIGNED_BYTES) < 0.1 * _SIGNED_BYTES, mean
        yield messages


def _parts(envelope: dict[str, Any]) -> tuple[bytes, bytes]:
    return envelope["topic"].encode(), json.dumps(envelope["body"]).encode()


def _flood(
    hub: _Hub, slices: Iterator[list[tuple[bytes, bytes]]], count: Callable[[], int]
) -> Callable[[], float]:
    """A function that sends a slice at full speed, and returns how many are handled a second."""

    def measure() -> float:
        messages = next(slices)
        target = count() + len(messages)
        start = time.perf_counter()
        for message in messages:
            hub.publisher.send(*message)
        while count() < target:
            assert time.perf_counter() - start < _PATIENCE, f"{count()} of {target}"
            time.sleep(_POLL)
        return len(messages) / (time.perf_counter() - start)

    return measure
