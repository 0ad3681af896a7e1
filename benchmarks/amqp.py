"""From a RabbitMQ to the database, through a real ``fedora-messaging consume``."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import click

import rabbitmq
from benchmarks.generator import UNKNOWN
from benchmarks.hub import counter, small_bus
from benchmarks.measure import ROOT, Figure, alternate
from benchmarks.setting import Setting
from bus import Daemon, end
from datanommer.models.configuration import URL_VARIABLE
from datanommer.models.preparing.fedora_messaging import from_message
from datanommer.models.times import from_epoch

#: The variable that names the file which says how many messages came so far.
COUNT_VARIABLE = "BENCHMARKS_COUNT_FILE"
_BACKLOG = 20_000
_SLOW_BACKLOG = 2_000  # of the ways that take one message at a time
_PATIENCE = 120  # seconds
_POLL = 0.01  # seconds
_PREFETCH_COUNTS = (10, 100, 250, 1_000)


def backlog(setting: Setting) -> Iterator[Figure]:
    """Messages a second of a backlog, over a transaction a message, and over no transaction."""
    if not _is_there():
        return
    with _Scene(setting) as scene:
        rates = alternate(
            setting.rounds,
            {
                "shipped": lambda: scene.rate(_BACKLOG),
                "ten": lambda: scene.rate(_BACKLOG, prefetch_count=10),
                "one": lambda: scene.rate(_SLOW_BACKLOG, "OneByOne"),
                "none": lambda: scene.rate(_SLOW_BACKLOG, "Acknowledge"),
            },
        )
    for what, name, target in (
        ("AMQP backlog, as shipped", "shipped", 5),
        ("AMQP backlog, prefetch_count 10", "ten", None),
    ):
        for peer, of_peer in (
            ("a transaction a message", "one"),
            ("a callback that does nothing", "none"),
        ):
            at_least = target if of_peer == "one" else None
            yield Figure(what, rates[name], "messages/s", peer, rates[of_peer], at_least=at_least)


def prefetch(setting: Setting) -> Iterator[Figure]:
    """A backlog by `prefetch_count`; that of the shipped configuration is chosen by this."""
    if not _is_there():
        return
    with _Scene(setting) as scene:
        rates = alternate(
            setting.rounds,
            {
                str(count): lambda count=count: scene.rate(_BACKLOG, prefetch_count=count)
                for count in _PREFETCH_COUNTS
            },
        )
    for count in _PREFETCH_COUNTS:
        what = f"AMQP backlog, prefetch_count {count:,}"
        yield Figure(what, rates[str(count)], "messages/s", "prefetch_count 10", rates["10"])


def _is_there() -> bool:
    """Whether there is a RabbitMQ; if not, says so."""
    reason = rabbitmq.why_not()
    if reason:
        click.echo(reason, err=True)
    return reason is None


class _Scene:
    """A database, and messages that were not sent yet.

    Args:
        setting: of the benchmark.
    """

    def __init__(self, setting: Setting) -> None:
        self._stack = contextlib.ExitStack()
        self._setting = setting
        self._seed = 0

    def __enter__(self) -> Self:
        self._url = self._stack.enter_context(self._setting.empty())
        self._stored = self._stack.enter_context(counter(self._url))
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ[URL_VARIABLE] = self._url
        os.environ[COUNT_VARIABLE] = str(self._folder / "count")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        del os.environ[URL_VARIABLE], os.environ[COUNT_VARIABLE]

    def rate(
        self, messages: int, callback: str | None = None, prefetch_count: int | None = None
    ) -> float:
        """How many messages a second of a backlog are handled, from the first to the last.

        Args:
            messages: how many wait when the consumer starts.
            callback: one of `benchmarks.amqp_callbacks`; without it, datanommer's.
            prefetch_count: other than in the shipped configuration.
        """
        self._seed += 1
        count = self._counted if callback == "Acknowledge" else self._stored
        broker = rabbitmq.Broker(self._folder)
        try:
            broker.declare_queue(as_in_sample=True)
            broker.send(*_lines(messages, self._seed))
            (self._folder / "count").write_text("0")
            before = count()
            chosen = [f"--callback=benchmarks.amqp_callbacks:{callback}"] if callback else []
            conf = broker.sample(prefetch_count)
            consumer = Daemon(
                *("fedora-messaging", "--conf", conf, "consume", *chosen), folder=self._folder
            )
            try:
                first, start = _wait(lambda: count() - before, 1, consumer)
                last, finish = _wait(lambda: count() - before, messages, consumer)
            finally:
                end([consumer])
            assert not broker.waiting()
        finally:
            broker.close()
        return (last - first) / (finish - start)

    def _counted(self) -> int:
        return int((self._folder / "count").read_text() or 0)


def _wait(count: Callable[[], int], target: int, consumer: Daemon) -> tuple[int, float]:
    """Wait until `target` messages are counted; returns the count and the time."""
    give_up = time.perf_counter() + _PATIENCE
    while (counted := count()) < target:
        assert consumer.is_alive, consumer.log
        assert time.perf_counter() < give_up, f"{counted} of {target}\n{consumer.log}"
        time.sleep(_POLL)
    return counted, time.perf_counter()


def _lines(messages: int, seed: int) -> Iterator[dict[str, object]]:
    for envelope in small_bus(messages, UNKNOWN, seed).envelopes():
        body = envelope["body"]
        yield from_message(
            topic=envelope["topic"],
            msg=body["msg"],
            msg_id=body["msg_id"],
            headers={},
            timestamp=from_epoch(body["timestamp"]),
        )
