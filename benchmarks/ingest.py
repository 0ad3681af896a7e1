"""From Python dicts into the database, and what each part of that costs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import orm

import classic
from benchmarks import classic_way
from benchmarks.archive import copies_of_tables, empty_tables
from benchmarks.generator import FEDORA, UNKNOWN, Bus
from benchmarks.measure import Figure, alternate, leave_out_of_garbage_collection, seconds
from benchmarks.setting import Setting
from datanommer import models
from datanommer.models import configuration
from datanommer.models.database.binding import bound_engine
from datanommer.models.preparing import concerned, processors
from datanommer.models.preparing.preparation import Item, prepare
from datanommer.models.storing.batch import Batch, store

_MESSAGES = 10_000
_BATCH = 1_000
_CLASSIC_MESSAGES = 500
_EXTRACTIONS = 1_000


def add_all(setting: Setting) -> Iterator[Figure]:
    """`add_all` in batches, over raw COPY of the rows of all tables, triggers on."""
    for prefix, what in ((UNKNOWN, "add_all"), (FEDORA, "add_all, with users and packages")):
        envelopes = Bus(_MESSAGES, prefix=prefix).envelopes()
        with setting.empty() as url, tempfile.TemporaryDirectory() as folder:
            models.add_all(envelopes[:1])  # makes the processors of fedmsg.meta ready

            def ours() -> float:
                empty_tables(url)
                return _MESSAGES / seconds(lambda: _in_batches(models.add_all, envelopes))  # noqa: B023

            leave_out_of_garbage_collection()
            ours()
            copies = copies_of_tables(url, Path(folder))

            def raw() -> float:
                empty_tables(url)
                return _MESSAGES / copies()  # noqa: B023

            def prepared() -> float:
                items = [prepare(envelope) for envelope in envelopes]  # noqa: B023
                empty_tables(url)
                return _MESSAGES / seconds(lambda: _in_batches(_store, items))

            rates = alternate(setting.rounds, {"ours": ours, "prepared": prepared, "raw": raw})
        target = 0.6 if prefix == UNKNOWN else None
        peer = "raw COPY of the same rows"
        yield Figure(what, rates["ours"], "messages/s", peer, rates["raw"], at_least=target)
        if prefix == UNKNOWN:
            stored = "add_all, rows made before"
            yield Figure(stored, rates["prepared"], "messages/s", peer, rates["raw"])
    with setting.empty(at_head=False) as url:
        classic.make(url)
        rate = _classic_rate(url, Bus(_CLASSIC_MESSAGES))
    yield Figure("add_all", rates["ours"], "messages/s", "the classic way", rate, at_least=20)


def _in_batches(work: Callable[[list[Any]], object], items: list[Any]) -> None:
    for start in range(0, len(items), _BATCH):
        work(items[start : start + _BATCH])


def _store(items: list[Item]) -> None:
    store(bound_engine(), Batch.of(items))


def _classic_rate(url: str, bus: Bus) -> float:
    engine = classic_way.engine(url)
    sent = list(bus.sent())
    with orm.Session(engine) as session:

        def add_one_by_one() -> None:
            for envelope, users, packages in sent:
                classic_way.add(session, envelope, users, packages)

        rate = len(sent) / seconds(add_one_by_one)
    engine.dispose()
    return rate


def extract(setting: Setting) -> Iterator[Figure]:
    """Whom a message concerns, over one look-up of its processor."""
    import fedmsg.meta

    config = configuration.defaults()
    processors.configure(config)
    for prefix, what in ((FEDORA, "a processor matches"), (UNKNOWN, "none matches")):
        bodies = [each["body"] for each in Bus(_EXTRACTIONS, prefix=prefix).envelopes()]
        times = alternate(
            setting.rounds,
            {
                "ours": _each(bodies, concerned.find),
                "look-up": _each(bodies, lambda body: fedmsg.meta.msg2processor(body, **config)),
            },
        )
        yield Figure(
            f"extraction, {what}",
            *(times["ours"] * 1e6, "us", "a single msg2processor", times["look-up"] * 1e6),
            at_most=2,
        )


def _each(bodies: list[dict[str, Any]], work: Callable[[dict[str, Any]], object]) -> Any:
    def measure() -> float:
        return seconds(lambda: [work(body) for body in bodies]) / len(bodies)

    return measure
