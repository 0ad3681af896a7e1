"""How many messages a second go into the archive, by the size of a batch: INSERT against COPY.

    python benchmarks/batches.py URL

URL is an empty database; its tables are made. Each figure is the median of five runs, in turns, so
that what else the machine does falls on both alike.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
import uuid
from typing import Any

import click

from datanommer import models
from datanommer.models import insert, store

SIZES = (1, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
RUNS = 5
NEVER = sys.maxsize


def items(number: int) -> list[store.Item]:
    """Messages of about 1 kB, signed by 40 hosts, on 400 topics."""
    return [_item(random.randrange(400)) for _ in range(number)]


def _item(topic: int) -> store.Item:
    name = f"org.fedoraproject.prod.category{topic % 60}.topic{topic}"
    body: dict[str, Any] = {
        "i": 1,
        "timestamp": random.randrange(1_300_000_000, 1_600_000_000),
        "msg_id": f"2013-{uuid.uuid4()}",
        "topic": name,
        "username": "apache",
        "crypto": "x509",
        "certificate": f"{topic % 40:02}" * 1000,
        "signature": "c2ln" * 43,
        "msg": {"text": "x" * 400, "list": list(range(50)), "escaped": 'say "hi"\n'},
    }
    item = store.prepare({"topic": name, "body": body})
    assert isinstance(item, store.Row)
    item.users, item.packages = (f"user{topic}",), (f"package{topic}",)
    return item


def measure(size: int, copy_from: int) -> float:
    """Messages a second, in batches of that size, with COPY from so many rows on."""
    insert.COPY_FROM = copy_from
    batches = [items(size) for _ in range(max(1, min(100, 4000 // size)))]
    start = time.perf_counter()
    for batch in batches:
        store.store(batch)
    return size * len(batches) / (time.perf_counter() - start)


@click.command()
@click.argument("url")
def main(url: str) -> None:
    """Measure, and print a table."""
    models.init(url, create=True)
    measure(1000, NEVER)  # warm
    click.echo(f"{'batch':>6} {'INSERT/s':>9} {'COPY/s':>9} {'COPY/INSERT':>12}")
    for size in SIZES:
        runs = [(measure(size, NEVER), measure(size, 0)) for _ in range(RUNS)]
        by_insert, by_copy = (statistics.median(each) for each in zip(*runs, strict=True))
        click.echo(f"{size:>6} {by_insert:>9.0f} {by_copy:>9.0f} {by_copy / by_insert:>12.2f}")


if __name__ == "__main__":
    main()
